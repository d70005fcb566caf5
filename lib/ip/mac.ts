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
	const digits = FORMS.test(text) ? text.replace(/[:.-]/g, "") : "";
	const length = digits.length / 2;
	if (length !== 6 && length !== 8 && length !== 20) return undefined;
	return Uint8Array.from({ length }, (_, at) => Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}

const FORMS =
	/^(?:[0-9a-f]{2}(?::[0-9a-f]{2})+|[0-9a-f]{2}(?:-[0-9a-f]{2})+|[0-9a-f]{4}(?:\.[0-9a-f]{4})+|[0-9a-f]+)$/i;

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
