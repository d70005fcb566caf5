/**
 * What is measured and where: the executables side by side, a network namespace, state on tmpfs, and the calls of the
 * verbs.
 */
import { once } from "node:events";
import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { type Peer, peer } from "../../test/lab/peers.ts";
import { ROOT } from "./command.ts";

/** One run of a program. */
export interface Call {
	/**
	 * Relative to the laboratory's `programs`, so that a count does not depend on where the checkout lies; or absolute.
	 */
	readonly program: string;
	readonly arguments?: readonly string[];
	readonly environment?: Readonly<Record<string, string>>;
	/** One line of JSON. */
	readonly stdin?: string;
}

export const MAKERS = ["ours", "Go"] as const;
export type Maker = (typeof MAKERS)[number];
type Plugin = "host-local" | "static" | "sriov" | "rdma";

/** As kubelet and Multus call a plugin. */
const ENVIRONMENT = {
	PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
	CNI_PATH: "/opt/cni/bin",
	CNI_CONTAINERID: "0d2f6f1f1e7c4b0ba2d5b3c6f9f3f0a4e8a1c7d9b6e5f4a3c2b1d0e9f8a7b6c5",
	CNI_IFNAME: "net1",
	CNI_ARGS:
		"IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=7f9c24e5-8f0b-4c6e-9f43-5a2d1c3b4e5f",
};

/** `configuration` goes to a plugin, whose call the variables CNI_... tell of. */
export function callOf(program: string, variables: Record<string, string>, configuration: object): Call {
	const environment = { PATH: ENVIRONMENT.PATH, ...variables };
	return { program, environment, stdin: JSON.stringify(configuration) };
}

export class Laboratory implements Disposable {
	/** Directory with `ours/<plugin>` and `Go/<plugin>`. */
	readonly programs: string;
	/** Directory on tmpfs, where there is one: a path of the same length in every run. */
	readonly state: string;
	#holder: ReturnType<typeof holdNetns> | undefined;

	private constructor() {
		mkdirSync(join(ROOT, "build"), { recursive: true });
		this.programs = mkdtempSync(join(ROOT, "build/bench-"));
		this.state = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "berth-bench-"));
	}

	/** Copies of `executable` and of the peers, so that a build meanwhile changes nothing. */
	static async open(executable: string): Promise<Laboratory> {
		const laboratory = new Laboratory();
		try {
			await laboratory.#furnish(executable);
		} catch (error) {
			laboratory[Symbol.dispose]();
			throw error;
		}
		return laboratory;
	}

	async #furnish(executable: string): Promise<void> {
		for (const maker of MAKERS) mkdirSync(join(this.programs, maker));
		const first = join(this.programs, "ours/host-local");
		copyFileSync(executable, first);
		for (const name of ["static", "sriov", "rdma"]) linkSync(first, join(this.programs, "ours", name));
		for (const name of ["host-local", "static"] satisfies Peer[]) {
			copyFileSync(await peer(name), join(this.programs, "Go", name));
		}
		this.#holder = holdNetns();
		await Promise.race([once(this.#holder.stdout, "data"), this.#holder]);
		symlinkSync(`/proc/${this.#holder.pid}/ns/net`, join(this.state, "netns"));
	}

	[Symbol.dispose](): void {
		this.#holder?.kill();
		for (const directory of [this.programs, this.state]) rmSync(directory, { recursive: true, force: true });
	}

	/** Forgets every address that is held. */
	clear(maker: Maker): void {
		rmSync(this.#store(maker), { recursive: true, force: true });
	}

	version(maker: Maker, plugin: Plugin): Call {
		return { program: `./${maker}/${plugin}`, environment: { ...ENVIRONMENT, CNI_COMMAND: "VERSION" } };
	}

	/** `more` goes into the configuration, with what every network has. */
	call(command: "ADD" | "DEL" | "CHECK" | "STATUS", maker: Maker, plugin: Plugin, more: object = {}): Call {
		const config = {
			cniVersion: command === "STATUS" ? "1.1.0" : "1.0.0",
			name: "bench",
			type: "sriov",
			...this.#config(maker, plugin),
			...more,
		};
		return {
			program: `./${maker}/${plugin}`,
			environment: { ...ENVIRONMENT, CNI_COMMAND: command, CNI_NETNS: join(this.state, "netns") },
			stdin: JSON.stringify(config),
		};
	}

	#config(maker: Maker, plugin: Plugin): object {
		const routes = [{ dst: "0.0.0.0/0" }];
		const ranges = [[{ subnet: "10.1.2.0/24" }]];
		switch (plugin) {
			case "static": {
				const addresses = [{ address: "10.10.0.1/24", gateway: "10.10.0.254" }];
				return { ipam: { type: "static", addresses, routes } };
			}
			case "host-local":
				return { ipam: { type: "host-local", ranges, routes, dataDir: this.#store(maker) } };
			// No machine has a bus of this number and this function on it: the device is not found.
			default:
				return { deviceID: "0000:ff:1f.7", vlan: 100, ipam: { type: "host-local", ranges } };
		}
	}

	/** Both names are of one length: the counts of the two makers are made of the same input. */
	#store(maker: Maker): string {
		return join(this.state, maker === "ours" ? "A" : "B");
	}
}

/**
 * A process that makes a network namespace of its own, and answers when it is in it. It ends with us, also when we are
 * killed: its stdin is a pipe of ours.
 */
function holdNetns() {
	const asUser = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
	return execa("unshare", [...asUser, "--net", "sh", "-c", "echo; exec cat"]);
}
