/**
 * The chain of sriov and rdma while somebody damages what is on disk: records, markers and locks removed, truncated and
 * brought back from a backup, at any moment, also between a kill and what comes after it; what is no file of ours put
 * beside them; the clock stepped. Seeded (BERTH_SEED); BERTH_STORM_ROUNDS for a longer run.
 *
 * What holds, whatever was damaged:
 * - a pod whose ADD succeeded has its VF and the VF's RDMA device until its own DEL, or until GC is told that it is not
 *   valid; no other pod has its address; and the VF has the pod's settings as long, if the pod's record was not
 *   damaged;
 * - DEL succeeds, and takes VF and RDMA device out of a living pod;
 * - a VF that no pod has is on the host, and so is its RDMA device.
 *
 * And a VF goes back to its own name and settings, unless the record was damaged that alone knew them. Then an
 * administrator has to set them, as `repair` does here. (Markers and locks are not needed for that.)
 */
import { beforeAll, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { type Answer, binaries, type Configuration, hostState, parseAnswer, stateFiles } from "../lab/pods.ts";
import { randomNumbers, SEED } from "../lab/random.ts";
import { rdmaState } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, until, type Vf } from "../lab/sriov.ts";

const guest = useGuest();
const PF = "eth0";
const STATE = "/var/lib/cni";
const BACKUP = "/tmp/backup";
const VFS = 3;
const AT_ONCE = 3;
const ROUNDS = Number(process.env.BERTH_STORM_ROUNDS ?? 25);

type State = "nothing" | "attached" | "to be deleted";
interface Pod {
	readonly name: string;
	readonly container: string;
	state: State;
	vf: number;
	address: string;
	/** Its record was damaged: what is not with the kernel is lost. */
	isShaken: boolean;
}
let vfs: Vf[];
const pods: Pod[] = ["a", "b", "c", "d", "e"].map((letter) => ({
	name: `pod-${letter}`,
	container: `c-${letter}`,
	state: "nothing",
	vf: 0,
	address: "",
	isShaken: false,
}));
const below = randomNumbers(SEED);
const any = <T>(list: readonly T[]): T => list[below(list.length)]!;
const sh = (script: string, ...args: string[]) => guest().run(["sh", "-c", script, "sh", ...args]);
const ownVlan = (vf: number): number => 50 + vf;
const podVlan = (vf: number): number => 100 + vf;

/** VFs of which a damaged record alone knew what they were. */
const astray = new Set<number>();
const violations: string[] = [];
const sum = { adds: 0, dels: 0, gcs: 0, refused: 0, kills: 0, damages: 0, repairs: 0 };
let round = 0;
const violation = (what: string): void => void violations.push(`round ${round}: ${what}`);
/** What has happened, to be told beside a violation. */
const story: string[] = [];
const tell = (what: string): void => void story.push(`round ${round}: ${what}`);

const repair = (vf: number): string => {
	const { pci, netdev } = vfs[vf]!;
	return `name=$(ls /sys/bus/pci/devices/${pci}/net)
[ "$name" = ${netdev} ] || { ip link set "$name" down; ip link set "$name" name ${netdev}; }
ip link set ${PF} vf ${vf} vlan ${ownVlan(vf)} mac 02:00:5e:20:00:0${vf} trust off max_tx_rate 0
ip link set ${netdev} address 02:00:5e:20:00:0${vf}
ip link set ${netdev} mtu ${1470 + vf}
`;
};

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, VFS);
	await createRdmaDevices(guest(), vfs);
	for (const { index } of vfs) await sh(repair(index));
	for (const { name } of pods) await sh(`ip netns add ${name}`);
});

/** One call of a plugin; after `killMs` it is killed: undefined then. */
async function call(
	plugin: string,
	verb: string,
	configuration: Configuration,
	{ container, name }: Pick<Pod, "container" | "name">,
	killMs?: number,
): Promise<Answer | undefined> {
	const env = {
		CNI_COMMAND: verb,
		CNI_CONTAINERID: container,
		CNI_IFNAME: "net1",
		CNI_PATH: binaries,
		CNI_NETNS: `/run/netns/${name}`,
	};
	const stdin = JSON.stringify(configuration);
	const command = guest().start([`${binaries}/${plugin}`], { env, stdin, ok: false });
	const timer = killMs === undefined ? undefined : setTimeout(() => command.kill("SIGKILL"), killMs);
	const result = await command.result;
	clearTimeout(timer);
	const isKilled = result.signal === "SIGKILL";
	const end = isKilled ? "killed" : `${result.status} ${result.status === 0 ? "" : result.stdout}${result.stderr}`;
	tell(`${verb} ${plugin} ${name} ${configuration.deviceID ?? ""}: ${end}`);
	if (!isKilled) return parseAnswer(result);
	sum.kills++;
	return undefined;
}

