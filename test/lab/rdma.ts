/**
 * RDMA devices on a machine, as its administrator sees them (`rdma`, sysfs), and the plugin as a runtime calls it after
 * sriov. None of the plugins' code is used here.
 */
import type { Machine } from "./machine.ts";
import { type Answer, callPlugin, createPod } from "./pods.ts";

/** What `rdma -j dev` shows in a namespace (undefined: the host's). */
export async function rdmaDevices(machine: Machine, pod?: string): Promise<string[]> {
	const where = pod === undefined ? [] : ["ip", "netns", "exec", pod];
	const devices = await machine.json([...where, "rdma", "-j", "dev"]);
	return devices.map((device: { ifname: string }) => device.ifname);
}

/** What a program in the pod sees in /sys/class/infiniband. */
export async function sysfsDevices(machine: Machine, pod?: string): Promise<string[]> {
	const where = pod === undefined ? [] : ["ip", "netns", "exec", pod];
	const { stdout } = await machine.run([...where, "ls", "/sys/class/infiniband"]);
	return stdout.split("\n").filter(Boolean);
}

/**
 * Every RDMA device of the host with its place in sysfs, every device node, and the plugin's state: to be compared
 * before and after.
 */
export async function rdmaState(machine: Machine): Promise<string> {
	const script = `for device in /sys/class/infiniband/*; do [ -e "$device" ] && echo "\${device##*/} $(readlink "$device") $(cat "$device/node_guid")"; done
for node in /sys/class/infiniband_verbs/uverbs*; do [ -e "$node" ] && echo "\${node##*/} $(readlink "$node") $(cat "$node/ibdev")"; done
ls -A /var/lib/cni/rdma 2>/dev/null | grep -v '^move.lock$'
find /var/lib/cni/sriov -type f ! -name '*.lock' 2>/dev/null
ls /sys/kernel/config/rdma_cm 2>/dev/null
true`;
	return (await machine.run(["sh", "-c", script])).stdout;
}

/** A pod that lasts until the end of the scope. */
export async function pod(machine: Machine, name: string): Promise<AsyncDisposable> {
	await createPod(machine, name);
	return {
		async [Symbol.asyncDispose]() {
			await machine.run(["ip", "netns", "delete", name], { ok: false });
		},
	};
}

interface RdmaCall {
	readonly pod: string;
	readonly deviceID?: string;
	/** CNI_NETNS where it is not that of the pod. */
	readonly netns?: string;
	readonly args?: string;
	/** sriov with `"rdma": true`, for which no other plugin is called. */
	readonly alone?: boolean;
	/** As of callPlugin. */
	readonly stdout?: string;
	/** More of the configuration, or other values. */
	readonly more?: Record<string, unknown>;
}

/** A result of sriov's, as rdma gets it. */
export const previousResult = (pod: string) => ({
	cniVersion: "1.1.0",
	interfaces: [{ name: "net1", mac: "02:00:5e:10:00:01", mtu: 1500, sandbox: `/run/netns/${pod}` }],
	ips: [{ address: "10.56.217.2/24", gateway: "10.56.217.1", interface: 0 }],
	routes: [{ dst: "0.0.0.0/0" }],
});

export function callRdma(machine: Machine, verb: string, call: RdmaCall): Promise<Answer> {
	const plugin = call.alone ? "sriov" : "rdma";
	const { ips, routes, ...bare } = previousResult(call.pod);
	const configuration = {
		cniVersion: "1.1.0",
		name: "sriov-network",
		type: plugin,
		...(call.alone && { rdma: true }),
		...(call.deviceID && { deviceID: call.deviceID }),
		...(verb !== "GC" && verb !== "STATUS" && { prevResult: call.alone ? bare : { ...bare, ips, routes } }),
		...call.more,
	};
	const netns = call.netns ?? `/run/netns/${call.pod}`;
	return callPlugin(machine, plugin, verb, configuration, {
		containerId: `c-${call.pod}`,
		netns,
		...(call.args && { args: call.args }),
		...(call.stdout && { stdout: call.stdout }),
	});
}
