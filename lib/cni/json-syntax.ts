/**
 * Where and why a text is not JSON, in the words of Go's encoding/json. The engine's own parser is the judge; this runs
 * only after it has said no, to find the byte that a person must look at.
 */
import { quoteCharacter } from "./quote.ts";

/** Go's sentence with the offset and the surroundings added; undefined where this grammar finds nothing wrong. */
export function explainSyntaxError(bytes: Uint8Array): string | undefined {
	const scanner = new Scanner(bytes);
	try {
		scanner.document();
		return undefined;
	} catch (error) {
		if (error instanceof Mismatch) return error.message;
		throw error;
	}
}

/** Go's limit of nesting. */
const MAX_DEPTH = 10_000;

class Mismatch extends Error {}

class Scanner {
	readonly #bytes: Uint8Array;
	#at = 0;

	constructor(bytes: Uint8Array) {
		this.#bytes = bytes;
	}

	document(): void {
		// The open brackets: a stack of our own, since the engine's ends long before the nesting that Go reads.
		const open: string[] = [];
		do {
			this.#space();
			const start = this.#peek();
			if (start === "{" || start === "[") {
				this.#open(start, open);
				continue;
			}
			this.#scalar(start);
			this.#close(open);
		} while (open.length > 0);
		this.#space();
		if (this.#at < this.#bytes.length) throw this.#mismatch("after top-level value");
	}

	/** An opening bracket, and a key after a brace. What is closed at once is done with. */
	#open(bracket: string, open: string[]): void {
		if (open.length >= MAX_DEPTH) throw this.#mismatch("exceeded max depth");
		this.#at++;
		this.#space();
		if (this.#take(bracket === "{" ? "}" : "]")) {
			this.#close(open);
			return;
		}
		open.push(bracket);
		if (bracket === "{") this.#key();
	}

	/** What follows a value: a comma, and a key in an object; or closing brackets. */
	#close(open: string[]): void {
		while (open.length > 0) {
			const inObject = open.at(-1) === "{";
			this.#space();
			if (this.#take(",")) {
				if (inObject) this.#key();
				return;
			}
			if (!this.#take(inObject ? "}" : "]")) {
				throw this.#mismatch(inObject ? "after object key:value pair" : "after array element");
			}
			open.pop();
		}
	}

	#key(): void {
		this.#space();
		if (this.#peek() !== '"') throw this.#mismatch("looking for beginning of object key string");
		this.#string();
		this.#space();
		if (!this.#take(":")) throw this.#mismatch("after object key");
	}

	#scalar(start: string): void {
		if (start === '"') this.#string();
		else if (start === "-" || isDigit(start)) this.#number();
		else if (start === "t") this.#literal("true");
		else if (start === "f") this.#literal("false");
		else if (start === "n") this.#literal("null");
		else throw this.#mismatch("looking for beginning of value");
	}

	#string(): void {
		this.#at++;
		for (;;) {
			const character = this.#peek();
			if (character === '"') break;
			if (character < " ") throw this.#mismatch("in string literal");
			this.#at++;
			if (character === "\\") this.#escape();
		}
		this.#at++;
	}

	#escape(): void {
		if (!'"\\/bfnrtu'.includes(this.#peek())) throw this.#mismatch("in string escape code");
		if (!this.#take("u")) {
			this.#at++;
			return;
		}
		for (let i = 0; i < 4; i++) {
			if (!/[0-9a-fA-F]/.test(this.#peek())) throw this.#mismatch("in \\u hexadecimal character escape");
			this.#at++;
		}
	}

	#number(): void {
		this.#take("-");
		if (!this.#take("0")) this.#digits("in numeric literal");
		if (this.#takeAtEnd(".")) this.#digits("after decimal point in numeric literal");
		if (!this.#takeAtEnd("e") && !this.#takeAtEnd("E")) return;
		if (!this.#take("+")) this.#take("-");
		this.#digits("in exponent of numeric literal");
	}

	#digits(context: string): void {
		if (!isDigit(this.#peek())) throw this.#mismatch(context);
		while (this.#at < this.#bytes.length && isDigit(this.#peek())) this.#at++;
	}

	#literal(word: string): void {
		for (const letter of word) {
			if (!this.#take(letter)) throw this.#mismatch(`in literal ${word} (expecting '${letter}')`);
		}
	}

	#space(): void {
		while (this.#at < this.#bytes.length && " \t\r\n".includes(this.#peek())) this.#at++;
	}

	#take(character: string): boolean {
		if (this.#peek() !== character) return false;
		this.#at++;
		return true;
	}

	/** As `#take`, but the text may end here. */
	#takeAtEnd(character: string): boolean {
		return this.#at < this.#bytes.length && this.#take(character);
	}

	/** The next byte as a character, as Go names it in its sentences: bytes above 0x7f by their Latin-1 letter. */
	#peek(): string {
		const byte = this.#bytes[this.#at];
		if (byte === undefined) throw new Mismatch("unexpected end of JSON input");
		return String.fromCharCode(byte);
	}

	#mismatch(context: string): Mismatch {
		const character = this.#peek();
		const name = character === "'" ? "\\'" : character === '"' ? '"' : quoteCharacter(character);
		const from = Math.max(0, this.#at - 20);
		let near = from > 0 ? "..." : "";
		for (const byte of this.#bytes.subarray(from, this.#at + 12)) {
			near += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : " ";
		}
		if (this.#at + 12 < this.#bytes.length) near += "...";
		return new Mismatch(`invalid character '${name}' ${context} (byte ${this.#at}, near ${near.trim()})`);
	}
}

function isDigit(character: string): boolean {
	return character >= "0" && character <= "9";
}
