/**
 * Many pods and few VFs: ADD and DEL at the same moment, in random order, some of them killed.
 */
import { beforeAll, expect, test } from "vitest";
import { runStorm } from "../faults/scenario.ts";
import { SEED } from "../lab/random.ts";
import { createVfs, type Vf } from "../lab/sriov.ts";
import { PF, useSriov } from "../lab/sriov-session.ts";

const { guest } = useSriov();
let vfs: Vf[];

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 7);
});

const configuration = ({ pci, index }: Vf) => ({
	cniVersion: "1.1.0",
	name: "sriov-network",
	type: "sriov",
	deviceID: pci,
	vlan: 100 + index,
	trust: "on",
	max_tx_rate: 200 + index,
	mtu: 1400 + index,
	ipam: { type: "host-local", subnet: "10.56.217.0/24" },
});

/** Every VF has settings of its own, so that a mix-up shows. */
const reset = (): string => `${vfs
	.map(
		({ index, netdev }) => `ip link set ${PF} vf ${index} vlan ${50 + index}
ip link set ${PF} vf ${index} mac 02:00:5e:20:00:0${index}
ip link set ${netdev} mtu ${1470 + index}`,
	)
	.join("\n")}
ip netns add pod0
`;

test("200 rounds: no VF and no address is lost or has two owners", { timeout: 3_600_000 }, async () => {
	const result = await runStorm(
		guest(),
		{
			plugin: "sriov",
			rounds: 200,
			seed: SEED,
			pods: 10,
			atOnce: 3,
			vfs: vfs.map((vf) => [vf.pci, `vf${vf.index}`]),
			configurations: Object.fromEntries(vfs.map((vf) => [`vf${vf.index}`, configuration(vf)])),
			reset: reset(),
			watch: [["links"], ["files", "/var/lib/cni"]],
		},
		"/tmp/storm",
	);
	const { violations, ...counts } = result;
	console.log(`storm: seed ${SEED} (BERTH_SEED): ${JSON.stringify(counts)}, ${violations.length} violations`);
	expect(violations).toEqual([]);
	expect(counts.rounds).toBe(200);
	// The storm was one: VFs were asked for by two at once, and calls were killed while they ran.
	expect(counts.refused).toBeGreaterThan(10);
	expect(counts.kills).toBeGreaterThan(50);
});
