/**
 * Interfaces of pods: configuration, carrier, announcements as the neighbours hear them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { beforeAll, expect, test } from "vitest";
import { index, NetlinkFixture, type Step } from "../fixtures/netlink/run.ts";
import { compileC } from "../lab/fixture-executable.ts";
import { ip, ipJson, NetnsLab } from "../lab/netns-lab.ts";

const fixture = await NetlinkFixture.build();
let sniff: string;
beforeAll(() => {
	sniff = compileC("test/fixtures/netlink/sniff.c");
});

const find: Step = ["getLink", "v0"];
const link = { $: "0" };

/** A pod with v0 (down) whose other end v1 (up) is in another namespace. */
function podAndPeer(lab: NetnsLab): { pod: string; peer: string } {
	const pod = lab.add();
	const peer = lab.add();
	ip(pod, "link add v0 type veth peer name v1");
	ip(pod, `link set v1 netns ${peer}`);
	ip(peer, "link set v1 up");
	return { pod, peer };
}

test("an interface gets its addresses and routes, IPv6 turned on for it", () => {
	using lab = new NetnsLab();
	const { pod } = podAndPeer(lab);
	const config = {
		ips: [
			{ address: "10.1.2.3/24", gateway: "10.1.2.1" },
			{ address: "10.1.9.3/24", gateway: "10.1.9.1" },
			{ address: "fd00::3/64", gateway: "fd00::1" },
		],
		routes: [
			{ dst: "0.0.0.0/0" },
			{ dst: "::/0" },
			{ dst: "10.5.0.0/16", gw: "10.1.2.9", mtu: 1300, advmss: 1000, priority: 10, table: 500 },
			{ dst: "10.6.0.0/16", scope: 253 },
			{ dst: "fd05::/64", gw: "fd00::7" },
		],
	};
	const values = fixture.values(pod, [
		find,
		["writeSysctl", "net/ipv6/conf/v0/disable_ipv6", "1"],
		["writeSysctl", "net/ipv6/conf/lo/disable_ipv6", "1"],
		["configureInterface", link, config],
		["readSysctlIfPresent", "net/ipv6/conf/v0/disable_ipv6"],
		["readSysctlIfPresent", "net/ipv6/conf/lo/disable_ipv6"],
		["readSysctlIfPresent", "net/ipv6/conf/v0/keep_addr_on_down"],
		["readSysctlIfPresent", "net/ipv6/conf/v0/no_such_setting"],
	]);
	expect(values.slice(4)).toEqual(["0", "0", "1", null]);
	const shown = ipJson(pod, "address show v0")[0];
	expect(shown.flags).toContain("UP");
	const ipv6 = shown.addr_info.find((each: { local: string }) => each.local === "fd00::3");
	// The IPv6 route is made when the address is in use, not while duplicates are looked for.
	expect(ipv6.tentative).toBeUndefined();
	expect(ipJson(pod, "-4 route show default")).toMatchObject([{ gateway: "10.1.2.1", dev: "v0" }]);
	expect(ipJson(pod, "-6 route show default")).toMatchObject([{ gateway: "fd00::1", dev: "v0" }]);
	expect(ipJson(pod, "-6 route show fd05::/64")).toMatchObject([{ gateway: "fd00::7" }]);
	expect(ipJson(pod, "route show 10.6.0.0/16")).toMatchObject([{ scope: "link" }]);
	expect(ipJson(pod, "route show table 500")).toMatchObject([
		{ dst: "10.5.0.0/16", gateway: "10.1.2.9", metric: 10, metrics: [{ mtu: 1300, advmss: 1000 }] },
	]);
});

test("an address that another node uses is refused by name", () => {
	using lab = new NetnsLab();
	const { pod, peer } = podAndPeer(lab);
	ip(peer, "address add fd00::3/64 dev v1 nodad");
	const config = { ips: [{ address: "fd00::3/64", gateway: "fd00::1" }], routes: [{ dst: "::/0" }] };
	const [, outcome] = fixture.run(pod, [find, ["configureInterface", link, config]]);
	expect(outcome!.error).toMatchObject({ name: "CniError", code: 100 });
	expect(outcome!.error!.message).toBe(
		'link "v0" has address fd00::3/64 in DADFAILED state: another node on this network uses it already',
	);
});

