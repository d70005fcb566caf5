/**
 * Calls of IPAM plugins as a runtime makes them, ours and the Go ones, and the files of a host-local store.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { onTestFinished } from "vitest";
import { binaries } from "./executables.ts";

/** Our executable of this name. */
export function ours(name: string): string {
	return join(binaries, name);
}

/** An ADD, whose sandbox and path are not there. */
export const ENV = {
	CNI_COMMAND: "ADD",
	CNI_CONTAINERID: "c1",
	CNI_NETNS: "/nowhere",
	CNI_IFNAME: "eth0",
	CNI_PATH: "/nowhere",
};

export interface Call {
	readonly config: unknown;
	/** Default "c1". */
	readonly id?: string;
	/** Default "eth0". */
	readonly ifName?: string;
	/** CNI_ARGS. */
	readonly args?: string;
	/** CNI_NETNS; default one that is not there. */
	readonly netns?: string;
	/**
	 * Shell commands that run first, in a private mount namespace that the plugin then shares; "$@" is the plugin's
	 * command line for scripts that have to go on after it. What they print goes before the answer.
	 */
	readonly script?: string;
}

export interface Answer {
	readonly status: number | undefined;
	// biome-ignore lint/suspicious/noExplicitAny: whatever JSON it is; undefined where nothing was printed.
	readonly json: any;
	readonly stdout: string;
	readonly stderr: string;
}

export async function call(executable: string, verb: string, options: Call): Promise<Answer> {
	const { config, id = "c1", ifName = "eth0", args = "", netns = "/var/run/netns/none", script } = options;
	const command = script === undefined ? [executable] : ["unshare", "-m", "sh", "-euc", script, "sh", executable];
	const { exitCode, stdout, stderr } = await execa(command[0]!, command.slice(1), {
		input: typeof config === "string" ? config : JSON.stringify(config),
		env: {
			PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
			CNI_COMMAND: verb,
			CNI_CONTAINERID: id,
			CNI_NETNS: netns,
			CNI_IFNAME: ifName,
			CNI_ARGS: args,
			CNI_PATH: "/opt/cni/bin",
		},
		extendEnv: false,
		reject: false,
		stripFinalNewline: false,
		timeout: 200_000,
	});
	const start = script === undefined ? 0 : stdout.indexOf("{");
	const json = stdout.trim() === "" || start < 0 ? undefined : JSON.parse(stdout.slice(start));
	return { status: exitCode, json, stdout, stderr };
}

/** A network of a main plugin with whereabouts, and its file of how to reach the API server. */
export const whereaboutsNetwork = (kubeconfig: string, ipam: object) => ({
	cniVersion: "1.1.0",
	name: "net",
	type: "sriov",
	ipam: { type: "whereabouts", kubernetes: { kubeconfig }, ...ipam },
});

/** A directory that goes away with the test. */
export function scratchDirectory(): string {
	const directory = mkdtempSync(join(tmpdir(), "berth-ipam-"));
	// A writer in the background may still be at its last file.
	onTestFinished(() => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }));
	return directory;
}

/** Name and text of every file in a store, sorted; without `lock`, which stays empty. */
export function storeFiles(directory: string): Record<string, string> {
	const names = readdirSync(directory).filter((name) => name !== "lock");
	return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(directory, name), "utf8")]));
}

/** The addresses that a store holds. */
export function heldAddresses(directory: string): string[] {
	return Object.keys(storeFiles(directory)).filter((name) => !name.startsWith("last_reserved_ip."));
}

export function modeOf(path: string): string {
	return (statSync(path).mode & 0o7777).toString(8).padStart(4, "0");
}
