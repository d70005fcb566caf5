/**
 * Versions of the specification, as Go compares them.
 *
 * Source: containernetworking/cni v1.3.0, pkg/version.
 */
import { CniError, Code } from "./error.ts";
import { quote } from "./quote.ts";

/** The versions of the specification that we speak. */
export const SUPPORTED_VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
type SpecVersion = (typeof SUPPORTED_VERSIONS)[number];

/** The newest version: what VERSION names, whatever the input's. */
const NEWEST_VERSION: SpecVersion = "1.1.0";

/** The answer to VERSION: compact, one newline. */
export const VERSION_ANSWER = `${JSON.stringify({ cniVersion: NEWEST_VERSION, supportedVersions: SUPPORTED_VERSIONS })}\n`;

/** What a configuration without `cniVersion` means. The upgrade guide says 0.2.0; every Go plugin says this. */
export const DEFAULT_VERSION: SpecVersion = "0.1.0";

/** Exact membership, as in Go: neither "1.0" nor "v1.0.0" is "1.0.0". */
export function isSupported(version: string): version is SpecVersion {
	return (SUPPORTED_VERSIONS as readonly string[]).includes(version);
}

/** Throws code 1 for a version that is not ours, with Go's sentence. */
export function requireSupported(version: string): asserts version is SpecVersion {
	if (isSupported(version)) return;
	const supported = SUPPORTED_VERSIONS.map(quote).join(" ");
	throw new CniError(
		Code.incompatibleVersion,
		"incompatible CNI versions",
		`config is ${quote(version)}, plugin supports [${supported}]`,
	);
}

/**
 * Whether `version` is `other` or later. Either may have less than three parts. Throws code 6 for what is no version.
 */
export function isAtLeast(version: string, other: string): boolean {
	// Each of their parts has one digit.
	if (isSupported(version) && isSupported(other)) return version >= other;
	const left = parseVersion(version);
	const right = parseVersion(other);
	for (let i = 0; i < 3; i++) {
		if (left[i] !== right[i]) return left[i]! > right[i]!;
	}
	return true;
}

/** Major, minor, micro. Missing parts are 0; "" is 0.1.0. Throws code 6, with Go's sentences. */
export function parseVersion(version: string): [number, number, number] {
	if (version === "") return [0, 1, 0];
	const parts = version.split(".");
	if (parts.length >= 4) throw new CniError(Code.decoding, `invalid version ${quote(version)}: too many parts`);
	return [parsePart(parts[0]!, "major"), parsePart(parts[1] ?? "0", "minor"), parsePart(parts[2] ?? "0", "micro")];
}

function parsePart(text: string, name: string): number {
	// strconv.Atoi: decimal digits with an optional sign, within 64 bits.
	if (!/^[+-]?[0-9]+$/.test(text)) throw partError(text, name, "invalid syntax");
	const value = BigInt(text.startsWith("+") ? text.slice(1) : text);
	if (BigInt.asIntN(64, value) !== value) throw partError(text, name, "value out of range");
	return Number(value);
}

function partError(text: string, name: string, reason: string): CniError {
	const part = quote(text);
	return new CniError(
		Code.decoding,
		`failed to convert ${name} version part ${part}: strconv.Atoi: parsing ${part}: ${reason}`,
	);
}
