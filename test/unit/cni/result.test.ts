import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePrevResult, parseResult } from "../../../lib/cni/result.ts";
import { resultAsVersion } from "../../../lib/cni/result-render.ts";
import type { CniResult, JsonValue, Request } from "../../../lib/cni/types.ts";
import { SUPPORTED_VERSIONS } from "../../../lib/cni/version.ts";
import { failure } from "./failure.ts";

const FULL: CniResult = {
	interfaces: [
		{ name: "net1", mac: "02:00:00:00:00:01", mtu: 1400, sandbox: "/ns", socketPath: "/s", pciID: "0000:01:00.1" },
		{ name: "host1", mtu: 0, mac: "" },
	],
	ips: [
		{ interface: 0, address: "10.1.2.3/24", gateway: "10.1.2.1" },
		{ address: "2001:db8::3/64" },
		{ interface: 1, address: "10.1.2.4/24" },
	],
	routes: [
		{ dst: "0.0.0.0/0", gw: "10.1.2.1", mtu: 1300, advmss: 1200, priority: 5, table: 0, scope: 0 },
		{ dst: "2001:db8:1::/64", mtu: 0, advmss: 0, priority: 0 },
	],
	dns: { nameservers: ["10.1.2.1"], domain: "d", search: ["s"], options: ["o"] },
};

/** Key order counts: text, not structure. */
const text = (result: CniResult, version: string): string => JSON.stringify(resultAsVersion(result, version));

describe("a result", () => {
	it.each(["1.0.0", "1.1.0"])("of %s has every field, with sorted keys", (version) => {
		expect(text(FULL, version)).toBe(
			`{"cniVersion":"${version}",` +
				'"dns":{"domain":"d","nameservers":["10.1.2.1"],"options":["o"],"search":["s"]},' +
				'"interfaces":[{"mac":"02:00:00:00:00:01","mtu":1400,"name":"net1","pciID":"0000:01:00.1","sandbox":"/ns","socketPath":"/s"},{"name":"host1"}],' +
				'"ips":[{"address":"10.1.2.3/24","gateway":"10.1.2.1","interface":0},{"address":"2001:db8::3/64"},{"address":"10.1.2.4/24","interface":1}],' +
				'"routes":[{"advmss":1200,"dst":"0.0.0.0/0","gw":"10.1.2.1","mtu":1300,"priority":5,"scope":0,"table":0},{"dst":"2001:db8:1::/64"}]}',
		);
	});

	it.each(["0.3.0", "0.3.1", "0.4.0"])("of %s has ips with a version, interfaces without MTU", (version) => {
		expect(text(FULL, version)).toBe(
			`{"cniVersion":"${version}",` +
				'"interfaces":[{"name":"net1","mac":"02:00:00:00:00:01","sandbox":"/ns"},{"name":"host1"}],' +
				'"ips":[{"version":"4","interface":0,"address":"10.1.2.3/24","gateway":"10.1.2.1"},{"version":"6","address":"2001:db8::3/64"},{"version":"4","interface":1,"address":"10.1.2.4/24"}],' +
				'"routes":[{"dst":"0.0.0.0/0","gw":"10.1.2.1","mtu":1300,"advmss":1200,"priority":5,"table":0,"scope":0},{"dst":"2001:db8:1::/64"}],' +
				'"dns":{"nameservers":["10.1.2.1"],"domain":"d","search":["s"],"options":["o"]}}',
		);
	});

	it.each(["0.1.0", "0.2.0"])("of %s has one address per family with its routes", (version) => {
		expect(text(FULL, version)).toBe(
			`{"cniVersion":"${version}",` +
				'"ip4":{"ip":"10.1.2.3/24","gateway":"10.1.2.1","routes":[{"dst":"0.0.0.0/0","gw":"10.1.2.1"}]},' +
				'"ip6":{"ip":"2001:db8::3/64","routes":[{"dst":"2001:db8:1::/64"}]},' +
				'"dns":{"nameservers":["10.1.2.1"],"domain":"d","search":["s"],"options":["o"]}}',
		);
	});

	it("without anything keeps an empty dns before 1.0.0", () => {
		expect(text({}, "0.4.0")).toBe('{"cniVersion":"0.4.0","dns":{}}');
		expect(text({}, "1.0.0")).toBe('{"cniVersion":"1.0.0"}');
		expect(text({ interfaces: [], ips: [], routes: [], dns: { domain: "" } }, "1.1.0")).toBe('{"cniVersion":"1.1.0"}');
	});

	it("without an address is not possible before 0.3.0", () => {
		expect(failure(() => resultAsVersion({ interfaces: [{ name: "net1" }] }, "0.2.0")).message).toBe(
			"cannot convert: no valid IP addresses",
		);
	});

	it("drops routes of a family that has no address before 0.3.0", () => {
		const result = { ips: [{ address: "10.0.0.1/8" }], routes: [{ dst: "::/0" }] };
		expect(text(result, "0.2.0")).toBe('{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.1/8"},"dns":{}}');
	});
});

