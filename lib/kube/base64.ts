/**
 * Base64 (RFC 4648, sections 4 and 5), which the engine has no function for.
 */
import { decodeUtf8, encodeUtf8 } from "../sys/sys.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The text of these digits, white space between them allowed, of either alphabet; undefined where they are none. */
export function decodeBase64(encoded: string): string | undefined {
	const digits = encoded.replace(/\s+/g, "").replace(/=+$/, "").replaceAll("-", "+").replaceAll("_", "/");
	const bytes = new Uint8Array(Math.floor((digits.length * 3) / 4));
	let [bits, count, at] = [0, 0, 0];
	for (const digit of digits) {
		const value = ALPHABET.indexOf(digit);
		if (value < 0) return undefined;
		bits = ((bits << 6) | value) & 0xffff;
		count += 6;
		if (count < 8) continue;
		count -= 8;
		bytes[at++] = (bits >> count) & 0xff;
	}
	return digits.length % 4 === 1 ? undefined : decodeUtf8(bytes);
}

/** The digits of a text, of section 4. */
export function encodeBase64(text: string): string {
	const bytes = encodeUtf8(text);
	let encoded = "";
	for (let at = 0; at < bytes.length; at += 3) {
		const [first = 0, second = 0, third = 0] = bytes.subarray(at, at + 3);
		const bits = (first << 16) | (second << 8) | third;
		for (const shift of [18, 12, 6, 0]) encoded += ALPHABET[(bits >> shift) & 63];
	}
	const padding = (3 - (bytes.length % 3)) % 3;
	return `${encoded.slice(0, encoded.length - padding)}${"=".repeat(padding)}`;
}
