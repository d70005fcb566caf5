/** A node changes from Debian's Go plugins to ours and back, while its pods run. */
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { binaries } from "../lab/executables.ts";
import { scratchDirectory } from "../lab/ipam.ts";
import { ipJson, NetnsLab, netnsPath } from "../lab/netns-lab.ts";

/** Of Debian's package containernetworking-plugins. */
const GO_PLUGINS = "/usr/lib/cni";
const NAMES = ["macvlan", "host-local"];

test("install and uninstall below running pods: each pod is deleted by the other's host-local, no address twice", async () => {
	using lab = new NetnsLab();
	const node = lab.add();
	await execa("ip", ["-n", node, "link", "add", "ens2f0", "type", "veth", "peer", "name", "wire"]);
	await execa("ip", ["-n", node, "link", "set", "ens2f0", "up"]);
	const directory = scratchDirectory();
	const [bin, store] = [join(directory, "bin"), join(directory, "networks")];
	mkdirSync(bin);
	for (const name of NAMES) copyFileSync(join(GO_PLUGINS, name), join(bin, name));
	const isGo = () => readFileSync(join(bin, "host-local")).equals(readFileSync(join(GO_PLUGINS, "host-local")));

	const config = JSON.stringify({
		cniVersion: "1.0.0",
		name: "net",
		type: "macvlan",
		master: "ens2f0",
		ipam: { type: "host-local", subnet: "10.1.2.0/29", dataDir: store },
	});
	const call = async (CNI_COMMAND: string, pod: string) => {
		const env = {
			...{ CNI_COMMAND, CNI_CONTAINERID: pod, CNI_IFNAME: "net1" },
			...{ CNI_NETNS: netnsPath(pod), CNI_PATH: bin },
		};
		const ran = await execa("ip", ["netns", "exec", node, join(bin, "macvlan")], { input: config, env, reject: false });
		expect(ran.exitCode, ran.stdout).toBe(0);
		return ran.stdout;
	};
	const add = async (pod: string): Promise<string> => JSON.parse(await call("ADD", pod)).ips[0].address;
	const berth = (...args: string[]) => execa(join(binaries, "berth"), [...args, "--cni-bin-dir", bin]);

	const [first, second, third] = [lab.add(), lab.add(), lab.add()];
	const ofGo = await add(first);
	await berth("install", "--replace", "all");
	expect(isGo()).toBe(false);
	const ofOurs = await add(second);
	expect(ofOurs).not.toBe(ofGo);
	await call("DEL", first);
	expect(ipJson(first, "link show").map(({ ifname }) => ifname)).toEqual(["lo"]);

	await berth("uninstall");
	expect(isGo()).toBe(true);
	expect([ofOurs]).not.toContain(await add(third));
	await call("DEL", second);
	await call("DEL", third);
	const { stdout } = await execa("find", [store, "-name", "10.*"]);
	expect(stdout).toBe("");
});