describe("reading a result", () => {
	it.each(["1.0.0", "1.1.0"])("of %s gives back what was printed", (version) => {
		const printed = resultAsVersion(FULL, version);
		expect(resultAsVersion(parseResult(printed, "0.1.0"), version)).toEqual(printed);
	});

	it("loses nothing on the way through any version and back, but what that version cannot say", () => {
		const address = fc.constantFrom("10.1.2.3/24", "10.1.2.9/16", "2001:db8::1/64", "2001:db8::2/48");
		const results = fc.record({
			ips: fc.array(fc.record({ address, interface: fc.nat(3) }), { minLength: 1, maxLength: 4 }),
			routes: fc.array(fc.record({ dst: address, scope: fc.nat(2), mtu: fc.nat(9000) }), { maxLength: 3 }),
		});
		fc.assert(
			fc.property(results, fc.constantFrom(...SUPPORTED_VERSIONS), (result, version) => {
				const once = resultAsVersion(result, version);
				expect(resultAsVersion(parseResult(once, version), version)).toEqual(once);
			}),
		);
	});

	it("of 0.2.0 puts ip4 before ip6, with their routes in that order", () => {
		const result = {
			ip6: { ip: "2001:db8::3/64", routes: [{ dst: "::/0", gw: "2001:db8::1" }] },
			ip4: { ip: "10.1.2.3/24", gateway: "10.1.2.1", routes: [{ dst: "10.0.0.0/8" }] },
			dns: { domain: "d" },
		};
		expect(parseResult({ cniVersion: "0.2.0", ...result }, "1.0.0")).toEqual({
			ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }, { address: "2001:db8::3/64" }],
			routes: [{ dst: "10.0.0.0/8" }, { dst: "::/0", gw: "2001:db8::1" }],
			dns: { domain: "d" },
		});
	});

	it("without a version takes the configuration's", () => {
		const json: JsonValue = { ip4: { ip: "10.1.2.3/24" }, ips: [{ address: "10.9.9.9/8" }] };
		expect(parseResult(json, "0.2.0")).toEqual({ ips: [{ address: "10.1.2.3/24" }] });
		expect(parseResult({ ...json, cniVersion: "" }, "1.0.0")).toEqual({ ips: [{ address: "10.9.9.9/8" }] });
	});

	it("makes addresses canonical, host bits kept, and folds keys", () => {
		const json = {
			IPs: [{ Address: "2001:DB8:0::3/64", GATEWAY: "::ffff:10.0.0.1" }],
			ROUTES: [{ dst: "10.1.2.3/8", gw: "" }],
		};
		expect(parseResult(json, "1.0.0")).toEqual({
			ips: [{ address: "2001:db8::3/64", gateway: "10.0.0.1" }],
			routes: [{ dst: "10.1.2.3/8" }],
		});
	});

	it("takes null for an empty one, as Go does", () => {
		expect(parseResult(null, "1.0.0")).toEqual({});
	});

	it.each([
		[[], 6, "the result must be an object, not []"],
		[{ cniVersion: "2.0.0" }, 6, 'unsupported CNI result version "2.0.0"'],
		[{ ips: [{ address: "10.1.2.3" }] }, 7, 'ips[0].address must be an address with a prefix length, not "10.1.2.3"'],
		[{ ips: [{ address: "10.1.2.3/8", gateway: "x" }] }, 7, 'ips[0].gateway must be an IP address, not "x"'],
		[{ routes: [{ dst: "default" }] }, 7, 'routes[0].dst must be an address with a prefix length, not "default"'],
		[{ ips: 5 }, 6, "ips must be a list, not 5"],
	] as [JsonValue, number, string][])("%j is refused", (json, code, message) => {
		expect(failure(() => parseResult(json, "1.0.0"))).toMatchObject({ code, message });
	});
});

describe("prevResult", () => {
	const request = (cniVersion: string, config: object): Request =>
		({ cniVersion, config: config as Request["config"] }) as Request;

	it.each([{}, { prevResult: null }])("%j is none", (config) => {
		expect(parsePrevResult(request("1.0.0", config))).toBeUndefined();
	});

	it("may be of any version with the configuration's shape", () => {
		const prevResult = { cniVersion: "1.1.0", ips: [{ address: "10.1.2.3/24" }] };
		expect(parsePrevResult(request("1.0.0", { PREVRESULT: prevResult }))).toEqual({ ips: prevResult.ips });
	});

	it.each([
		[
			"1.0.0",
			"0.4.0",
			'could not parse prevResult: result type supports [1.0.0 1.1.0] but unmarshalled CNIVersion is "0.4.0"',
		],
		[
			"0.4.0",
			"1.0.0",
			'could not parse prevResult: result type supports [0.3.0 0.3.1 0.4.0] but unmarshalled CNIVersion is "1.0.0"',
		],
		[
			"0.2.0",
			"0.3.0",
			'could not parse prevResult: result type supports [ 0.1.0 0.2.0] but unmarshalled CNIVersion is "0.3.0"',
		],
	])("of a configuration of %s cannot be of %s", (version, other, message) => {
		const prevResult = { cniVersion: other, ips: [{ address: "10.1.2.3/24" }] };
		expect(failure(() => parsePrevResult(request(version, { prevResult })))).toMatchObject({ code: 6, message });
	});

	it("of a wrong shape is told with its path", () => {
		expect(failure(() => parsePrevResult(request("1.0.0", { prevResult: { ips: [{}] } }))).message).toBe(
			"could not parse prevResult: ips[0].address is missing",
		);
	});
});
