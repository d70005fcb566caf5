/**
 * The host's side of the guest's agent. The wire format is described at the head of test/vm/agent/agent.c.
 */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { getSystemErrorMessage } from "node:util";
import {
	commandEnvironment,
	defaultTimeoutMs,
	describeCommand,
	Output,
	type RunningCommand,
	type RunOptions,
	type RunResult,
	signalName,
	signalNumber,
} from "./machine.ts";

const greeting = Buffer.from("berth-agent-host");
const answer = Buffer.from("berth-agent-here");
const headerSize = 9;

const End = { exited: 0, killed: 1, failed: 2, timedOut: 3 } as const;

interface Pending {
	readonly output: Output;
	readonly ended: (kind: number, value: number) => void;
	readonly failed: (error: Error) => void;
}

function number(value: number): Buffer {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32LE(value);
	return bytes;
}

function string(value: string | Uint8Array): Buffer {
	const bytes = Buffer.from(value as string);
	return Buffer.concat([number(bytes.length), bytes]);
}

function list(values: readonly string[]): Buffer {
	return Buffer.concat([number(values.length), ...values.map(string)]);
}

/** While something is awaited, the agent is asked for a sign so often; a guest without one for so long has hung. */
const signEveryMs = 15_000;
const signsMissed = 8;

/** How long the agent has for its answer to a greeting: it may be in the middle of forgetting the last host. */
const greetingTimeoutMs = 2000;

/** `hangs`: the guest is still there, and gives no sign. */
export type DescribeLoss = (hangs: boolean) => string;

/** Somebody listens, and no agent answers. */
export class SilentAgentError extends Error {}

export class AgentClient {
	readonly #socket: Socket;
	/** Of the end of the connection: "the guest ended: ..." */
	readonly #describeLoss: DescribeLoss;
	readonly #watch: NodeJS.Timeout;
	/** How often in turn the agent was asked for a sign, and gave none. */
	#missed = 0;
	#pending = new Map<number, Pending>();
	#nextId = 1;
	#received: Buffer;
	#closed: Error | undefined;

	private constructor(socket: Socket, rest: Buffer, describeLoss: DescribeLoss) {
		this.#socket = socket;
		this.#received = rest;
		this.#describeLoss = describeLoss;
		this.#watch = setInterval(() => this.#askForSign(), signEveryMs).unref();
		socket.on("data", (bytes: Buffer) => {
			this.#missed = 0;
			this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
			this.#takeFrames();
		});
		socket.on("close", () => this.#lose());
		this.#takeFrames();
	}

	/** One try. Throws when nobody listens, or no agent answers in time. */
	static async connect(path: string, describeLoss: DescribeLoss): Promise<AgentClient> {
		const socket = connect(path);
		const nonce = randomBytes(8);
		const expected = Buffer.concat([answer, nonce]);
		try {
			const rest = await new Promise<Buffer>((resolve, reject) => {
				let seen: Buffer = Buffer.alloc(0);
				const timer = setTimeout(
					() => reject(new SilentAgentError("the guest's agent does not answer")),
					greetingTimeoutMs,
				);
				socket.on("connect", () => socket.write(Buffer.concat([greeting, nonce])));
				socket.on("error", reject);
				socket.on("close", () => reject(new Error("the guest closed the connection")));
				socket.on("data", (bytes: Buffer) => {
					seen = Buffer.concat([seen, bytes]);
					const at = seen.indexOf(expected);
					if (at >= 0) {
						clearTimeout(timer);
						resolve(seen.subarray(at + expected.length));
					}
				});
			});
			socket.removeAllListeners();
			socket.on("error", () => {}); // "close" follows
			return new AgentClient(socket, rest, describeLoss);
		} catch (error) {
			socket.destroy();
			throw error;
		}
	}

	#takeFrames(): void {
		let at = 0;
		while (this.#received.length - at >= 4) {
			const size = this.#received.readUInt32LE(at);
			if (this.#received.length - at < 4 + size) {
				break;
			}
			const type = String.fromCharCode(this.#received[at + 4]!);
			this.#takeFrame(
				type,
				this.#received.readUInt32LE(at + 5),
				this.#received.subarray(at + headerSize, at + 4 + size),
			);
			at += 4 + size;
		}
		this.#received = this.#received.subarray(at);
	}

