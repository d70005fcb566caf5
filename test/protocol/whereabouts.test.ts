/** whereabouts without an API server: what it refuses, and servers that it does not trust. test/kube has the rest. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority } from "../lab/certificates.ts";
import { call, ours, scratchDirectory } from "../lab/ipam.ts";
import { writeKubeconfig } from "../lab/kubeconfig.ts";
import { TestServer } from "../lab/tls-server.ts";

let authority: Authority;
beforeAll(() => {
	authority = new Authority();
});
afterAll(() => authority[Symbol.dispose]());

const ARGS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a";

function run(verb: string, ipam: object, more: { args?: string } = {}) {
	const config = { cniVersion: "1.1.0", name: "net", type: "sriov", ipam: { type: "whereabouts", ...ipam } };
	return call(ours("whereabouts"), verb, { config, id: "c1", ifName: "net1", args: ARGS, ...more });
}

/** `ipam` of a server on this machine, and where the state is. */
function plan(port: number, range = "10.0.0.0/24") {
	const directory = scratchDirectory();
	const kubeconfig = join(directory, "kubeconfig");
	writeKubeconfig(kubeconfig, {
		server: `https://127.0.0.1:${port}`,
		authority: { pem: authority.ca },
		user: { token: "t" },
	});
	return { directory, ipam: { range, kubernetes: { kubeconfig }, dataDir: join(directory, "state") } };
}

describe("a server that is not to be trusted gets no token, ADD and STATUS an error", () => {
	const names = "DNS:localhost,IP:127.0.0.1";
	test.each([
		["another authority", () => new Authority("other").make({ usage: "serverAuth", names }), "no CA that is trusted"],
		["expired", () => authority.make({ usage: "serverAuth", names, until: "20240229235959Z" }), "has expired"],
		["another name", () => authority.make({ usage: "serverAuth", names: "DNS:other" }), "is not for 127.0.0.1"],
		["for clients only", () => authority.make({ usage: "clientAuth", names }), "its certificate"],
	])("%s", async (_, make, sentence) => {
		const { certificate, key } = make();
		let requests = 0;
		await using server = await TestServer.https({ cert: certificate, key }, () => requests++);
		const { ipam } = plan(server.port);
		expect((await run("ADD", ipam)).json).toMatchObject({ code: 11, msg: expect.stringContaining(sentence) });
		expect((await run("STATUS", ipam)).json).toMatchObject({ code: 50, msg: expect.stringContaining(sentence) });
		expect(requests).toBe(0);
	});

	test("nobody listens, or nobody answers: said before the runtime gives up", async () => {
		await using server = await TestServer.tcp(() => {});
		const silent = plan(server.port);
		const nobody = plan(1);
		const answers = await Promise.all([
			run("STATUS", silent.ipam),
			run("ADD", silent.ipam),
			run("ADD", nobody.ipam),
			run("STATUS", nobody.ipam),
		]);
		expect(answers.map(({ json }) => [json.code, json.msg.includes("does not answer")])).toEqual([
			[50, true],
			[11, true],
			[11, true],
			[50, true],
		]);
	});
});

