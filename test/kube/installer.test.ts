/**
 * The command lines of the manifests, in a root as their pods have it: the executable, the mounts, a read-only file
 * system, no capability; with the tokens of their accounts, on a real API server.
 */
import {
	chmodSync,
	chownSync,
	copyFileSync,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Background } from "../lab/dhcp.ts";
import { binaries } from "../lab/executables.ts";
import { call, scratchDirectory, whereaboutsNetwork } from "../lab/ipam.ts";
import { GROUP, Kube, type KubeObject, readManifest } from "../lab/kube.ts";
import { kustomize } from "../lab/renderings.ts";
import { until } from "../lab/until.ts";

const NAMESPACE = "kube-system";
const WHEREABOUTS = "etc/cni/net.d/whereabouts.d";
const SERVICE_ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount";
const NAMES = ["berth", "dhcp", "host-local", "rdma", "sriov", "static", "whereabouts"];

let kube: Kube;
beforeAll(async () => {
	kube = await Kube.start();
});
afterAll(() => kube?.stop());

/** Arguments: root, user, writable directories, "--", command. No capability but to get there. */
const IN_ROOT = `set -eu
root=$1 user=$2
shift 2
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
while [ "$1" != -- ]; do
	mount --bind "$root$1" "$root$1"
	shift
done
shift
mount -o remount,bind,ro "$root"
exec setpriv --bounding-set=-all,+sys_chroot,+setuid,+setgid --inh-caps=-all --no-new-privs \\
	chroot --userspec="$user" "$root" "$@"`;

/** What a pod has, and the part of the node that is mounted into it. */
class Pod {
	readonly root = scratchDirectory();
	readonly #user: string;
	readonly #writable: string[];

	static async of(podSpec: KubeObject): Promise<Pod> {
		const pod = new Pod(podSpec);
		const account = podSpec.serviceAccountName;
		pod.write(`${SERVICE_ACCOUNT}/token`, await kube.token(NAMESPACE, account));
		pod.write(`${SERVICE_ACCOUNT}/ca.crt`, kube.ca);
		pod.write(`${SERVICE_ACCOUNT}/namespace`, NAMESPACE);
		return pod;
	}

	private constructor({ containers, securityContext, volumes = [] }: KubeObject) {
		this.#user = `${securityContext.runAsUser}:${securityContext.runAsGroup}`;
		const mounts: KubeObject[] = containers[0].volumeMounts ?? [];
		for (const { mountPath } of mounts) mkdirSync(join(this.root, mountPath), { recursive: true });
		this.#writable = mounts.filter(({ readOnly }) => !readOnly).map(({ mountPath }) => mountPath);
		for (const { name, configMap } of volumes) {
			if (configMap === undefined) continue;
			const { mountPath } = mounts.find((mount) => mount.name === name);
			const { data } = readManifest("install-daemonset.yaml").find(
				({ kind, metadata }) => kind === "ConfigMap" && metadata.name === configMap.name,
			);
			for (const [file, text] of Object.entries(data)) this.write(`${mountPath}/${file}`, String(text));
		}
		mkdirSync(join(this.root, "proc"));
		copyFileSync(join(binaries, "berth"), join(this.root, "berth"));
		chmodSync(this.root, 0o755);
	}

	write(path: string, text: string): void {
		const file = join(this.root, path);
		mkdirSync(join(file, ".."), { recursive: true });
		writeFileSync(file, text, { mode: 0o600 });
		const [uid, gid] = this.#user.split(":").map(Number);
		chownSync(file, uid!, gid!);
	}

