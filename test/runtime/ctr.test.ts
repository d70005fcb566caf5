/**
 * `ctr run --cni` of Debian's containerd: a client of libcni (go-cni) that nobody here wrote runs a container with our
 * IPAM plugins below Go's main plugins. It calls ADD, and DEL without a namespace when the container has ended.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { CNI_BIN, CNI_CONF, Containerd, CtrContainer, installGoPlugins } from "../lab/containerd.ts";
import { binaries } from "../lab/executables.ts";
import { pauseProgram } from "../lab/image.ts";
import { NodeOnHost } from "../lab/node-on-host.ts";
import { stateFiles } from "../lab/pods.ts";

let node: NodeOnHost;
let containerd: Containerd;

const sh = async (script: string) => (await node.run(["sh", "-ec", script])).stdout;

beforeAll(async () => {
	node = await NodeOnHost.start();
	containerd = await Containerd.start(node, { directory: node.directory });
	await sh(`ip link add data0 type veth peer name data1; ip link set data0 up; ip link set data1 up
		mkdir -p ${node.directory}/rootfs; cp ${binaries}/host-local ${binaries}/static ${CNI_BIN}`);
	await node.writeFile(`${node.directory}/rootfs/pause`, pauseProgram());
	await sh(`chmod 755 ${node.directory}/rootfs/pause`);
	await installGoPlugins(node, ["bridge", "macvlan", "ptp"]);
});
afterAll(async () => {
	await containerd?.[Symbol.asyncDispose]();
	await node?.stop();
});

const hostLocal = {
	type: "host-local",
	subnet: "10.71.0.0/24",
	rangeStart: "10.71.0.5",
	routes: [{ dst: "0.0.0.0/0" }],
};

test.each<[string, object, string[]]>([
	["bridge and host-local", { type: "bridge", bridge: "cni0", isGateway: true, ipam: hostLocal }, ["10.71.0.5/24"]],
	["ptp and host-local", { type: "ptp", ipam: hostLocal }, ["10.71.0.5/24"]],
	[
		"macvlan and host-local, two families",
		{
			type: "macvlan",
			master: "data0",
			ipam: { type: "host-local", ranges: [[{ subnet: "10.71.0.0/24" }], [{ subnet: "fd00:71::/64" }]] },
		},
		["10.71.0.2/24", "fd00:71::2/64"],
	],
	[
		"macvlan and static",
		{ type: "macvlan", master: "data0", ipam: { type: "static", addresses: [{ address: "10.71.0.77/24" }] } },
		["10.71.0.77/24"],
	],
])(
	"a container gets its addresses from %s, and nothing of it is left when it has ended",
	async (name, plugin, addresses) => {
		const conflist = { cniVersion: "1.0.0", name: name.replaceAll(/\W+/g, "-"), plugins: [plugin] };
		await node.writeFile(`${CNI_CONF}/10-pods.conflist`, JSON.stringify(conflist));
		{
			await using container = await CtrContainer.run(node, containerd, `${node.directory}/rootfs`);
			expect(await container.addresses("eth0")).toEqual(addresses);
			const { status, stderr } = await container.end();
			// It says what DEL did only there.
			expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		}
		expect(await stateFiles(node)).toEqual([]);
	},
);