const network = { cniVersion: "1.1.0", name: "net" };
const sriovOf = (vf: number): Configuration => ({
	...network,
	type: "sriov",
	deviceID: vfs[vf]!.pci,
	vlan: podVlan(vf),
	trust: "on",
	max_tx_rate: 200 + vf,
	mtu: 1400 + vf,
	ipam: { type: "host-local", subnet: "10.56.217.0/24" },
});
const rdmaOf = (vf: number, prevResult: unknown): Configuration => ({
	...network,
	type: "rdma",
	deviceID: vfs[vf]!.pci,
	prevResult,
});
const nothing = { cniVersion: "1.1.0", interfaces: [], ips: [] };

/** Some calls are killed while they run. */
const killTime = (): number | undefined => (below(3) === 0 ? 50 + below(600) : undefined);

async function add(pod: Pod, kills: readonly (number | undefined)[]): Promise<void> {
	sum.adds++;
	pod.state = "to be deleted";
	pod.isShaken = false;
	const first = await call("sriov", "ADD", sriovOf(pod.vf), pod, kills[0]);
	if (first?.status !== 0) return refused("sriov", pod, first);
	const second = await call("rdma", "ADD", rdmaOf(pod.vf, first.json), pod, kills[1]);
	if (second?.status !== 0) return refused("rdma", pod, second);
	pod.state = "attached";
	pod.address = first.json.ips[0].address;
}

function refused(plugin: string, pod: Pod, answer: Answer | undefined): void {
	if (answer === undefined) return;
	sum.refused++;
	if (typeof answer.json?.code !== "number")
		violation(`ADD of ${plugin} for ${pod.name}: ${answer.stdout}${answer.stderr}`);
}

async function del(pod: Pod, kills: readonly (number | undefined)[]): Promise<void> {
	sum.dels++;
	pod.state = "to be deleted";
	for (const [index, plugin] of ["rdma", "sriov"].entries()) {
		const configuration = plugin === "rdma" ? rdmaOf(pod.vf, nothing) : sriovOf(pod.vf);
		const answer = await call(plugin, "DEL", configuration, pod, kills[index]);
		if (answer === undefined) return;
		if (answer.status !== 0) return violation(`DEL of ${plugin} for ${pod.name}: ${answer.stdout}${answer.stderr}`);
	}
	pod.state = "nothing";
}

async function gc(valid: readonly Pod[]): Promise<void> {
	sum.gcs++;
	const attachments = valid.map(({ container }) => ({ containerID: container, ifname: "net1" }));
	for (const plugin of ["rdma", "sriov"]) {
		const { ipam } = sriovOf(0);
		const configuration = { ...network, type: plugin, "cni.dev/valid-attachments": attachments, ipam };
		const answer = await call(plugin, "GC", configuration, { container: "", name: "" });
		if (answer?.status !== 0) violation(`GC of ${plugin}: ${answer?.stdout}${answer?.stderr}`);
	}
}

interface Damage {
	readonly script: string;
	/** VFs that it may lead astray. */
	readonly lost: readonly number[];
	/** Of whose attachments it touches the record; "printed": of those whose records' names it prints. */
	readonly shakes: readonly Pod[] | "printed";
}

