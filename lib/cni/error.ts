/** Error codes of the specification (1.1.0, section 5.3) that we use; 100 and above are the plugin's own. */
export const Code = {
	incompatibleVersion: 1,
	unsupportedField: 2,
	unknownContainer: 3,
	invalidEnvironment: 4,
	io: 5,
	decoding: 6,
	invalidConfig: 7,
	/** Go skel: the sandbox is the plugin's own network namespace. */
	invalidNetns: 8,
	tryAgain: 11,
	notAvailable: 50,
	limitedConnectivity: 51,
	/** The kernel or a driver refused a change, or a device is not as it must be. */
	device: 100,
	/** IPAM: the pool has no free address, or the asked-for one is not to be had. */
	allocation: 101,
	/** CHECK: what is there differs from what ADD made. */
	checkFailed: 102,
	/** A delegate could not be found or run, or answered nonsense. */
	delegation: 103,
	internal: 999,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

/** The one error of the protocol: printed as JSON on stdout, exit status 1. `code` may be a delegate's own. */
export class CniError extends Error {
	readonly code: number;
	readonly details: string;

	constructor(code: number, message: string, details = "") {
		super(message);
		this.name = "CniError";
		this.code = code;
		this.details = details;
	}
}

/** What CHECK says of the first difference that it finds. */
export const checkFailed = (sentence: string): CniError => new CniError(Code.checkFailed, sentence);
