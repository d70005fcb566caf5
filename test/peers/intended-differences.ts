/**
 * Where ours answers otherwise than Go's plugins, on purpose, and why. What is neither explained by a rule nor listed
 * for its case must be equal; a rule or an entry that explains nothing fails the test too.
 */

/** What a plugin answered: "garbled" is more than one document, or something that is not JSON. */
export interface Reply {
	readonly status: number | null;
	readonly kind: "nothing" | "result" | "error" | "garbled";
	readonly stdout: string;
	readonly stderr: string;
	readonly code?: number;
	readonly message?: string;
	readonly details?: string;
}

/**
 * "kind": one gives a result where the other gives none. "stderr" counts only where it is the answer: without
 * CNI_COMMAND.
 */
export type Field = "status" | "kind" | "result" | "code" | "message" | "details" | "stderr";

export interface Rule {
	readonly field: Field;
	readonly reason: string;
	explains(go: Reply, ours: Reply): boolean;
}

/** 4 environment, 5 I/O, 6 decoding, 7 configuration, 11 try again, 101 allocation, 102 check: lib/cni/error.ts. */
const TYPED_CODES = [4, 5, 6, 7, 11, 101, 102];

const JSON_TYPE_ERROR = /^(.*: )?json: cannot unmarshal .* into Go /;
const JSON_PLACE = / \(byte \d+, near .*\)$/;

export const RULES: readonly Rule[] = [
	{
		field: "code",
		reason: "Go's plugins answer 999 to every error of their own; ours tells what kind it is, and keeps 999 for bugs.",
		explains: (go, ours) => go.code === 999 && TYPED_CODES.includes(ours.code!),
	},
	{
		field: "details",
		reason: "Go gives no details; ours adds the field, the file or what to do.",
		explains: (go, ours) => go.details === undefined && ours.details !== undefined,
	},
	{
		field: "message",
		reason: "For a value of a wrong type Go names its own types; ours names the field, what it must be and what it is.",
		explains: (go, ours) => {
			const prefix = JSON_TYPE_ERROR.exec(go.message!);
			return prefix !== null && ours.message!.startsWith(prefix[1] ?? "") && / must be .*, not /.test(ours.message!);
		},
	},
	{
		field: "message",
		reason: "Go tells what is wrong in a text that is not JSON; ours also tells where.",
		explains: (go, ours) => JSON_PLACE.test(ours.message!) && ours.message!.replace(JSON_PLACE, "") === go.message,
	},
	{
		field: "stderr",
		reason: "The about text has our version.",
		explains: (go, ours) => ours.stderr.replace(/ v[\d.]+$/m, "") === go.stderr.replace(/ v[\d.]+$/m, ""),
	},
];

export interface ListedDifference {
	readonly case: string;
	/** Which of the case's calls; 0 is the first. */
	readonly call?: number;
	readonly fields: readonly Field[];
	readonly reason: string;
}

const TWO_DOCUMENTS =
	"Go compares the namespaces after the work: it prints the result and then the error, which no client can parse. Ours compares before the work and prints the error alone.";

const GONE =
	"Go does the work of DEL and then fails, each time again. For ours the sandbox is gone (its /proc path leads to us): done, so that the pod can end.";

export const LISTED: readonly ListedDifference[] = [
	{ case: "ADD in the plugin's own netns", fields: ["kind"], reason: TWO_DOCUMENTS },
	{ case: "ADD in the plugin's own netns, override 0", fields: ["kind"], reason: TWO_DOCUMENTS },
	{ case: "ADD in the plugin's own netns, override yes", fields: ["kind"], reason: TWO_DOCUMENTS },
	{ case: "DEL in the plugin's own netns", fields: ["status", "kind"], reason: GONE },
	{ case: "DEL in the plugin's own netns, override 0", fields: ["status", "kind"], reason: GONE },
	{ case: "DEL in the plugin's own netns, override yes", fields: ["status", "kind"], reason: GONE },
	{ case: "host-local: after a DEL in the plugin's own netns", call: 1, fields: ["status", "kind"], reason: GONE },
	{
		case: "host-local: no subnet",
		fields: ["message"],
		reason: 'Go says "IP <nil> not v4 nor v6" of what is missing; ours names the field.',
	},
	{
		case: "host-local: a route without destination",
		fields: ["status", "kind"],
		reason: 'Go prints the destination "<nil>", which no client can parse. Ours refuses the configuration.',
	},
	{
		case: "host-local: a resolv.conf that is not there",
		fields: ["message"],
		reason: "Ours names the system call that failed and its errno.",
	},
	{
		case: "static: an empty address",
		fields: ["message"],
		reason: "Go speaks of an empty value; ours says that the field is missing, and which.",
	},
	{
		case: "host-local: a /31",
		fields: ["status", "kind"],
		reason: "Go refuses networks of one or two addresses. Ours hands out all of them.",
	},
	{
		case: "host-local: an IPv6 /127",
		fields: ["status", "kind"],
		reason: "As for a /31.",
	},
	{
		case: "host-local: DEL with ranges that are no longer valid",
		call: 1,
		fields: ["status", "kind"],
		reason: "Go's DEL fails, and the address is held for ever. Ours needs only the name and dataDir to release it.",
	},
	{
		case: "host-local: GC with one valid attachment",
		call: 3,
		fields: ["status", "kind"],
		reason:
			"Go's GC does nothing. Ours has released the address of the attachment that is not valid, so CHECK misses it.",
	},
];
