/**
 * The test guest: a virtual machine with real SR-IOV network cards (QEMU's igb), driven from this side.
 *
 * Its root directory is this host's, read-only, below a tmpfs: programs, the checkout and node_modules are there under
 * the same paths, and all that it writes is lost. It keeps what it has read: what was built after the boot is seen
 * after `refresh`. Code runs some 20 times slower in it, so tests run here and only the commands run there.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AgentClient, SilentAgentError } from "./agent-client.ts";
import { type Machine, parseJsonOutput, type RunningCommand, type RunOptions, type RunResult } from "./machine.ts";
import {
	type GuestDrivers,
	type GuestHardware,
	type GuestImage,
	guestFile,
	qemuCommand,
	qemuEnvironment,
} from "./qemu.ts";

export interface GuestOptions extends GuestHardware, GuestDrivers {
	/** Told what happens meanwhile, one line each. */
	readonly log?: (line: string) => void;
	/** Gives the boot up. */
	readonly signal?: AbortSignal;
}

/** A guest that prints nothing on its console for so long while it boots is taken for hung. */
const silenceMs = 60_000;
const bootTimeoutMs = 600_000;

export class Guest implements Machine {
	readonly name = "guest";
	/** Holds its socket, console and QEMU's log. */
	readonly directory: string;
	readonly #client: AgentClient;
	/** Undefined: not ours, only connected to. */
	readonly #qemu: ChildProcess | undefined;

	private constructor(directory: string, client: AgentClient, qemu: ChildProcess | undefined) {
		this.directory = directory;
		this.#client = client;
		this.#qemu = qemu;
	}

	/**
	 * Prepares the guest if it is not, boots it and waits for its agent. `shutdown` ends it, and so does the end of
	 * this process.
	 */
	static async boot(options: GuestOptions = {}): Promise<Guest> {
		const image = await prepareGuest(options.log);
		try {
			return await Guest.#bootOnce(image, options);
		} catch (error) {
			if (!(error instanceof FailedBoot) || options.signal?.aborted) {
				throw error;
			}
			options.log?.(`${error.message.split("\n")[0]} while it booted; starting it once more`);
			return await Guest.#bootOnce(image, options);
		}
	}

	static async #bootOnce(image: GuestImage, options: GuestOptions): Promise<Guest> {
		const directory = mkdtempSync(join(tmpdir(), "berth-guest-"));
		const log = openSync(join(directory, guestFile.log), "w");
		// QEMU must not outlive us, however we end.
		const qemu = spawn("setpriv", ["--pdeathsig", "KILL", ...qemuCommand(image, directory, options)], {
			env: qemuEnvironment(image),
			stdio: ["ignore", log, log],
			// Ctrl-C in a terminal goes to its whole process group: what then becomes of the guest, we decide.
			detached: true,
		});
		const abort = () => qemu.kill("SIGKILL");
		options.signal?.addEventListener("abort", abort);
		closeSync(log);
		const ended = new Promise<void>((resolve) => {
			qemu.on("error", () => resolve());
			qemu.on("exit", () => resolve());
		});
		try {
			const client = await waitForAgent(directory, () => qemu.exitCode !== null || qemu.signalCode !== null);
			qemu.unref();
			return new Guest(directory, client, qemu);
		} catch (error) {
			qemu.kill("SIGKILL");
			await ended;
			rmSync(directory, { recursive: true, force: true });
			throw error;
		} finally {
			options.signal?.removeEventListener("abort", abort);
		}
	}

	/** Connects to a guest that another process booted. One connection at a time: waits for the other to go. */
	static async connect(directory: string): Promise<Guest> {
		if (existsSync(join(directory, guestFile.hung))) {
			throw new Error(`the guest in ${directory} hangs`);
		}
		if (!existsSync(join(directory, guestFile.socket))) {
			throw new Error(`there is no guest in ${directory || "the directory that was not named"}`);
		}
		const deadline = Date.now() + 30_000;
		for (;;) {
			try {
				return new Guest(
					directory,
					await AgentClient.connect(join(directory, guestFile.socket), (hangs) => describeLoss(directory, hangs)),
					undefined,
				);
			} catch (error) {
				if (Date.now() > deadline) {
					if (error instanceof SilentAgentError) throw new Error(describeLoss(directory, true));
					throw new Error(`cannot connect to the guest in ${directory}: ${(error as Error).message}`);
				}
				await delay(100);
			}
		}
	}

	start(argv: readonly string[], options: RunOptions = {}): RunningCommand {
		return this.#client.start(argv, options);
	}

	run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
		return this.start(argv, options).result;
	}

	// biome-ignore lint/suspicious/noExplicitAny: as in Machine.
	async json(argv: readonly string[], options: RunOptions = {}): Promise<any> {
		return parseJsonOutput(argv, (await this.run(argv, options)).stdout);
	}

	/** Quick: no program is started in the guest. */
	readFile(path: string): Promise<string> {
		return this.#client.readFile(path);
	}

	/** One write(2), as sysfs wants it. Quick, too. */
	writeFile(path: string, data: string | Uint8Array): Promise<void> {
		return this.#client.writeFile(path, data);
	}

	/** Forgets what was read of the host's files, so that what was built since the boot is seen. */
	async refresh(): Promise<void> {
		await this.writeFile("/proc/sys/vm/drop_caches", "3");
	}

	/** Leaves the guest running, for another process to `connect`. */
	disconnect(): void {
		this.#client.close();
	}

	/** Ends the connection, and the guest if we booted it. Nothing in it is worth a clean end. */
	async shutdown(): Promise<void> {
		this.#client.close();
		const qemu = this.#qemu;
		if (qemu === undefined) {
			return;
		}
		if (qemu.exitCode === null && qemu.signalCode === null) {
			qemu.ref();
			const ended = new Promise((resolve) => qemu.once("exit", resolve));
			qemu.kill("SIGKILL");
			await ended;
		}
		rmSync(this.directory, { recursive: true, force: true });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.shutdown();
	}
}

