/**
 * Where generated sequences of calls make host-local of ours and Go's part, on purpose, and why. After some of these
 * the stores differ, and so would all that follows: the sequence ends there.
 */
import type { Reply } from "./intended-differences.ts";

export interface Step {
	readonly verb: "ADD" | "DEL" | "CHECK";
	readonly id: string;
	readonly ifName: string;
}

/** Store files by name; "lock" left out. */
export type Files = Readonly<Record<string, string>>;

export interface Outcome {
	readonly reply: Reply;
	readonly before: Files;
	readonly after: Files;
}

export interface Difference {
	readonly name: string;
	readonly reason: string;
	/** Go's answer changes from run to run: it need not be seen in each. */
	readonly byChance?: boolean;
	explains(step: Step, go: Outcome, ours: Outcome): boolean;
}

const sortedWords = (text = ""): string => text.split(" ").sort().join(" ");

/** The files that `a` has and `b` has not; undefined where they differ in more than that. */
function surplus(a: Files, b: Files): string[] | undefined {
	if (Object.entries(b).some(([name, text]) => a[name] !== text)) return undefined;
	return Object.keys(a).filter((name) => !(name in b));
}

/** Both answer; the sequence goes on. */
export const SENTENCES: readonly Difference[] = [
	{
		name: "order of unmet requests",
		reason: "Go lists them in the order of a map, which is another one in each run.",
		byChance: true,
		explains: (_, go, ours) =>
			go.reply.message?.startsWith("failed to allocate all requested IPs") === true &&
			sortedWords(go.reply.message) === sortedWords(ours.reply.message),
	},
];

/** The sequence ends. */
export const PARTINGS: readonly Difference[] = [
	{
		name: "small networks",
		reason: "Go refuses /31, /32, /127 and /128. Ours hands out all of their addresses.",
		explains: (_, go) => / too small to allocate from$/.test(go.reply.message ?? ""),
	},
	{
		name: "a range that starts at the broadcast address",
		reason: "Go hands that address out. Ours says that rangeStart lies behind the last address.",
		byChance: true,
		explains: (_, _go, ours) => ours.reply.message?.includes("is the broadcast address of") === true,
	},
	{
		name: "DEL with ranges that are not valid",
		reason: "Go's DEL fails, and the address is held for ever. Ours needs only the name and dataDir to release it.",
		explains: ({ verb }, go, ours) => verb === "DEL" && go.reply.kind === "error" && ours.reply.status === 0,
	},
	{
		name: "undo by attachment",
		reason:
			"When a later range set has no address, Go releases everything that the interface holds in the store, also what an earlier ADD gave it. Ours releases what this ADD took.",
		explains: ({ verb, id, ifName }, go, ours) =>
			verb === "ADD" &&
			go.reply.kind === "error" &&
			go.reply.message === ours.reply.message &&
			(surplus(ours.after, go.after)?.every((name) => [`${id}\r\n${ifName}`, id].includes(ours.after[name]!.trim())) ??
				false),
	},
	{
		name: "DEL once for each range set",
		reason:
			"Go's DEL looks once for each range set: the first time it releases what names the interface, and then, having found nothing more, the files that name no interface, which may belong to another one. Ours looks once.",
		explains: ({ verb, id }, go, ours) =>
			verb === "DEL" &&
			go.reply.status === 0 &&
			ours.reply.status === 0 &&
			(surplus(ours.after, go.after)?.every((name) => ours.after[name]!.trim() === id) ?? false),
	},
];
