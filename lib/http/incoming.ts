/**
 * What comes over a connection, in pieces of any size, as lines and counted bytes.
 */
import * as sys from "../sys/sys.ts";
import { MalformedReply, TruncatedReply } from "./error.ts";

const LF = 10;
const CR = 13;

export class Incoming {
	readonly #read: () => Uint8Array;
	#bytes: Uint8Array = new Uint8Array(0);
	/** What is before is used up. */
	#at = 0;

	/** `read` waits for more and returns at least one byte, or none at the end. */
	constructor(read: () => Uint8Array) {
		this.#read = read;
	}

	/** Whether bytes have come that nobody has taken. */
	get hasMore(): boolean {
		return this.#at < this.#bytes.length;
	}

	/** Up to CR LF or LF, without it. `what` it is, for MalformedReply where it has more than `limit` bytes. */
	line(limit: number, what: string): string {
		let seen = this.#at;
		for (;;) {
			const end = this.#bytes.indexOf(LF, seen);
			const length = (end < 0 ? this.#bytes.length : end) - this.#at;
			if (length > limit) throw new MalformedReply(`${what} is too long`);
			if (end >= 0) {
				const stop = length > 0 && this.#bytes[end - 1] === CR ? end - 1 : end;
				const text = sys.decodeUtf8(this.#bytes.subarray(this.#at, stop));
				this.#at = end + 1;
				return text;
			}
			if (!this.#more()) throw new TruncatedReply(`it closed the connection within ${what}`);
			seen = this.#at + length;
		}
	}

	/** Between one byte and `most`, as they come; none at the end. */
	some(most: number): Uint8Array {
		if (!this.hasMore && !this.#more()) return new Uint8Array(0);
		const taken = this.#bytes.subarray(this.#at, this.#at + most);
		this.#at += taken.length;
		return taken;
	}

	/** Waits for more. False: nothing more comes. */
	#more(): boolean {
		const piece = this.#read();
		if (piece.length === 0) return false;
		const rest = this.#bytes.subarray(this.#at);
		if (rest.length === 0) {
			this.#bytes = piece;
		} else {
			const joined = new Uint8Array(rest.length + piece.length);
			joined.set(rest);
			joined.set(piece, rest.length);
			this.#bytes = joined;
		}
		this.#at = 0;
		return true;
	}
}
