/**
 * Network namespaces for tests, with `ip -j` as the witness.
 */
import { execFileSync } from "node:child_process";

let counter = 0;

/** Namespaces that end with the test: `using lab = new NetnsLab(); const pod = lab.add();` */
export class NetnsLab {
	readonly #names: string[] = [];

	/** A new namespace (lo down, nothing else); gives its name for `ip -n`. */
	add(): string {
		const name = `berth-${process.pid}-${counter++}`;
		execFileSync("ip", ["netns", "add", name]);
		this.#names.push(name);
		return name;
	}

	/** Somebody else has ended it. */
	forget(name: string): void {
		this.#names.splice(this.#names.indexOf(name), 1);
	}

	[Symbol.dispose](): void {
		for (const name of this.#names) execFileSync("ip", ["netns", "del", name]);
	}
}

export const netnsPath = (name: string): string => `/run/netns/${name}`;

/** Runs `ip -n NAMESPACE ...words`. */
export function ip(netns: string, command: string): string {
	return execFileSync("ip", ["-n", netns, ...command.split(" ")], {
		encoding: "utf8",
		stdio: ["ignore", "pipe", "pipe"],
	});
}

/** The objects that `ip -j -d ...` prints. */
// biome-ignore lint/suspicious/noExplicitAny: the shape is iproute2's.
export function ipJson(netns: string, command: string): any[] {
	return JSON.parse(ip(netns, `-j -d ${command}`) || "[]");
}
