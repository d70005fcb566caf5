/**
 * FNV-1a, which spreads texts evenly and keeps no secret: draft-eastlake-fnv, sections 2 and 5.
 */
import { encodeUtf8 } from "../sys/sys.ts";

const PARAMETERS = {
	64: { basis: 0xcbf29ce484222325n, prime: 0x100000001b3n },
	128: { basis: 0x6c62272e07bb014262b821756295c58dn, prime: 0x0000000001000000000000000000013bn },
} as const;

/** The hash of the text's bytes in UTF-8, a number of so many bits. */
export function fnv1a(text: string, bits: keyof typeof PARAMETERS): bigint {
	const { basis, prime } = PARAMETERS[bits];
	let hash: bigint = basis;
	for (const byte of encodeUtf8(text)) hash = BigInt.asUintN(bits, (hash ^ BigInt(byte)) * prime);
	return hash;
}