describe("configurations", () => {
	const kubernetes = { kubeconfig: "/nowhere" };
	async function expectRefusal(ipam: object, code: number, sentence: string): Promise<void> {
		const { status, json } = await run("ADD", { dataDir: join(scratchDirectory(), "state"), ...ipam });
		expect(status).toBe(1);
		expect(json).toMatchObject({ code, msg: expect.stringContaining(sentence) });
	}

	test.each<[string, object, number, string]>([
		["no range", { kubernetes }, 7, "do you have the 'range' parameter set"],
		["no kubeconfig", { range: "10.0.0.0/24" }, 7, "you have not configured the storage engine"],
		["a range that is none", { kubernetes, range: "10.0.0.0" }, 7, "invalid CIDR 10.0.0.0"],
		["a range of another type", { kubernetes, range: 7 }, 6, "ipam.range must be a string"],
		[
			"blocks of two ranges",
			{ kubernetes, range: "10.0.0.0/24", ipRanges: [{ range: "2001:db8::/64" }], node_slice_size: "/26" },
			7,
			"ipam.node_slice_size needs one range, and there are 2",
		],
		[
			"the VF's address without blocks",
			{ kubernetes, range: "10.0.0.0/24", address: "vf-index" },
			7,
			'ipam.address "vf-index" counts in a node\'s block: ipam.node_slice_size is missing',
		],
		["a policy that is none", { kubernetes, range: "10.0.0.0/24", allocationPolicy: "x" }, 7, "allocationPolicy"],
		[
			"a network name that names no object",
			{ kubernetes, range: "10.0.0.0/24", network_name: "A_b" },
			7,
			"network_name",
		],
		[
			"one range twice",
			{ kubernetes, range: "10.0.0.0/24", ipRanges: [{ range: "10.0.0.9/24" }] },
			7,
			"ranges 0 and 1 have addresses of 10.0.0.0/24 in common",
		],
		[
			"ranges of two networks that overlap",
			{ kubernetes, range: "10.0.0.0/23", ipRanges: [{ range: "10.0.0.0/24" }] },
			7,
			"ranges 0 and 1 have addresses",
		],
		["a relative path", { kubernetes: { kubeconfig: "k" }, range: "10.0.0.0/24" }, 7, 'must begin with "/"'],
		["a gateway that is none", { kubernetes, range: "10.0.0.0/24", gateway: "x" }, 7, "invalid IP address: x"],
		["a kubeconfig that is not there", { kubernetes, range: "10.0.0.0/24" }, 11, "/nowhere"],
	])("%s", (_, ipam, code, sentence) => expectRefusal(ipam, code, sentence));

	test.each([
		["in letters", "10.0.0.0/24", "small", 'is no prefix length such as "/26"'],
		["larger than the range", "10.0.0.0/24", "/22", "makes blocks larger than the range 10.0.0.0/24"],
		["smaller than an address", "10.0.0.0/24", "/33", "is longer than an address of 10.0.0.0/24, which has 32 bits"],
		[
			"more than etcd takes in one object",
			"10.0.0.0/8",
			"/27",
			"cuts 10.0.0.0/8 into 524288 blocks, and the NodeSlicePool with all of them would have at least 22.5 MB: etcd takes 1.6",
		],
	])("blocks %s", (_, range, size, sentence) =>
		expectRefusal({ kubernetes, range, node_slice_size: size }, 7, `ipam.node_slice_size "${size}" ${sentence}`),
	);

	test.each([
		["", "no pod name"],
		["K8S_POD_NAME=a", "no pod namespace"],
		["K8S_POD_NAMESPACE=d;K8S_POD_NAME=a;IP=x", "invalid address in CNI_ARGS IP: x"],
	])("CNI_ARGS %j", async (args, sentence) => {
		const { json } = await run("ADD", { kubernetes, range: "10.0.0.0/24" }, { args });
		expect(json).toMatchObject({ code: 4, msg: expect.stringContaining(sentence) });
	});

	test("two addresses of one range", async () => {
		const args = `${ARGS};IP=10.0.0.5,10.0.0.6`;
		const { json } = await run("ADD", { kubernetes, range: "10.0.0.0/24" }, { args });
		expect(json).toMatchObject({ code: 7, msg: expect.stringContaining("10.0.0.5 and 10.0.0.6 are requested") });
	});

	test("the flat file has what the configuration has not", async () => {
		const { directory, ipam } = plan(1);
		const path = join(directory, "flat.conf");
		writeFileSync(path, JSON.stringify({ type: "whereabouts", kubernetes: ipam.kubernetes, dataDir: ipam.dataDir }));
		const { json } = await run("STATUS", { range: "10.0.0.0/24", configuration_path: path });
		expect(json).toMatchObject({ code: 50, msg: expect.stringContaining("127.0.0.1:1") });
		writeFileSync(path, "{");
		expect((await run("STATUS", { range: "10.0.0.0/24", configuration_path: path })).json.code).toBe(6);
	});

	test("DEL of what has no record and no usable configuration has nothing to do", async () => {
		for (const ipam of [{}, { range: "x" }, { range: "10.0.0.0/24", kubernetes }]) {
			const { status, stdout } = await run("DEL", { dataDir: scratchDirectory(), ...ipam });
			expect([status, stdout]).toEqual([0, ""]);
		}
	});

	test("a state directory that cannot be used", async () => {
		const { directory, ipam } = plan(1);
		writeFileSync(join(directory, "state"), "");
		expect((await run("STATUS", ipam)).json).toMatchObject({ code: 50, msg: expect.stringContaining("state") });
		expect(readdirSync(directory)).toContain("state");
	});
});
