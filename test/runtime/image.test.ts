/**
 * The image: built from the Dockerfile by buildah, run by podman on a fresh Debian as install-daemonset.yaml says.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { Buildah } from "../lab/buildah.ts";
import { Debian } from "../lab/debian.ts";
import { binaries } from "../lab/executables.ts";

const project = fileURLToPath(new URL("../../", import.meta.url));
const NAMES = ["berth", "dhcp", "host-local", "rdma", "sriov", "static", "whereabouts"];
const hash = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

let debian: Debian;

beforeAll(async () => {
	debian = await Debian.make();
	using buildah = new Buildah();
	const executable = readFileSync(join(binaries, "berth"));
	for (const name of ["berth", "sriov-cni", "rdma-cni"]) {
		buildah.build(name, executable, `localhost/${name}:0.1.0`, `${debian.root}/root/${name}.tar`);
	}
	const { status, stderr } = await debian.run("for image in /root/*.tar; do podman load -q -i $image; done");
	expect({ status, stderr }).toMatchObject({ status: 0 });
});
afterAll(() => debian?.remove());

/** What podman is told for the rights that a container of the manifest has. */
function installer() {
	const documents = parseAllDocuments(readFileSync(join(project, "install-daemonset.yaml"), "utf8"));
	const objects = documents.map((document) => document.toJS());
	const daemonSet = objects.find(({ kind, metadata }) => kind === "DaemonSet" && metadata.name === "berth");
	const { containers, securityContext } = daemonSet.spec.template.spec;
	const [{ command, securityContext: own, readinessProbe }] = containers;
	expect(own).toMatchObject({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true });
	const rights = [
		...["--read-only", "--read-only-tmpfs=false", "--security-opt=no-new-privileges"],
		...own.capabilities.drop.map((name: string) => `--cap-drop=${name}`),
		...(own.capabilities.add ?? []).map((name: string) => `--cap-add=${name}`),
		`--user=${securityContext.runAsUser}:${securityContext.runAsGroup}`,
	];
	return { rights, command: command as string[], verify: readinessProbe.exec.command as string[] };
}

/** A container without a cgroup and a network of its own, which the test's machine may not give. */
const PODMAN =
	"podman --log-level=error run --rm --cgroups=disabled --network=none --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024";

function container(rights: readonly string[], image: string, [program, ...args]: readonly string[]): string {
	const mount = "--volume=/opt/cni/bin:/host/opt/cni/bin";
	const entry = program === undefined ? "" : `--entrypoint=${program}`;
	return [PODMAN, ...rights, mount, entry, `localhost/${image}:0.1.0`, ...args].join(" ");
}

/** For a node without an API server: no kubeconfig, and the container ends. */
const withoutServer = (command: readonly string[]): string[] =>
	command.filter((flag) => !flag.startsWith("--whereabouts-"));

test("the image has one file", async () => {
	const { stdout } = await debian.run(
		"id=$(podman create localhost/berth:0.1.0); podman export $id | tar -t; podman rm $id >/dev/null",
	);
	// What podman itself makes for a container is in the export, too.
	const made = [
		"dev/",
		"etc/",
		"proc/",
		"run/",
		"sys/",
		"etc/hostname",
		"etc/hosts",
		"etc/resolv.conf",
		"run/secrets/",
	];
	expect(stdout.split("\n").filter((name) => !made.includes(name) && !/^(dev|run)\//.test(name))).toEqual(["berth"]);
});

test("the manifest's installer puts the plugins onto the node, with a read-only root and its rights alone", async () => {
	const { rights, command, verify } = installer();
	const run = container(rights, "berth", [...withoutServer(command), "--no-sleep"]);
	const { status, stdout, stderr } = await debian.run(`mkdir -p /opt/cni/bin; ${run}`);
	expect({ status, stderr }, stdout).toMatchObject({ status: 0 });
	const directory = join(debian.root, "opt/cni/bin");
	expect(readdirSync(directory).sort()).toEqual(NAMES);
	for (const name of NAMES) expect(hash(join(directory, name))).toBe(hash(join(binaries, "berth")));
	const verified = await debian.run(container(rights, "berth", withoutServer(verify)));
	expect(verified, verified.stdout).toMatchObject({ status: 0 });
	const broken = await debian.run(`rm /opt/cni/bin/rdma; ${container(rights, "berth", withoutServer(verify))}`);
	expect(broken.status).toBe(1);
	const again = await debian.run(run);
	expect(again.stdout).toMatch(/rdma +\S+ +installed/);
});

test("what was installed works on that node, which has nothing else", async () => {
	const config = JSON.stringify({
		...{ cniVersion: "1.1.0", name: "net", type: "sriov" },
		ipam: { type: "host-local", subnet: "10.7.0.0/24" },
	});
	writeFileSync(join(debian.root, "root/net.json"), config);
	const { stdout } = await debian.run(`export CNI_CONTAINERID=c1 CNI_IFNAME=net1 CNI_NETNS=/none CNI_PATH=/opt/cni/bin
		CNI_COMMAND=ADD /opt/cni/bin/host-local </root/net.json; echo; ls /var/lib/cni/networks/net
		CNI_COMMAND=DEL /opt/cni/bin/host-local </root/net.json; ls /var/lib/cni/networks/net`);
	expect(stdout).toContain('"address": "10.7.0.2/24"');
	expect(stdout.match(/^10\.7\.0\.2$/gm)).toHaveLength(1);
});

test("the images in place of sriov-cni and rdma-cni: as sriov-network-operator starts them", async () => {
	const directory = join(debian.root, "opt/cni/bin");
	rmSync(directory, { recursive: true });
	mkdirSync(directory);
	writeFileSync(join(directory, "sriov"), "#!/bin/sh\n", { mode: 0o755 });
	writeFileSync(join(directory, "host-local"), "#!/bin/sh\n", { mode: 0o755 });
	for (const image of ["sriov-cni", "rdma-cni"]) {
		const { status, stderr } = await debian.run(container(["--privileged"], image, []).concat(" --no-sleep"));
		expect({ status, stderr }).toMatchObject({ status: 0 });
	}
	expect(readdirSync(directory).sort()).toEqual(["berth", "host-local", "rdma", "sriov", "sriov.prev"]);
	expect(readFileSync(join(directory, "host-local"), "utf8")).toBe("#!/bin/sh\n");
	expect(hash(join(directory, "sriov"))).toBe(hash(join(binaries, "berth")));
});