/** One boot in many hangs or panics, on a busy host. */
class FailedBoot extends Error {}

/** Fetches and builds what the guest boots from, or finds it in the cache. */
export function prepareGuest(log?: (line: string) => void): Promise<GuestImage> {
	const script = fileURLToPath(new URL("../vm/prepare", import.meta.url));
	return new Promise((resolve, reject) => {
		const child = spawn(script, { stdio: ["ignore", "pipe", "pipe"] });
		let output = "";
		let messages = "";
		child.stdout.on("data", (bytes: Buffer) => {
			output += bytes;
		});
		child.stderr.on("data", (bytes: Buffer) => {
			messages += bytes;
			for (const line of String(bytes).split("\n").filter(Boolean)) {
				log?.(line);
			}
		});
		child.on("error", reject);
		child.on("close", (status) => {
			const [base, initrd] = output.split("\n");
			if (status === 0 && base && initrd) {
				resolve({ base, initrd });
			} else {
				reject(new Error(`preparing the guest failed (status ${status}):\n${messages.trim()}`));
			}
		});
	});
}

async function waitForAgent(directory: string, isDead: () => boolean): Promise<AgentClient> {
	const socket = join(directory, guestFile.socket);
	const console = join(directory, guestFile.console);
	const deadline = Date.now() + bootTimeoutMs;
	let size = 0;
	let lastSign = Date.now();
	while (Date.now() < deadline) {
		if (isDead()) {
			throw new FailedBoot(describeDeath(directory));
		}
		const sizeNow = existsSync(console) ? statSync(console).size : 0;
		if (sizeNow !== size) {
			size = sizeNow;
			lastSign = Date.now();
		} else if (Date.now() - lastSign > silenceMs) {
			throw new FailedBoot(`the guest was silent for ${silenceMs / 1000} s`);
		}
		// The socket is there before the agent; what was sent to a port without a reader is lost, so look at the
		// console first.
		if (existsSync(socket) && size > 0 && readFileSync(console, "latin1").includes("agent: ready")) {
			try {
				return await AgentClient.connect(socket, (hangs) => describeLoss(directory, hangs));
			} catch {
				// Not yet: the deadline above is the judge.
			}
		}
		await delay(50);
	}
	throw new FailedBoot(`the guest was not ready after ${bootTimeoutMs / 1000} s`);
}

/**
 * Notes that it hangs, for the test files that come after: they need not find it out again. scripts/test.ts knows the
 * words.
 */
function describeLoss(directory: string, hangs: boolean): string {
	if (hangs) writeFileSync(join(directory, guestFile.hung), "");
	return hangs ? `the guest in ${directory} hangs. ${lastWords(directory)}` : describeDeath(directory);
}

const describeDeath = (directory: string): string => `the guest ended. ${lastWords(directory)}`;

/** Of QEMU and of the guest's kernel. */
function lastWords(directory: string): string {
	const tail = (name: string, lines: number) => {
		const path = join(directory, name);
		return existsSync(path)
			? readFileSync(path, "latin1").replaceAll("\r", "").trimEnd().split("\n").slice(-lines).join("\n")
			: "";
	};
	return `QEMU: ${tail(guestFile.log, 5) || "nothing"}\nIts console, at the end:\n${tail(guestFile.console, 25)}`;
}
