/**
 * sriov with `"rdma": true` below the SR-IOV DRA driver: called through libcni 1.3.0 from a container that has nothing
 * of the node but /opt/cni/bin, /var/lib/cni and /var/run/netns; eight VFs one after the other; cut off anywhere.
 *
 * BERTH_GO_CHAIN=DIR: a directory with the Go plugins sriov, rdma and host-local, whose chain is counted beside it.
 */
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { draDriver } from "../lab/peers.ts";
import { binaries, createPod, hostState } from "../lab/pods.ts";
import { rdmaDevices, rdmaState } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, type Vf } from "../lab/sriov.ts";
import { useSriov } from "../lab/sriov-session.ts";

const { guest, sh, inPod } = useSriov();
const ROOT = "/tmp/driver-root";
let driver: string;
let vfs: Vf[];
let before: unknown;

const state = async () => ({ host: await hostState(guest()), rdma: await rdmaState(guest()) });

beforeAll(async () => {
	driver = await draDriver();
	await sh("mkdir -p /tmp/driver");
	const [first, second] = [await createVfs(guest(), "eth0", 7), await createVfs(guest(), "eth1", 1)];
	vfs = [...first, ...second];
	await createRdmaDevices(guest(), first, "mlx5_");
	await createRdmaDevices(guest(), second, "mlx6_");
	for (const [index, { pci }] of vfs.entries()) {
		const ipam = { type: "host-local", subnet: `10.57.${index}.0/24` };
		const more = { deviceID: pci, vlan: 100 + index, trust: "on", spoofchk: "off", lockTimeoutMilliseconds: 1500 };
		const one = { cniVersion: "1.0.0", name: `rail${index}`, type: "sriov", rdma: true, ...more, ipam };
		const chain = {
			cniVersion: "1.0.0",
			name: `rail${index}`,
			plugins: [
				{ ...one, rdma: undefined },
				{ type: "rdma", deviceID: pci },
			],
		};
		await guest().writeFile(`/tmp/driver/${index}.conf`, JSON.stringify(one));
		await guest().writeFile(`/tmp/driver/${index}.conflist`, JSON.stringify(chain));
	}
	await sh(
		`mkdir -p /var/lib/cni/results /run/netns ${ROOT}/opt/cni/bin ${ROOT}/var/lib/cni ${ROOT}/var/run/netns ${ROOT}/proc ${ROOT}/sys ${ROOT}/tmp ${ROOT}/driver`,
	);
	before = await state();
});
beforeEach(() => createPod(guest(), "pod1"));
afterEach(async () => {
	// libcni keeps results, until a DEL.
	await sh("for pod in pod1 pod2; do ip netns delete $pod 2>/dev/null || true; done; rm -rf /var/lib/cni/results/*");
	expect(await state()).toEqual(before);
});

/** A command line that runs the driver in its container. */
function contained(verb: "add" | "del", pod: string, plugins = binaries, ext = "conf"): string {
	const mounts = `mount --bind ${plugins} ${ROOT}/opt/cni/bin
mount --bind /var/lib/cni ${ROOT}/var/lib/cni
mount --rbind /run/netns ${ROOT}/var/run/netns
mount --bind /tmp/driver ${ROOT}/tmp
mount --bind ${driver.replace(/\/[^/]*$/, "")} ${ROOT}/driver
mount -t proc proc ${ROOT}/proc
mount -t sysfs sysfs ${ROOT}/sys`;
	const files = vfs.map((_, index) => `/tmp/${index}.${ext}`).join(" ");
	const call = `/driver/driver ${verb} c-${pod} /var/run/netns/${pod} ${files}`;
	return `unshare -m sh -ec '${mounts}
exec chroot ${ROOT} ${call}'`;
}

interface Cost {
	readonly processes: number;
	readonly calls: number;
}

/** What `command` costs: how often something of /opt/cni/bin is executed, and the system calls of that. */
async function count(command: string): Promise<Cost> {
	await sh(`strace -f -qq -o /tmp/driver.strace ${command} >/tmp/driver.out`);
	const script = `/ execve\\("\\/opt\\/cni\\/bin\\// { processes++; plugin[$1] = 1 }
/ (clone|clone3|fork|vfork)[( ].* = [0-9]+$/ { if ($1 in plugin) plugin[$NF] = 1 }
/^[0-9]+ +[a-z_0-9]+\\(/ { if ($1 in plugin) calls++ }
END { print processes, calls }`;
	const { stdout } = await sh(`awk '${script}' /tmp/driver.strace`);
	const [processes, calls] = stdout.trim().split(" ").map(Number) as [number, number];
	return { processes, calls };
}

async function milliseconds(command: string): Promise<number> {
	const { stdout } = await sh(
		`start=$(date +%s%N); ${command} >/tmp/driver.out; echo $((($(date +%s%N) - start) / 1000000))`,
	);
	return Number(stdout);
}

test("eight VFs, one after the other, are eight processes; DEL of all gives all back", async () => {
	const add = await count(contained("add", "pod1"));
	expect((await rdmaDevices(guest(), "pod1")).sort()).toEqual([
		...vfs.slice(0, 7).map(({ index }) => `mlx5_${index}`),
		"mlx6_0",
	]);
	expect((await inPod("pod1")).filter((name) => name.startsWith("vfnet"))).toHaveLength(8);
	const del = await count(contained("del", "pod1"));
	expect(await state()).toEqual(before);
	console.log(`eight VFs with their RDMA devices: ${JSON.stringify({ add, del })}`);
	expect({ add: add.processes, del: del.processes }).toEqual({ add: 8, del: 8 });
	expect(add.calls / 8).toBeLessThanOrEqual(180);
	expect(del.calls / 8).toBeLessThanOrEqual(135);
});

test.each([1, 4, 8])("cut off with %d VFs on record: the next ADD of all, and its DEL, put all right", async (most) => {
	// The driver and all that it has started, at whatever they are, or when it has just ended; and no DEL comes of it.
	await sh(`setsid ${contained("add", "pod1")} >/dev/null 2>&1 & group=$!
until [ $(ls /var/lib/cni/sriov/pci | grep -c ^0000) -ge ${most} ]; do kill -0 $group || break; done
kill -9 -$group || true
ip netns delete pod1`);
	await createPod(guest(), "pod2");
	await sh(`${contained("add", "pod2")} >/tmp/driver.out`);
	expect(await rdmaDevices(guest(), "pod2")).toHaveLength(8);
	await sh(contained("del", "pod2"));
});

test.runIf(process.env.BERTH_GO_CHAIN)("the same by the chain of Go, and how long both take", async () => {
	const chain = process.env.BERTH_GO_CHAIN!;
	const add = await count(contained("add", "pod1", chain, "conflist"));
	const del = await count(contained("del", "pod1", chain, "conflist"));
	const took = { ours: [] as number[][], go: [] as number[][] };
	for (let round = 0; round < 5; round++) {
		for (const [who, ...how] of [["ours"], ["go", chain, "conflist"]] as const) {
			const one = await milliseconds(contained("add", "pod1", ...how));
			took[who].push([one, await milliseconds(contained("del", "pod1", ...how))]);
		}
	}
	console.log(`eight VFs by the chain of Go: ${JSON.stringify({ add, del })}; ADD, DEL in ms: ${JSON.stringify(took)}`);
	// Go leaves the administrative MAC, and more.
	before = await state();
});
