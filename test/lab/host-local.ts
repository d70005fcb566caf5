/**
 * host-local for tests: a network of its own in a directory of its own.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { type Answer, type Call, call, ours, scratchDirectory } from "./ipam.ts";

export const range = (subnet: string, more: object = {}) => ({ subnet, ...more });

export function network(ipam: object = { ranges: [[range("10.1.2.0/24")]] }, more: object = {}) {
	const dataDir = scratchDirectory();
	const config = {
		cniVersion: "1.1.0",
		name: "net",
		type: "sriov",
		ipam: { type: "host-local", dataDir, ...ipam },
		...more,
	};
	const directory = join(dataDir, "net");
	const runWith = (executable: string, verb: string, options: Partial<Call> = {}) =>
		call(executable, verb, { config, ...options });
	return {
		dataDir,
		config,
		/** The network's store. */
		directory,
		/** Calls ours. */
		run: (verb: string, options: Partial<Call> = {}) => runWith(ours("host-local"), verb, options),
		/** Calls another executable, such as the Go plugin. */
		runWith,
		/** Puts files into the store. */
		put(files: Record<string, string>): void {
			mkdirSync(directory, { recursive: true });
			for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
		},
	};
}

/** The addresses of a successful ADD. */
export function addresses(answer: Answer): string[] {
	expect(answer).toMatchObject({ status: 0 });
	return answer.json.ips.map((ip: { address: string }) => ip.address);
}

/** Text of an address file. */
export const held = (id: string, ifName = "eth0") => `${id}\r\n${ifName}`;