	/** What a container runtime would execute, with what the kubelet adds to the environment. */
	command(command: readonly string[]): { command: string[]; env: Record<string, string> } {
		const inRoot = ["sh", "-c", IN_ROOT, "sh", this.root, this.#user, ...this.#writable, "--", ...command];
		return {
			command: ["unshare", "--mount", "--propagation=private", ...inRoot],
			env: {
				PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
				KUBERNETES_SERVICE_HOST: "127.0.0.1",
				KUBERNETES_SERVICE_PORT: `${kube.port}`,
				NODENAME: "node-a",
			},
		};
	}

	async run(command: readonly string[]) {
		const { command: all, env } = this.command(command);
		return execa(all[0]!, all.slice(1), { env, extendEnv: false, reject: false });
	}

	start(command: readonly string[]): Background {
		const { command: all, env } = this.command(command);
		const program = new Background(all, env);
		onTestFinished(() => program.end("SIGKILL"));
		return program;
	}

	node(path: string): string {
		return join(this.root, "host", path);
	}
}

const installerOf = (objects: readonly KubeObject[]): KubeObject =>
	objects.find(({ kind, metadata }) => kind === "DaemonSet" && metadata.name === "berth").spec.template.spec;

/** Of the pool that holds 10.8.0.0/24. */
async function heldAddresses(): Promise<string[]> {
	const path = `${GROUP}/namespaces/${NAMESPACE}/ippools/10.8.0.0-24`;
	const { json } = await kube.request("GET", path);
	return Object.keys(json.spec.allocations);
}

test("install, ready, a pod's address, uninstall; then the reconciler frees what the pod held", async () => {
	const installer = installerOf(readManifest("install-daemonset.yaml"));
	const pod = await Pod.of(installer);
	const directory = pod.node("opt/cni/bin");
	for (const name of ["sriov", "host-local", "bridge"]) {
		writeFileSync(join(directory, name), `#!/bin/sh\n# the ${name} of others\n`, { mode: 0o755 });
	}
	const { command, startupProbe } = installer.containers[0];
	expect((await pod.run(startupProbe.exec.command)).exitCode).toBe(1);
	const requests = await kube.audit();

	const running = pod.start(command);
	const isReady = async (): Promise<boolean> => (await pod.run(startupProbe.exec.command)).exitCode === 0;
	await until("verify finds all in order", isReady, () => running.output);
	expect(readdirSync(directory).sort()).toEqual([...NAMES, "bridge", "sriov.prev"].sort());
	const { ino } = statSync(join(directory, "berth"));
	const links = NAMES.filter((name) => statSync(join(directory, name)).ino === ino);
	expect(links).toEqual(["berth", "dhcp", "static"]);
	expect(readFileSync(join(directory, "host-local"), "utf8")).toContain("the host-local of others");
	expect(readFileSync(pod.node(`${WHEREABOUTS}/nodename`), "utf8")).toBe("node-a");
	expect(JSON.parse(readFileSync(pod.node(`${WHEREABOUTS}/whereabouts.conf`), "utf8")).kubernetes).toEqual({
		kubeconfig: `/${WHEREABOUTS}/whereabouts.kubeconfig`,
	});

	const answer = await call(join(directory, "whereabouts"), "ADD", {
		config: whereaboutsNetwork(pod.node(`${WHEREABOUTS}/whereabouts.kubeconfig`), {
			range: "10.8.0.0/24",
			dataDir: join(pod.root, "state"),
		}),
		id: "sandbox",
		ifName: "net1",
		args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=gone",
	});
	expect(answer.status, answer.stdout).toBe(0);
	expect(await heldAddresses()).toHaveLength(1);

	// All of it with the account's rights.
	const asked = await requests();
	expect(asked.filter(({ user }) => user !== `system:serviceaccount:${NAMESPACE}:berth`)).toEqual([]);
	expect(asked.filter(({ status }) => status === 401 || status === 403)).toEqual([]);
	expect(asked).toContainEqual(expect.objectContaining({ verb: "create", resource: "serviceaccounts", status: 201 }));

	await running.end("SIGTERM");
	expect(running.process.exitCode).toBe(0);
	expect(await isReady()).toBe(true);

	const uninstall = installerOf(await kustomize({ overlay: "overlays/uninstall" })).containers[0].command;
	const leaving = pod.start(uninstall);
	await until(
		"the plugins are gone",
		() => !existsSync(join(directory, "berth")),
		() => leaving.output,
	);
	await until("the kubeconfig is gone", () => readdirSync(pod.node(WHEREABOUTS)).length === 0);
	await leaving.end("SIGTERM");
	expect(leaving.process.exitCode).toBe(0);
	expect(readdirSync(directory).sort()).toEqual(["bridge", "host-local", "sriov"]);
	expect(readFileSync(join(directory, "sriov"), "utf8")).toContain("the sriov of others");

	const { spec } = readManifest("install-daemonset.yaml").find(({ kind }) => kind === "CronJob");
	const job = spec.jobTemplate.spec.template.spec;
	const reconciler = await Pod.of(job);
	const { exitCode, stdout, stderr } = await reconciler.run(job.containers[0].command);
	expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
	expect(stdout).toContain("default/gone");
	expect(await heldAddresses()).toEqual([]);
});