test("a refused address or route is named, with the interface and the kernel's words", () => {
	using lab = new NetnsLab();
	const { pod } = podAndPeer(lab);
	const ips = [{ address: "10.1.2.3/24" }];
	const [, route, address] = fixture.run(pod, [
		find,
		["configureInterface", link, { ips, routes: [{ dst: "10.9.0.0/16", gw: "10.77.0.1" }] }],
		["configureInterface", link, { ips, routes: [] }],
	]);
	expect(route!.error!.message).toMatch(
		/^failed to add route 10\.9\.0\.0\/16 via 10\.77\.0\.1 dev "v0": RTM_NEWROUTE .* \(ENETUNREACH\): Nexthop has invalid gateway$/,
	);
	expect(address!.error!.message).toMatch(
		/^failed to add IP address 10\.1\.2\.3\/24 to "v0": RTM_NEWADDR .* \(EEXIST\)/,
	);
	expect(route!.error).toMatchObject({ name: "CniError", code: 100 });
});

test("waiting for a carrier ends when the other end comes up, and at its deadline", async () => {
	using lab = new NetnsLab();
	const { pod, peer } = podAndPeer(lab);
	ip(peer, "link set v1 down");
	const [, , inVain] = fixture.values(pod, [find, ["setLink", index, { up: true }], ["waitForCarrier", index, 50]]);
	expect(inVain).toBe(false);
	const waiting = fixture.start(pod, [find, ["waitForCarrier", index, 20_000]]);
	ip(peer, "link set v1 up");
	expect((await waiting)[1]).toEqual({ value: true });
});

/** Reads the frames that come in over a link, by sniff.c. */
class Sniffer {
	readonly #child: ChildProcess;
	readonly #lines: AsyncIterator<string>;

	private constructor(child: ChildProcess, lines: AsyncIterator<string>) {
		this.#child = child;
		this.#lines = lines;
	}

	static async start(netns: string, name: string): Promise<Sniffer> {
		const child = spawn("ip", ["netns", "exec", netns, sniff, name], { stdio: ["ignore", "pipe", "inherit"] });
		const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
		expect((await lines.next()).value).toBe("ready");
		return new Sniffer(child, lines);
	}

