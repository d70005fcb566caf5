/**
 * `berth heal` on real VFs and RDMA devices: what is gone goes back whole, what lives on is not touched.
 * BERTH_HEAL_ROUNDS for more of the latter.
 */
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { binaries, type Configuration, callPlugin, createPod, hostState, succeeded } from "../lab/pods.ts";
import { previousResult, rdmaState } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, until, type Vf } from "../lab/sriov.ts";
import { PF, STATE, useSriov } from "../lab/sriov-session.ts";

const { guest, sh, files, netdevOnHost, vfInfo, inPod } = useSriov();
const ROUNDS = Number(process.env.BERTH_HEAL_ROUNDS ?? 25);
let vfs: Vf[];
let before: unknown;

const state = async () => ({ host: await hostState(guest()), rdma: await rdmaState(guest()), files: await files() });

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 3);
	await createRdmaDevices(guest(), vfs);
	for (const { index, netdev } of vfs)
		await sh(
			`ip link set ${PF} vf ${index} vlan 5${index} mac 02:00:5e:20:00:0${index}; ip link set ${netdev} mtu 148${index}`,
		);
});

beforeEach(async () => {
	before = await state();
});

afterEach(async () => {
	await sh(`for pod in pod1 pod2 pod3; do ip netns delete $pod 2>/dev/null || true; done`);
	expect(await state()).toEqual(before);
});

const sriov = (vf: Vf): Configuration => ({
	cniVersion: "1.1.0",
	name: "net",
	type: "sriov",
	deviceID: vf.pci,
	vlan: 100 + vf.index,
	trust: "on",
	mtu: 1400,
	ipam: { type: "host-local", subnet: "10.56.217.0/24" },
});
const rdma = (vf: Vf, pod: string): Configuration => ({
	cniVersion: "1.1.0",
	name: "net",
	type: "rdma",
	deviceID: vf.pci,
	prevResult: previousResult(pod),
});
const call = (name: string) => ({ containerId: `c-${name}`, netns: `/run/netns/${name}` });

async function attach(vf: Vf, pod: string): Promise<void> {
	await createPod(guest(), pod);
	succeeded(await callPlugin(guest(), "sriov", "ADD", sriov(vf), call(pod)));
	succeeded(await callPlugin(guest(), "rdma", "ADD", rdma(vf, pod), call(pod)));
}

async function heal(...flags: string[]): Promise<{ status: number | null; found: string[][]; stdout: string }> {
	const argv = [`${binaries}/berth`, "heal", "-cni-path", binaries, "--json", ...flags];
	const { status, stdout } = await guest().run(argv, { ok: false });
	const rows: { kind: string; name: string; outcome: string }[] = JSON.parse(stdout);
	return { status, stdout, found: rows.map(({ kind, name, outcome }) => [kind, name, outcome]) };
}

const untouched = { status: 0, found: [] };
const freed = ({ pci }: Vf) => ({
	status: 0,
	found: [
		["RDMA device", pci, "freed"],
		["VF", pci, "freed"],
	],
});

test("a pod that ended without a DEL: --dry-run tells, heal puts all back, and the next has nothing to do", async () => {
	const [vf] = vfs as [Vf];
	await attach(vf, "pod1");
	expect(await heal()).toMatchObject(untouched);
	await sh("ip netns delete pod1");
	await until("the VF is on the host", async () => (await netdevOnHost(vf)) !== undefined);
	const then = await state();
	expect(await heal("--dry-run")).toMatchObject({
		status: 1,
		found: [
			["RDMA device", vf.pci, "would be freed"],
			["VF", vf.pci, "would be freed"],
		],
	});
	expect(await state()).toEqual(then);
	expect(await heal()).toMatchObject(freed(vf));
	expect(await heal()).toMatchObject(untouched);
});

test("heal at once after the end waits for the devices", async () => {
	const [vf] = vfs as [Vf];
	await attach(vf, "pod1");
	await sh("ip netns delete pod1");
	expect(await heal()).toMatchObject(freed(vf));
});

test("a namespace whose path is gone lives on in a process, and keeps all", async () => {
	const [vf] = vfs as [Vf];
	await attach(vf, "pod1");
	const process = guest().start(["nsenter", "--net=/run/netns/pod1", "sleep", "600"], { ok: false });
	await until("the process is in the pod", async () => (await sh("ip netns pids pod1")).stdout !== "");
	await sh("ip netns delete pod1");
	expect(await heal()).toMatchObject(untouched);
	expect(await vfInfo(0)).toMatchObject({ vlan_list: [{ vlan: 100 }], trust: true });
	process.kill();
	await process.result;
	expect(await heal()).toMatchObject(freed(vf));
});

