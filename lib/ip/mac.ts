/**
 * Hardware addresses, read as Go reads them (net.ParseMAC of Go 1.26).
 */

/** 6 bytes (Ethernet), 8 (EUI-64, InfiniBand GUID) or 20 (IP over InfiniBand). */
export type Mac = Uint8Array;

/**
 * The address that `text` is, or undefined: pairs of hex digits joined by ":" or "-", groups of four joined by ".", or
 * (as of Go 1.26) digits alone; 6, 8 or 20 bytes.
 */
export function parseMac(text: string): Mac | undefined {
	let separator = "";
	let group = 2;
	if (text[2] === ":" || text[2] === "-") {
		separator = text[2];
	} else if (text[4] === ".") {
		separator = ".";
		group = 4;
	}
	const bytes: number[] = [];
	let inGroup = 0;
	for (let at = 0; at < text.length; ) {
		if (inGroup === group && separator !== "") {
			if (text[at] !== separator) return undefined;
			at++;
			inGroup = 0;
		}
		const high = hexDigit(text, at);
		const low = hexDigit(text, at + 1);
		if (high < 0 || low < 0) return undefined;
		bytes.push(high * 16 + low);
		inGroup += 2;
		at += 2;
	}
	const whole = separator === "" || inGroup === group;
	return whole && (bytes.length === 6 || bytes.length === 8 || bytes.length === 20)
		? Uint8Array.from(bytes)
		: undefined;
}

/** 0 to 15, or -1 for another character or none. */
function hexDigit(text: string, at: number): number {
	return at < text.length ? HEX.indexOf(text[at]!.toLowerCase()) : -1;
}

const HEX = "0123456789abcdef";

/** Lower-case pairs joined by ":", the kernel's and Go's way. */
export function formatMac(mac: Mac): string {
	let text = "";
	for (const byte of mac) text += `${text === "" ? "" : ":"}${HEX[byte >> 4]}${HEX[byte & 15]}`;
	return text;
}

export function isZeroMac(mac: Mac): boolean {
	return mac.every((byte) => byte === 0);
}

/** The group bit: such an address (broadcast is one) cannot be an interface's own. */
export function isMulticastMac(mac: Mac): boolean {
	return (mac[0]! & 1) === 1;
}