	/** The next frame (as hex) that passes. */
	async next(filter: (frame: string) => boolean): Promise<string> {
		for (;;) {
			const { value, done } = await this.#lines.next();
			if (done) throw new Error("the sniffer has ended");
			if (filter(value)) return value;
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const closed = once(this.#child, "close");
		this.#child.kill("SIGKILL");
		await closed;
	}
}

const MAC = "020000000001";

/** A pod whose v0 has `MAC`, two addresses in use and a carrier; a second interface, up first, goes elsewhere. */
function announcingPod(lab: NetnsLab): { pod: string; peer: string } {
	const { pod, peer } = podAndPeer(lab);
	ip(pod, "link add eth0 type veth peer name elsewhere");
	ip(pod, "link set elsewhere up");
	ip(pod, "link set eth0 up");
	ip(pod, "link set v0 address 02:00:00:00:00:01 addrgenmode none");
	ip(pod, "address add 10.1.2.3/24 dev v0");
	ip(pod, "address add fe80::3/64 dev v0 nodad");
	ip(pod, "address add fd00::3/64 dev v0 nodad");
	ip(pod, "link set v0 up");
	return { pod, peer };
}

const announcement: Step[] = [
	find,
	["waitForCarrier", index, 20_000],
	["announce", link, [{ address: "10.1.2.3/24" }, { address: "fd00::3/64" }]],
];

test("addresses are announced by a gratuitous ARP request and an unsolicited neighbour advertisement", async () => {
	using lab = new NetnsLab();
	const { pod, peer } = announcingPod(lab);
	await using sniffer = await Sniffer.start(peer, "v1");
	const [, carrier, failures] = fixture.values(pod, announcement);
	expect([carrier, failures]).toEqual([true, []]);

	// Ethernet: to all, from MAC, type ARP. Then: Ethernet, IPv4, lengths, request, sender, target.
	const arp = await sniffer.next((frame) => frame.slice(24, 28) === "0806");
	const parts = ["ffffffffffff", MAC, "0806", "0001080006040001", MAC, "0a010203", "ffffffffffff", "0a010203"];
	expect(arp).toBe(parts.join(""));

	// IPv6 header (54 bytes with Ethernet's), then type 136, code 0, checksum, override flag, target, option 2 with the
	// MAC.
	const advertisement = await sniffer.next((frame) => frame.slice(24, 28) === "86dd" && frame.slice(108, 110) === "88");
	expect(advertisement.slice(0, 12)).toBe("333300000001");
	const [payloadLength, next, hopLimit] = [36, 40, 42].map((at) =>
		Number.parseInt(advertisement.slice(at, at + 2), 16),
	);
	expect([payloadLength, next, hopLimit]).toEqual([0, 58, 255]);
	expect(advertisement.slice(76, 108)).toBe(`ff02${"0".repeat(27)}1`);
	expect(advertisement.slice(116)).toBe(`20000000fd00${"0".repeat(27)}3` + `0201${MAC}`);
});

test("neighbours that knew another MAC for the addresses learn the new one", async () => {
	using lab = new NetnsLab();
	const { pod, peer } = announcingPod(lab);
	ip(peer, "address add 10.1.2.9/24 dev v1");
	ip(peer, "address add fd00::9/64 dev v1 nodad");
	ip(peer, "neigh add 10.1.2.3 lladdr 02:00:00:00:00:99 nud stale dev v1");
	ip(peer, "neigh add fd00::3 lladdr 02:00:00:00:00:99 nud stale dev v1");
	fixture.values(pod, announcement);
	const known = () => {
		const neighbours = ipJson(peer, "neigh show dev v1");
		return ["10.1.2.3", "fd00::3"].map((dst) => neighbours.find((each) => each.dst === dst)?.lladdr);
	};
	await expect.poll(known, { timeout: 10_000 }).toEqual(["02:00:00:00:00:01", "02:00:00:00:00:01"]);
});

test("what cannot be announced is told and does not hold up the rest", async () => {
	using lab = new NetnsLab();
	const { pod, peer } = announcingPod(lab);
	ip(peer, "address add 10.1.2.9/24 dev v1");
	ip(peer, "neigh add 10.1.2.3 lladdr 02:00:00:00:00:99 nud stale dev v1");
	const [, , failures] = fixture.values(pod, [
		find,
		["waitForCarrier", index, 20_000],
		// A name that is another link's: the socket cannot be bound to it, and IPv4 does not need it.
		[
			"announce",
			{ index, name: "gone", mac: "02:00:00:00:00:01" },
			[{ address: "fd00::3/64" }, { address: "10.1.2.3/24" }],
		],
	]);
	expect(failures).toMatchObject([{ code: "ENODEV" }]);
	const known = () => ipJson(peer, "neigh show 10.1.2.3")[0].lladdr;
	await expect.poll(known, { timeout: 10_000 }).toBe("02:00:00:00:00:01");
});

test("nothing is announced for a MAC that is none", () => {
	using lab = new NetnsLab();
	const { pod } = announcingPod(lab);
	const one = (mac: string): Step => ["announce", { index: 99, name: "gone", mac }, [{ address: "10.1.2.3/24" }]];
	const values = fixture.values(pod, [
		one("00:00:00:00:00:00"),
		one("ff:ff:ff:ff:ff:ff"),
		one(""),
		one("00:01:02:03:04:05:06:07"),
	]);
	expect(values).toEqual([[], [], [], []]);
	expect(fixture.values(pod, [one("02:00:00:00:00:01")])[0]).toMatchObject([{ code: "ENXIO" }]);
});

test("whatever addresses and routes a result has: they are set, or refused in the kernel's words", () => {
	using lab = new NetnsLab();
	const { pod } = podAndPeer(lab);
	const networks = [
		"10.1.2.3/24",
		"10.1.2.3/32",
		"0.0.0.0/0",
		"127.0.0.1/8",
		"224.0.0.1/4",
		"255.255.255.255/32",
		"0.0.0.0/32",
	];
	const networks6 = ["2001:db8::3/64", "fe80::1/10", "::/0", "::1/128", "ff02::1/8", "::/128"];
	const all = [...networks, ...networks6];
	const numbers = [0, 1, 253, 254, 255, 65_535, 65_536, 0x7fffffff, 0x80000000, 0xffffffff];
	const routes = all.flatMap((dst) => [
		{ dst },
		...(dst.includes(":") ? networks6 : networks).map((cidr) => ({ dst, gw: cidr.replace(/\/.*/, "") })),
		...numbers.flatMap((number) => [
			{ dst, mtu: number },
			{ dst, advmss: number },
			{ dst, priority: number },
			{ dst, table: number },
			{ dst, scope: number & 255 },
		]),
	]);
	const configure = (ips: object[], more: object[]): Step => ["configureInterface", link, { ips, routes: more }];
	const outcomes = fixture.run(pod, [
		find,
		...all.map((address) => configure([{ address }], [])),
		...routes.map((route) => configure([], [route])),
	]);
	const kinds = outcomes.map(({ error }) => (error === undefined ? "set" : `${error.name} ${error.code}`));
	expect(new Set(kinds)).toEqual(new Set(["set", "CniError 100"]));
});
