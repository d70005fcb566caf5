/**
 * Addresses through the executable, which has a quick way for what is canonical already: the same text comes out as
 * where every address is read (lib/ip on Node, which Go's own answers judge).
 */
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, it, test } from "vitest";
import { formatIp, parseIp } from "../../lib/ip/address.ts";
import { formatCidr, parseCidr } from "../../lib/ip/cidr.ts";
import { call, ours } from "../lab/ipam.ts";
import { ip, NetnsLab, netnsPath } from "../lab/netns-lab.ts";
import { SEED } from "../lab/random.ts";
import { goAddresses, goCidrs } from "../unit/ip/go-vectors.ts";

const add = (addresses: object[]) =>
	call(ours("static"), "ADD", {
		config: { cniVersion: "1.0.0", name: "n", type: "sriov", ipam: { type: "static", addresses } },
	});

it("addresses and gateways come out as Go prints them", async () => {
	const cidrs = goCidrs.filter(([, canonical]) => canonical !== undefined);
	const gateways = goAddresses.filter(([, canonical]) => canonical !== undefined);
	const pairs = cidrs.flatMap(([address, cidr]) => gateways.map(([gateway, ip]) => ({ address, cidr, gateway, ip })));
	const answer = await add(pairs.map(({ address, gateway }) => ({ address, gateway })));
	expect(answer.json).toMatchObject({ ips: pairs.map(({ cidr, ip }) => ({ address: cidr, gateway: ip })) });
});

const refused = [
	...goCidrs.filter(([, canonical]) => canonical === undefined).map(([address]) => ({ address })),
	...goAddresses
		.filter(([text, canonical]) => canonical === undefined && text !== "")
		.map(([gateway]) => ({ address: "10.1.2.3/24", gateway })),
];
test.each(refused)("%j is refused", async (address) => {
	expect(await add([address])).toMatchObject({ status: 1, json: { code: 7 } });
});

/** Runs of zeros in all places, letters of both cases, leading zeros. */
const group = fc.oneof(fc.constantFrom("0", "0", "0", "00", "ffff", "FFFF"), fc.stringMatching(/^[0-9a-fA-F]{1,4}$/));
const whole = fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(":"));
const shortened = fc.tuple(fc.array(group, { maxLength: 7 }), fc.nat(7)).map(([groups, gap]) => {
	const at = Math.min(gap, groups.length);
	return `${groups.slice(0, at).join(":")}::${groups.slice(at).join(":")}`;
});
const sample = (numRuns: number) => fc.sample(fc.oneof(whole, shortened, fc.ipV4()), { numRuns, seed: SEED });

it("whatever the spelling", async () => {
	const texts = sample(4000);
	const canonical = texts.map((text) => formatIp(parseIp(text)!));
	const all = [...texts, ...canonical];
	const answer = await add(all.map((text, index) => ({ address: `${text}/${index % 33}`, gateway: text })));
	expect(answer.json).toMatchObject({
		ips: all.map((text, index) => ({
			address: formatCidr(parseCidr(`${text}/${index % 33}`)!),
			gateway: formatIp(parseIp(text)!),
		})),
	});
});

it("CHECK reads the kernel's as lib/ip writes them", async () => {
	using lab = new NetnsLab();
	const pod = lab.add();
	ip(pod, "link add v0 type veth peer name v1");
	const texts = sample(600).map((text) => formatIp(parseIp(text)!));
	// What no interface can have.
	const usable = [...new Set(texts)].filter(
		(text) => !/^(0|127|22[4-9]|2[3-5]\d)\.|^(::1?|ff..:.*)$|^::ffff:/.test(text),
	);
	const addresses = usable.map((text) => ({ address: `${text}/${text.includes(":") ? 128 : 32}` }));
	const batch = addresses.map(({ address }) => `address add ${address} dev v0\n`).join("");
	execFileSync("ip", ["-n", pod, "-batch", "-"], { input: batch });
	const config = {
		cniVersion: "1.0.0",
		name: "n",
		type: "sriov",
		ipam: { type: "static", addresses },
		prevResult: { cniVersion: "1.0.0", ips: addresses },
	};
	const answer = await call(ours("static"), "CHECK", { config, netns: netnsPath(pod), ifName: "v0" });
	expect(answer).toMatchObject({ status: 0, stdout: "" });
	ip(pod, `address del ${addresses.at(-1)!.address} dev v0`);
	const after = await call(ours("static"), "CHECK", { config, netns: netnsPath(pod), ifName: "v0" });
	expect(after.json).toMatchObject({ code: 102, msg: expect.stringContaining(addresses.at(-1)!.address) });
});
