/**
 * Pods and attachments on a machine: network namespaces, and the CNI plugins called as a runtime calls them.
 */
import { binaries } from "./executables.ts";
import type { Machine, RunResult } from "./machine.ts";

export { binaries };

export type Configuration = Record<string, unknown> & { readonly name: string };

export interface Call {
	readonly containerId: string;
	/** Path of the sandbox; "" for none. */
	readonly netns: string;
	readonly ifName?: string;
	readonly args?: string;
	/** CNI_PATH, default: our executables. */
	readonly path?: string;
	/** File that stdout goes to, in place of the answer. */
	readonly stdout?: string;
}

export interface Answer {
	readonly status: number | null;
	readonly signal: NodeJS.Signals | null;
	/** stdout parsed; undefined where it is empty. Not JSON: an error of the test. */
	// biome-ignore lint/suspicious/noExplicitAny: results and errors of every version.
	readonly json: any;
	readonly stdout: string;
	readonly stderr: string;
}

/** Makes a pod: a network namespace as `ip netns` makes it. Returns the path of its sandbox. */
export async function createPod(machine: Machine, name: string): Promise<string> {
	await machine.run(["ip", "netns", "add", name]);
	return `/run/netns/${name}`;
}

/** Runs a plugin as a container runtime does. Any exit status is an answer. */
export async function callPlugin(
	machine: Machine,
	plugin: string,
	verb: string,
	configuration: Configuration,
	call: Call,
): Promise<Answer> {
	const env: Record<string, string> = {
		CNI_COMMAND: verb,
		CNI_CONTAINERID: call.containerId,
		CNI_IFNAME: call.ifName ?? "net1",
		CNI_PATH: call.path ?? binaries,
		...(call.netns && { CNI_NETNS: call.netns }),
		...(call.args && { CNI_ARGS: call.args }),
	};
	const program = `${binaries}/${plugin}`;
	const argv = call.stdout === undefined ? [program] : ["sh", "-c", `exec "$0" >${call.stdout}`, program];
	return parseAnswer(await machine.run(argv, { env, stdin: JSON.stringify(configuration), ok: false }));
}

/** Throws with all that a verb said if it failed. */
export function succeeded(answer: Answer): Answer {
	if (answer.status === 0) return answer;
	throw new Error(`exit status ${answer.status} (${answer.signal}):\n${answer.stdout}\n${answer.stderr}`);
}

export function parseAnswer({ status, signal, stdout, stderr }: RunResult): Answer {
	return { status, signal, stdout, stderr, json: stdout === "" ? undefined : JSON.parse(stdout) };
}

/**
 * What the kernel shows of the interfaces of a namespace (undefined: the host's), by name, every setting of every VF
 * included.
 */
// biome-ignore lint/suspicious/noExplicitAny: the output of `ip -j`.
export async function links(machine: Machine, pod?: string): Promise<any[]> {
	const where = pod === undefined ? [] : ["-n", pod];
	const all = await machine.json(["ip", ...where, "-j", "-d", "link", "show"]);
	for (const link of all) {
		// An interface that is down shows the queueing discipline of when it was up, until it is moved: not a setting.
		if (!link.flags.includes("UP")) delete link.qdisc;
		// igbvf takes on another at each reset of the VF.
		delete link.permaddr;
	}
	return all.sort((a: { ifname: string }, b: { ifname: string }) => (a.ifname < b.ifname ? -1 : 1));
}

/**
 * Files of state that are left below /var/lib/cni, without what stays for good: lock files and Go's round-robin memory.
 */
export async function stateFiles(machine: Machine): Promise<string[]> {
	const { stdout } = await machine.run([
		"sh",
		"-c",
		"[ ! -e /var/lib/cni ] || find /var/lib/cni -type f ! -name '*.lock' ! -name lock ! -name 'last_reserved_ip.*'",
	]);
	return stdout.split("\n").filter(Boolean).sort();
}

/** All that a verb may change on the host, to be compared before and after. */
export async function hostState(machine: Machine): Promise<unknown> {
	return { links: await links(machine), files: await stateFiles(machine) };
}