/** What damages. Of RDMA devices nothing is changed that a record alone would know. */
function damage(): Damage {
	sum.damages++;
	const pod = any(pods);
	const kind = any(["sriov", "rdma"]);
	const record = `${STATE}/${kind === "sriov" ? "sriov/" : "rdma/net-"}${pod.container}-net1`;
	const marker = `${STATE}/sriov/pci/${vfs[below(VFS)]!.pci}`;
	const of = (script: string, lost: readonly number[], shakes: Damage["shakes"]): Damage => ({
		script: `{ ${script}; } 2>/dev/null || true`,
		lost: kind === "sriov" ? lost : [],
		shakes: kind === "sriov" ? shakes : [],
	});
	const all = vfs.map(({ index }) => index);
	const one = (script: string) => of(script, [pod.vf], [pod]);
	const every = (script: string) => of(script, all, pods);
	const none = (script: string) => of(script, [], []);
	const removeLocks = none(`rm -f ${STATE}/sriov/pci/vf_lock/* ${STATE}/rdma/move.lock`);
	const backUp = none(`rm -rf ${BACKUP}; cp -a ${STATE} ${BACKUP}`);
	const step = none(`date -s @$(($(date +%s) + ${(below(2) * 2 - 1) * (60 + below(100_000))}))`);
	return any([
		one(`rm -f ${record}`),
		one(`[ ! -f ${record} ] || truncate -s ${below(400)} ${record}`),
		one(`[ ! -f ${record} ] || head -c ${below(200)} /dev/urandom > ${record}`),
		of(`cp -a ${BACKUP}/${record.slice(STATE.length)} ${record}`, all, [pod]),
		of(`ls ${BACKUP}/${kind}; cp -aT ${BACKUP}/${kind} ${STATE}/${kind}`, all, "printed"),
		every(
			`[ ! -d ${BACKUP} ] || { mv ${STATE}/${kind} /tmp/gone; cp -a ${BACKUP}/${kind} ${STATE}/; rm -rf /tmp/gone; }`,
		),
		every(`rm -rf ${STATE}/${kind}`),
		none(`rm -f ${marker}`),
		none(`[ ! -f ${marker} ] || printf %s /run/netns/${any(pods).name} > ${marker}`),
		none(`[ ! -f ${marker} ] || truncate -s ${below(12)} ${marker}`),
		none(`cp -a ${BACKUP}/sriov/pci/0* ${STATE}/sriov/pci/`),
		removeLocks,
		removeLocks,
		backUp,
		backUp,
		step,
		step,
		none(`mkdir -p ${STATE}/sriov/pci/0000:ff:00.1`),
		none(
			`cd ${STATE}/${kind} && mkdir -p old-records-2026 && mkfifo a-b-fifo; ln -s l-o-op l-o-op; head -c 99 /dev/urandom > n-o-thing`,
		),
	]);
}

/** Does it, and notes whom it has touched. */
async function harm({ script, lost, shakes }: Damage): Promise<void> {
	for (const vf of lost) astray.add(vf);
	tell(script);
	const { stdout } = await sh(script);
	const shaken = shakes === "printed" ? pods.filter(({ container }) => stdout.includes(`${container}-net1`)) : shakes;
	for (const pod of shaken) pod.isShaken = true;
}

interface Seen {
	/** PCI address and RDMA device by place: a pod, or "" for the host. */
	readonly netdevs: Map<string, string>;
	readonly rdma: Map<string, string>;
	readonly vlans: number[];
}

/** Where everything is, as the kernel says. */
async function look(): Promise<Seen> {
	const script = `echo "$(ip -j -d link show)"; echo "$(rdma -j dev)"
for pod; do echo "$(ip -n $pod -j -d link show)"; echo "$(ip netns exec $pod rdma -j dev)"; done`;
	const lines = (await sh(script, ...pods.map(({ name }) => name))).stdout.split("\n");
	const seen: Seen = { netdevs: new Map(), rdma: new Map(), vlans: [] };
	for (const [index, place] of ["", ...pods.map(({ name }) => name)].entries()) {
		const [links, devices] = [lines[2 * index], lines[2 * index + 1]].map((line) => JSON.parse(line || "[]"));
		for (const link of links) {
			if (link.ifname === PF && place === "")
				seen.vlans.push(
					...link.vfinfo_list.map((vf: { vlan_list?: { vlan: number }[] }) => vf.vlan_list?.[0]?.vlan ?? 0),
				);
			if (vfs.some(({ pci }) => pci === link.parentdev)) seen.netdevs.set(link.parentdev, place);
		}
		for (const { ifname } of devices) seen.rdma.set(ifname, place);
	}
	return seen;
}

