/**
 * The kernel's side of a netlink socket, scripted by the test: what is sent is kept, and what was queued is received.
 * Use with `vi.mock("native:sys", async (original) => (await import("./fake-kernel.ts")).nativeModule(await
 * original<object>()))`.
 */

interface SystemErrorFields {
	errno: number;
	code: string;
	call: string;
}

function failure(call: string, code: string, errno: number): Error & SystemErrorFields {
	return Object.assign(new Error(`${call}: (${code})`), { errno, code, call });
}

/** A message with a header of this type; the sequence number is that of the newest request plus `sequenceOffset`. */
export interface Answer {
	readonly type: number;
	readonly flags?: number;
	readonly body?: Uint8Array;
	readonly sequenceOffset?: number;
}

class FakeKernel {
	sent: Uint8Array[] = [];
	/** One entry per datagram. A function is called when the datagram is received. */
	queue: (Answer[] | Uint8Array | (() => void))[] = [];
	/** Port of the sender; not 0 for another process. */
	senderPort = 0;
	options: number[] = [];
	refusedOptions: number[] = [];
	polls: number[] = [];
	nowMs = 0;

	reset(): void {
		Object.assign(this, new FakeKernel(), { calls: this.calls });
	}

	#sequence(): number {
		const last = this.sent.at(-1)!;
		return new DataView(last.buffer, last.byteOffset).getUint32(8, true);
	}

	#encode(answers: Answer[]): Uint8Array {
		const parts = answers.map(({ type, flags = 0, body = new Uint8Array(), sequenceOffset = 0 }) => {
			const bytes = new Uint8Array(16 + ((body.length + 3) & ~3));
			const view = new DataView(bytes.buffer);
			view.setUint32(0, 16 + body.length, true);
			view.setUint16(4, type, true);
			view.setUint16(6, flags, true);
			view.setUint32(8, this.#sequence() + sequenceOffset, true);
			bytes.set(body, 16);
			return bytes;
		});
		return Uint8Array.from(parts.flatMap((part) => [...part]));
	}

	readonly calls = {
		socket: () => 3,
		close: () => undefined,
		setSocketOption: (_fd: number, _level: number, option: number) => {
			if (this.refusedOptions.includes(option)) throw failure("setsockopt", "ENOPROTOOPT", 92);
			this.options.push(option);
		},
		send: (_fd: number, data: Uint8Array) => {
			this.sent.push(data.slice());
			return data.length;
		},
		receive: (_fd: number, max: number) => {
			const next = this.queue.shift();
			if (next === undefined) throw failure("recvfrom", "EAGAIN", 11);
			if (typeof next === "function") {
				next();
				throw failure("recvfrom", "EAGAIN", 11);
			}
			const data = next instanceof Uint8Array ? next : this.#encode(next);
			const address = new Uint8Array(12);
			address[4] = this.senderPort;
			return { data: data.subarray(0, max), length: data.length, address };
		},
		poll: (_entries: unknown, timeoutMs: number) => {
			this.polls.push(timeoutMs);
			this.nowMs += timeoutMs;
			return [0];
		},
		monotonicMs: () => this.nowMs,
	};
}

export const fakeKernel = new FakeKernel();

/** The native module with the calls that the fake kernel answers. */
export function nativeModule(original: object): object {
	return { ...original, ...fakeKernel.calls };
}

/** The body of NLMSG_ERROR: the errno (positive here), the header of the request, and attributes. */
export function errorBody(
	errno: number,
	attributes: Uint8Array = new Uint8Array(),
	request = new Uint8Array(16),
): Uint8Array {
	const bytes = new Uint8Array(4 + request.length + attributes.length);
	new DataView(bytes.buffer).setInt32(0, -errno, true);
	bytes.set(request, 4);
	bytes.set(attributes, 4 + request.length);
	return bytes;
}

/** NLMSGERR_ATTR_MSG. */
export function messageAttribute(text: string): Uint8Array {
	const bytes = new Uint8Array((4 + text.length + 1 + 3) & ~3);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, 4 + text.length + 1, true);
	view.setUint16(2, 1, true);
	bytes.set(Buffer.from(text), 4);
	return bytes;
}