test("a namespace that only a mount holds keeps VF, settings and address until that ends", async () => {
	const [vf] = vfs as [Vf];
	await attach(vf, "pod1");
	await sh("touch /tmp/held; mount --bind /run/netns/pod1 /tmp/held; ip netns delete pod1");
	const { status, found, stdout } = await heal();
	expect(status).toBe(1);
	expect(found.at(-1)).toEqual(["VF", vf.pci, "failed"]);
	expect(stdout).toContain("still in a network namespace");
	expect(await vfInfo(0)).toMatchObject({ vlan_list: [{ vlan: 100 }], trust: true });
	expect(await sh("ls /var/lib/cni/networks/net")).toMatchObject({ stdout: expect.stringContaining("10.56.217.") });
	await sh("umount /tmp/held; rm /tmp/held");
	expect((await heal()).status).toBe(0);
});

test("records of Go's and damaged ones: alive by the marker, freed after the end", async () => {
	const [go, damaged] = vfs as [Vf, Vf];
	await attach(go, "pod1");
	await attach(damaged, "pod2");
	await sh(`cd ${STATE}
sed -i 's/"berth":{[^{}]*{[^{}]*}[^{}]*{[^{}]*}[^{}]*}/"x":1/g; s/"berth":/"x":/g' c-pod1-net1
truncate -s -20 c-pod2-net1`);
	expect(await heal()).toMatchObject(untouched);
	await sh("ip netns delete pod1; ip netns delete pod2");
	const { status, found } = await heal();
	expect(status).toBe(0);
	expect(found.filter(([kind]) => kind === "VF").sort()).toEqual([
		["VF", go.pci, "freed"],
		["VF", damaged.pci, "freed"],
	]);
});

test(`beside ${ROUNDS} rounds of ADD and DEL of living pods it touches nothing of theirs`, {
	timeout: 120_000 + 20_000 * ROUNDS,
}, async () => {
	const [first, second, third] = vfs as [Vf, Vf, Vf];
	await attach(third, "pod3");
	const configurations = { s1: sriov(first), r1: rdma(first, "pod1"), s2: sriov(second), r2: rdma(second, "pod2") };
	await sh("mkdir -p /tmp/heal");
	for (const [name, configuration] of Object.entries(configurations))
		await guest().writeFile(`/tmp/heal/${name}`, JSON.stringify(configuration));
	const { stdout } = await guest().run(
		[
			"sh",
			"-c",
			`cd /tmp/heal; export CNI_IFNAME=net1 CNI_PATH=${binaries}; rm -f done.* wrong healed
call() { CNI_COMMAND=$1 CNI_CONTAINERID=c-pod$3 CNI_NETNS=/run/netns/pod$3 $CNI_PATH/$2 <\${2%\${2#?}}$3 >out.$3 2>&1 || echo "$1 $2 of pod$3: $(cat out.$3)" >>wrong; }
rounds() { for round in $(seq ${ROUNDS}); do
ip netns add pod$1; call ADD sriov $1; call ADD rdma $1
ip -n pod$1 -o address show dev net1 2>&1 | grep -q 10.56.217. || echo "round $round: pod$1 has no address" >>wrong
ip link show ${PF} | grep -q "vf $(($1 - 1)) .*vlan $((99 + $1))," || echo "round $round: pod$1 has no VLAN" >>wrong
ip netns exec pod$1 rdma dev | grep -q mlx5_ || echo "round $round: pod$1 has no RDMA device" >>wrong
call DEL rdma $1; call DEL sriov $1; ip netns delete pod$1
done; touch done.$1; }
rounds 1 & rounds 2 & runs=0
until [ -e done.1 ] && [ -e done.2 ]; do
$CNI_PATH/berth heal -cni-path $CNI_PATH >healed 2>&1 || echo "heal: exit $?" >>wrong
[ "$(cat healed)" = "nothing to heal" ] || cat healed >>wrong
runs=$((runs + 1)); done; wait
touch wrong; echo $runs; head -c 3000 wrong`,
		],
		{ timeoutMs: 60_000 + 20_000 * ROUNDS },
	);
	const [runs, ...wrong] = stdout.trim().split("\n");
	console.log(`heal: ${runs} runs beside ${2 * ROUNDS} attachments`);
	expect(wrong).toEqual([]);
	expect(Number(runs)).toBeGreaterThan(ROUNDS / 10);
	expect(await inPod("pod3")).toContain("net1");
	expect(await vfInfo(2)).toMatchObject({ vlan_list: [{ vlan: 102 }] });
	await sh("ip netns delete pod3; rm -r /tmp/heal");
	expect(await heal()).toMatchObject(freed(third));
});