	#takeFrame(type: string, id: number, payload: Buffer): void {
		const pending = this.#pending.get(id);
		if (pending === undefined) {
			return;
		}
		if (type === "O") {
			pending.output.stdout(payload);
		} else if (type === "E") {
			pending.output.stderr(payload);
		} else {
			this.#pending.delete(id);
			pending.ended(payload.readUInt32LE(0), payload.readUInt32LE(4));
		}
	}

	#askForSign(): void {
		if (this.#pending.size === 0) {
			this.#missed = 0;
		} else if (this.#missed < signsMissed) {
			this.#missed++;
			// Nobody waits for its answer: that there is one is enough.
			this.#send("G", this.#nextId++, [string("/proc/uptime")]);
		} else {
			this.#closed ??= new Error(this.#describeLoss(true));
			this.#socket.destroy();
		}
	}

	#lose(): void {
		clearInterval(this.#watch);
		this.#closed ??= new Error(this.#describeLoss(false));
		for (const pending of this.#pending.values()) {
			pending.failed(this.#closed);
		}
		this.#pending.clear();
	}

	#send(type: string, id: number, parts: Buffer[]): void {
		const payload = Buffer.concat(parts);
		this.#socket.write(Buffer.concat([number(5 + payload.length), Buffer.from(type), number(id), payload]));
	}

	#request<T>(
		type: string,
		parts: Buffer[],
		options: RunOptions,
		finish: (output: Output, kind: number, value: number) => T,
	): { id: number; result: Promise<T> } {
		const id = this.#nextId++;
		const output = new Output(options);
		const result = new Promise<T>((resolve, reject) => {
			if (this.#closed !== undefined) {
				reject(this.#closed);
				return;
			}
			const ended = (kind: number, value: number) => {
				try {
					resolve(finish(output, kind, value));
				} catch (error) {
					reject(error);
				}
			};
			this.#pending.set(id, { output, ended, failed: reject });
			this.#send(type, id, parts);
		});
		return { id, result };
	}

	start(argv: readonly string[], options: RunOptions = {}): RunningCommand {
		const limit = options.timeoutMs ?? defaultTimeoutMs;
		const environment = Object.entries(commandEnvironment(options)).map(([name, value]) => `${name}=${value}`);
		const parts = [
			number(limit),
			list(argv),
			list(environment),
			string(options.cwd ?? process.cwd()),
			string(options.stdin ?? ""),
		];
		const { id, result } = this.#request("R", parts, options, (output, kind, value): RunResult => {
			if (kind === End.failed) {
				throw new Error(`${describeCommand(argv)}: could not start: ${getSystemErrorMessage(-value)}`);
			}
			if (kind === End.timedOut) {
				throw new Error(`${describeCommand(argv)}: killed after ${limit / 1000} s`);
			}
			return kind === End.killed ? output.end(argv, null, signalName(value)) : output.end(argv, value, null);
		});
		const kill = (signal: NodeJS.Signals = "SIGTERM") => this.#send("K", id, [number(signalNumber(signal))]);
		return { result, kill };
	}

	async readFile(path: string): Promise<string> {
		const { result } = this.#request("G", [string(path)], {}, (output, kind, value) => {
			throwFailure("read", path, kind, value);
			return output.end(["get", path], 0, null).stdout;
		});
		return result;
	}

	async writeFile(path: string, data: string | Uint8Array): Promise<void> {
		const { result } = this.#request("P", [string(path), string(data)], {}, (_output, kind, value) => {
			throwFailure("write", path, kind, value);
		});
		return result;
	}

	/** Commands that still run are killed by the agent. */
	close(): void {
		this.#closed ??= new Error("the connection to the guest is closed");
		this.#socket.destroy();
	}
}

function throwFailure(what: string, path: string, kind: number, value: number): void {
	if (kind === End.failed) {
		throw new Error(`${what} ${path}: ${getSystemErrorMessage(-value)}`);
	}
	if (kind !== End.exited || value !== 0) {
		throw new Error(`${what} ${path}: ended oddly (${kind}, ${value})`);
	}
}