/** Says what is not as it has to be. A VF returns to the host by itself a little after its pod's end. */
async function check(): Promise<void> {
	let wrong: string[] = [];
	await until(
		"the VFs where they have to be",
		async () => {
			// What moves while it is listed makes a list that is none.
			wrong = await look().then(wrongIn, (error) => [String(error)]);
			return wrong.length === 0;
		},
		() => wrong.join("; "),
	).catch(() => wrong.forEach(violation));
}

function wrongIn({ netdevs, rdma, vlans }: Seen): string[] {
	const wrong: string[] = [];
	for (const { index, pci } of vfs) {
		const owners = pods.filter(({ state, vf }) => state === "attached" && vf === index);
		const mayHave = pods.filter(({ state, vf }) => state === "to be deleted" && vf === index);
		const where = { VF: netdevs.get(pci), "RDMA device": rdma.get(`mlx5_${index}`) };
		for (const [what, place] of Object.entries(where)) {
			const places = [...owners, ...(owners.length > 0 ? [] : mayHave)].map(({ name }) => name);
			if (owners.length === 0) places.push("");
			if (place === undefined || !places.includes(place))
				wrong.push(`${what} ${index} is in "${place}", not in ${JSON.stringify(places)}`);
		}
		if (owners.length > 1) wrong.push(`VF ${index} has two owners`);
		const vlan = owners.length === 1 ? podVlan(index) : ownVlan(index);
		const isLost = owners.length === 0 ? astray.has(index) : owners.some(({ isShaken }) => isShaken);
		if (mayHave.length === 0 && !isLost && vlans[index] !== vlan)
			wrong.push(`VF ${index} has VLAN ${vlans[index]}, not ${vlan}`);
	}
	const taken = pods.filter(({ state }) => state === "attached").map(({ address }) => address);
	if (new Set(taken).size < taken.length) wrong.push(`an address has two owners: ${taken.join(" ")}`);
	return wrong;
}

/** VFs whose own settings a damaged record alone knew, and that nobody has. */
async function repairIdle(): Promise<void> {
	for (const vf of astray) {
		if (pods.some((pod) => pod.state !== "nothing" && pod.vf === vf)) continue;
		sum.repairs++;
		await sh(repair(vf));
		astray.delete(vf);
	}
}

async function play(): Promise<void> {
	const calls: (() => Promise<void>)[] = [];
	for (const pod of pods.toSorted(() => below(2) - 0.5).slice(0, AT_ONCE)) {
		const kills = [killTime(), killTime()];
		if (pod.state === "nothing") {
			pod.vf = below(VFS);
			calls.push(() => add(pod, kills));
		} else if (pod.state === "to be deleted" || below(2) === 0) {
			if (below(5) === 0) await sh(`ip netns delete ${pod.name}; ip netns add ${pod.name}`);
			calls.push(() => del(pod, kills));
		}
	}
	const damages = Array.from({ length: below(3) }, damage);
	await Promise.all([...damages.map(harm), ...calls.map((each) => each())]);
	if (below(4) === 0) await gc(pods.filter(({ state }) => state === "attached"));
	await check();
	if (violations.length === 0) await repairIdle();
}

test(`${ROUNDS} rounds: no VF and no RDMA device has a wrong owner, and all are home at the end`, {
	timeout: 60_000 + 60_000 * ROUNDS,
}, async () => {
	const before = { host: await hostState(guest()), rdma: await rdmaState(guest()) };
	for (round = 1; round <= ROUNDS && violations.length === 0; round++) await play();
	if (violations.length > 0)
		console.log(
			story
				.filter((each) => each.startsWith(`round ${round - 1}:`) || each.startsWith(`round ${round - 2}:`))
				.join("\n"),
		);
	expect(violations).toEqual([]);
	for (const pod of pods) if (pod.state !== "nothing") await del(pod, []);
	await gc([]);
	await check();
	await repairIdle();
	console.log(`damage: seed ${SEED} (BERTH_SEED): ${JSON.stringify({ rounds: round - 1, ...sum })}`);
	expect(violations).toEqual([]);
	const foreign = `cd ${STATE}; rm -rf sriov/pci/0000:ff:00.1; for kind in sriov rdma; do
rm -rf $kind/old-records-2026 $kind/a-b-fifo $kind/l-o-op $kind/n-o-thing; done`;
	await sh(foreign);
	expect(await stateFiles(guest())).toEqual([]);
	expect({ host: await hostState(guest()), rdma: await rdmaState(guest()) }).toEqual(before);
});
