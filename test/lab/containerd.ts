/**
 * Debian's containerd and runc on a machine (a node on this host, the guest), with the image of pods' sandboxes.
 */
import { GuestProgram } from "./guest-program.ts";
import { PAUSE_IMAGE, pauseImage } from "./image.ts";
import type { Machine, RunningCommand, RunOptions, RunResult } from "./machine.ts";
import { until } from "./until.ts";

/** Where the executables of CNI plugins and the networks' configurations are: containerd's defaults, and ctr's. */
export const CNI_BIN = "/opt/cni/bin";
export const CNI_CONF = "/etc/cni/net.d";

/** Of Debian's package containernetworking-plugins. */
const DEBIAN_PLUGINS = "/usr/lib/cni";

/** Puts Debian's Go plugins there. containerd calls `loopback` for every pod. */
export async function installGoPlugins(machine: Machine, names: readonly string[]): Promise<void> {
	await machine.run(["cp", ...names.map((name) => `${DEBIAN_PLUGINS}/${name}`), `${CNI_BIN}/`]);
}

interface Settings {
	/** Empty, and no overlay: a tmpfs, for one. */
	readonly directory: string;
	/** How many configurations each pod gets, in the order of their files' names. Default 1. */
	readonly networks?: number;
}

/** `await using containerd = await Containerd.start(machine, { directory })` */
export class Containerd {
	readonly socket: string;
	readonly #machine: Machine;
	readonly #program: GuestProgram;

	static async start(machine: Machine, { directory, networks = 1 }: Settings): Promise<Containerd> {
		const socket = `${directory}/containerd.sock`;
		const config = `${directory}/containerd.toml`;
		await machine.writeFile(
			config,
			`version = 2
root = "${directory}/root"
state = "${directory}/state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${CNI_BIN}"
  conf_dir = "${CNI_CONF}"
  max_conf_num = ${networks}
`,
		);
		const program = new GuestProgram(machine, ["containerd", "--config", config]);
		const containerd = new Containerd(machine, program, socket);
		try {
			const isReady = async () => (await containerd.ctr(["version"], { ok: false })).status === 0;
			await until("containerd", isReady, () => containerd.log);
			await containerd.importImage(pauseImage());
		} catch (error) {
			await program[Symbol.asyncDispose]();
			throw error;
		}
		return containerd;
	}

	private constructor(machine: Machine, program: GuestProgram, socket: string) {
		this.#machine = machine;
		this.#program = program;
		this.socket = socket;
	}

	/** What it has said. */
	get log(): string {
		return this.#program.output;
	}

	/** Its command line client. Namespace: that of Kubernetes. */
	ctr(words: readonly string[], options: RunOptions = {}): Promise<RunResult> {
		return this.#machine.run(this.ctrCommand(words), options);
	}

	ctrCommand(words: readonly string[]): string[] {
		return ["ctr", "--address", this.socket, "--namespace", "k8s.io", ...words];
	}

	/** A tar of an OCI layout. */
	async importImage(archive: Uint8Array): Promise<void> {
		await this.ctr(["images", "import", "-"], { stdin: archive });
	}

	/** The first process of a pod's sandbox, as the machine sees it; undefined while there is none. */
	async sandboxPid(pod: string): Promise<number | undefined> {
		const filter = `labels."io.kubernetes.pod.name"==${pod},labels."io.cri-containerd.kind"==sandbox`;
		const ids = (await this.ctr(["containers", "list", "--quiet", filter])).stdout.split("\n");
		const tasks = (await this.ctr(["tasks", "list"])).stdout.split("\n").map((line) => line.split(/ +/));
		const running = tasks.find(([id, , status]) => id !== "" && ids.includes(id!) && status === "RUNNING");
		return running && Number(running[1]);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#program[Symbol.asyncDispose]();
	}
}

/** A container that `ctr run --cni` runs: `await using container = await CtrContainer.run(...)` */
export class CtrContainer {
	readonly #machine: Machine;
	readonly #containerd: Containerd;
	readonly #command: RunningCommand;
	/** Of its first process, on the machine. */
	pid = 0;

	/** Its root is a directory with a program `/pause`. */
	static async run(machine: Machine, containerd: Containerd, rootfs: string): Promise<CtrContainer> {
		const container = new CtrContainer(machine, containerd, rootfs);
		try {
			container.pid = await container.#started();
		} catch (error) {
			await container[Symbol.asyncDispose]();
			throw error;
		}
		return container;
	}

	private constructor(machine: Machine, containerd: Containerd, rootfs: string) {
		this.#machine = machine;
		this.#containerd = containerd;
		const words = ["run", "--rm", "--cni", "--rootfs", rootfs, "one", "/pause"];
		this.#command = machine.start(containerd.ctrCommand(words), { ok: false });
	}

	async #started(): Promise<number> {
		const refused = this.#command.result.then(({ stderr }) => Promise.reject(new Error(`ctr run: ${stderr}`)));
		const running = until("the container", async () => {
			const { stdout } = await this.#containerd.ctr(["tasks", "list"]);
			const pid = /^one +(\d+) +RUNNING/m.exec(stdout)?.[1];
			return pid === undefined ? undefined : Number(pid);
		});
		return Promise.race([running, refused]);
	}

	/** Runs a command of the machine in the container's network namespace. */
	// biome-ignore lint/suspicious/noExplicitAny: as in Machine.
	json(command: string): Promise<any> {
		return this.#machine.json(["nsenter", `--target=${this.pid}`, "--net", ...command.split(" ")]);
	}

	/** Of global scope, "10.0.0.2/24". */
	async addresses(ifname: string): Promise<string[]> {
		const [link] = await this.json(`ip -j address show ${ifname}`);
		const all: { local: string; prefixlen: number; scope: string }[] = link.addr_info;
		return all.filter(({ scope }) => scope === "global").map(({ local, prefixlen }) => `${local}/${prefixlen}`);
	}

	/** What `ctr run` has said, after DEL. */
	async end(): Promise<RunResult> {
		await this.#containerd.ctr(["tasks", "kill", "one"], { ok: false });
		return this.#command.result;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.end();
		// After an ADD that failed it is still there.
		await this.#containerd.ctr(["containers", "delete", "one"], { ok: false });
	}
}
