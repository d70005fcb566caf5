/**
 * Values of configurations that each plugin must understand as Go does, or refuse by name before it changes anything.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { call, heldAddresses, ours, scratchDirectory } from "../lab/ipam.ts";

describe("a key that stands twice", () => {
	it("of which both values are objects: they are merged, whatever the spelling, as in Go", async () => {
		const dataDir = scratchDirectory();
		const range = '{"ranges":[[{"subnet":"10.1.2.0/24"}]]}';
		for (const second of ["ipam", "IPAM", "\\u0069pam"]) {
			const config = `{"cniVersion":"1.0.0","name":"x","ipam":{"dataDir":"${dataDir}"},"NAME":"y","${second}":${range},"name":"n"}`;
			expect(await call(ours("host-local"), "ADD", { config })).toMatchObject({ status: 0 });
			expect(readdirSync(dataDir).filter((name) => !name.startsWith("."))).toEqual(["n"]);
			expect(heldAddresses(join(dataDir, "n"))).toHaveLength(1);
			expect(await call(ours("host-local"), "DEL", { config })).toMatchObject({ status: 0 });
			expect(heldAddresses(join(dataDir, "n"))).toEqual([]);
		}
	});

	it("of which nobody knows what it means is refused by name; DEL works with what there is", async () => {
		const dataDir = scratchDirectory();
		const rest = `"dataDir":"${dataDir}","ranges":[[{"subnet":"10.1.2.0/24"}]]`;
		const config = (more: string): string => `{"cniVersion":"1.0.0","name":"n","ipam":{${more}${rest}}}`;
		const twice = config('"Ranges":[[{"subnet":"10.1.3.0/24"}]],');
		const answer = await call(ours("host-local"), "ADD", { config: twice });
		expect(answer.json).toMatchObject({ code: 7, msg: 'key "ranges" stands twice in one object' });
		expect(existsSync(join(dataDir, "n"))).toBe(false);
		expect(await call(ours("host-local"), "ADD", { config: config("") })).toMatchObject({ status: 0 });
		expect(await call(ours("host-local"), "DEL", { config: twice })).toMatchObject({ status: 0 });
		expect(heldAddresses(join(dataDir, "n"))).toEqual([]);
	});
});

describe("numbers", () => {
	const route = (more: object) => ({ routes: [{ dst: "10.9.0.0/16", ...more }] });
	const bad: [string, object][] = [
		...["mtu", "advmss", "priority", "table"].flatMap((key) => [
			[`routes[0].${key} must be at least 0, not -1`, route({ [key]: -1 })] as [string, object],
			[`routes[0].${key} must be at most 4294967295, not 4294967396`, route({ [key]: 4294967396 })] as [string, object],
		]),
		["routes[0].scope must be at most 255, not 256", route({ scope: 256 })],
		["routes[0].scope must be at least 0, not -1", route({ scope: -1 })],
	];

	it.each(bad)("ipam.%s", async (sentence, ipam) => {
		const dataDir = scratchDirectory();
		for (const [plugin, more] of [
			["host-local", { dataDir, subnet: "10.1.2.0/24" }],
			["static", { addresses: [{ address: "10.1.2.3/24" }] }],
		] as const) {
			const config = { cniVersion: "1.0.0", name: "n", ipam: { ...more, ...ipam } };
			expect((await call(ours(plugin), "ADD", { config })).json).toEqual({ code: 7, msg: `ipam.${sentence}` });
		}
		expect(readdirSync(dataDir)).toEqual([]);
	});

	it.each([
		["routes[0].table must be at least 0, not -1", { routes: [{ dst: "10.9.0.0/16", table: -1 }] }],
		["interfaces[0].mtu must be at least 0, not -1", { interfaces: [{ name: "e", mtu: -1 }] }],
		["ips[0].interface must be at most 2147483647, not 1e+99", { ips: [{ address: "10.1.2.3/24", interface: 1e99 }] }],
	])("prevResult.%s", async (sentence, previous) => {
		const config = { cniVersion: "1.0.0", name: "n", prevResult: { cniVersion: "1.0.0", ...previous } };
		expect((await call(ours("rdma"), "ADD", { config })).json.msg).toContain(sentence);
	});
});

describe("a route with a gateway of another family", () => {
	it.each([
		{ dst: "10.8.0.0/16", gw: "fd00::1" },
		{ dst: "fd00:8::/64", gw: "10.1.2.1" },
		{ dst: "::ffff:10.8.0.0/112", gw: "fd00::1" },
	])("%j is refused", async (route) => {
		for (const verb of ["ADD", "CHECK"]) {
			const config = {
				cniVersion: "1.0.0",
				name: "n",
				ipam: { addresses: [{ address: "10.1.2.3/24" }], routes: [route] },
				prevResult: { cniVersion: "1.0.0", ips: [{ address: "10.1.2.3/24" }] },
			};
			expect((await call(ours("static"), verb, { config })).json).toMatchObject({
				code: 7,
				msg: `gateway ${route.gw} of the route to ${route.dst} is of another address family`,
			});
		}
	});
});

describe("the zero value of Go", () => {
	it('is "not given": of every field of sriov and rdma', async () => {
		const zero = { mtu: 0, mac: "", spoofchk: "", trust: "", link_state: "", logLevel: "", logFile: "", pciBusID: "" };
		const config = {
			cniVersion: "1.0.0",
			name: "n",
			deviceID: "0000:00:1f.7",
			...zero,
			ipam: { type: "" },
			runtimeConfig: { mac: "", CNIDeviceInfoFile: "", deviceID: "" },
		};
		const netns = "/etc/passwd";
		// What is wrong is the sandbox, and no field.
		const sriov = await call(ours("sriov"), "ADD", { config, netns });
		expect(sriov.json).toMatchObject({ code: 4, msg: expect.stringContaining(netns) });
		const names = { rdmaDeviceName: "", sharedMode: "", args: { cni: { rdmaDeviceName: "" } }, pciBusID: "" };
		const rdma = await call(ours("rdma"), "ADD", {
			config: { cniVersion: "1.0.0", name: "n", deviceID: "", logFile: "", logLevel: "", ...names },
		});
		expect(rdma.json).toMatchObject({ code: 7, msg: expect.stringContaining("prevResult is missing") });
	});

	it("that is none is refused: an MTU that no interface can have", async () => {
		const config = { cniVersion: "1.0.0", name: "n", deviceID: "0000:00:1f.7", mtu: 67 };
		const { json } = await call(ours("sriov"), "ADD", { config });
		expect(json).toEqual({ code: 7, msg: "mtu must be 0 or at least 68, not 67" });
	});
});
