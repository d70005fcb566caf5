/**
 * The calls that Go's plugins and ours are both asked: variables, stdin, and in what order where it matters.
 */

type PluginName = "host-local" | "static";

export interface Call {
	readonly plugin: PluginName;
	readonly env: Readonly<Record<string, string>>;
	/**
	 * Text as it is, bytes as they are, an object as JSON. `@STORE@` in it stands for a directory of the case's own.
	 */
	readonly stdin: string | Uint8Array | object;
}

export interface Case {
	readonly name: string;
	readonly calls: readonly Call[];
	/** Files in the case's directory before the first call. */
	readonly files?: Readonly<Record<string, string>>;
}

export const VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
const VERBS = ["ADD", "DEL", "CHECK", "GC", "STATUS"];

const ENV = {
	CNI_COMMAND: "ADD",
	CNI_CONTAINERID: "container-1",
	CNI_NETNS: "/nowhere/netns",
	CNI_IFNAME: "eth0",
	CNI_PATH: "/nowhere/bin",
};

const range = (subnet: string, more: object = {}): object => ({ subnet, ...more });
const hostLocal = (ipam: object = { ranges: [[range("10.1.2.0/24")]] }, more: object = {}): object => ({
	cniVersion: "1.1.0",
	name: "net",
	ipam: { type: "host-local", dataDir: "@STORE@", ...ipam },
	...more,
});
const staticIpam = (ipam: object = { addresses: [{ address: "10.1.2.3/24" }] }, more: object = {}): object => ({
	cniVersion: "1.1.0",
	name: "net",
	ipam: { type: "static", ...ipam },
	...more,
});

function call(plugin: PluginName, env: Record<string, string>, stdin?: Call["stdin"]): Call {
	return { plugin, env: { ...ENV, ...env }, stdin: stdin ?? (plugin === "static" ? staticIpam() : hostLocal()) };
}

const one = (name: string, only: Call): Case => ({ name, calls: [only] });
const verb = (command: string): Record<string, string> => ({ CNI_COMMAND: command });

function environmentCases(): Case[] {
	const cases: Case[] = [];
	for (const command of VERBS) {
		for (const name of Object.keys(ENV).filter((each) => each !== "CNI_COMMAND")) {
			cases.push(one(`${command} with ${name} empty`, call("host-local", { ...verb(command), [name]: "" })));
			const env: Record<string, string> = { ...ENV, ...verb(command) };
			delete env[name];
			cases.push(one(`${command} without ${name}`, { plugin: "static", env, stdin: staticIpam() }));
		}
		cases.push(
			one(`${command} without any other variable`, { plugin: "host-local", env: verb(command), stdin: hostLocal() }),
		);
	}
	for (const command of ["FOO", "add", " ADD", "VERSION "]) {
		cases.push(one(`unknown verb ${JSON.stringify(command)}`, call("host-local", verb(command))));
		cases.push(one(`unknown verb ${JSON.stringify(command)}, bad stdin`, call("host-local", verb(command), "{")));
		cases.push(
			one(`unknown verb ${JSON.stringify(command)} alone`, {
				plugin: "host-local",
				env: verb(command),
				stdin: hostLocal(),
			}),
		);
	}
	for (const plugin of ["host-local", "static"] as const) {
		cases.push(one(`${plugin}: VERSION`, { plugin, env: verb("VERSION"), stdin: "" }));
		cases.push(one(`${plugin}: VERSION with every variable and a bad stdin`, call(plugin, verb("VERSION"), "{")));
		cases.push(
			one(`${plugin}: VERSION with a bad container id`, call(plugin, { ...verb("VERSION"), CNI_CONTAINERID: "/" })),
		);
		cases.push(one(`${plugin}: no CNI_COMMAND`, { plugin, env: {}, stdin: "" }));
		cases.push(one(`${plugin}: empty CNI_COMMAND, all others`, call(plugin, verb(""))));
	}
	const ids = ["a/b", "-a", ".a", "_a", "a b", "ä", "a\n", "a;b", "0", "A.b-c_d", "x".repeat(300)];
	for (const id of ids) cases.push(one(`container id ${JSON.stringify(id)}`, call("static", { CNI_CONTAINERID: id })));
	const names = ["a".repeat(15), "a".repeat(16), ".", "..", "...", "a/b", "a:b", "a b", "a\tb", "a\u0085", "a\u00a0b"];
	const more = ["\u2003a", "a\u3000", "a\ufeff", "é".repeat(7), "é".repeat(8), "eth0.100", "a%b", "-"];
	for (const name of [...names, ...more]) {
		cases.push(one(`interface name ${JSON.stringify(name)}`, call("static", { CNI_IFNAME: name })));
	}
	const bad = { CNI_CONTAINERID: "/", CNI_IFNAME: "/", CNI_NETNS: "" };
	cases.push(
		one("a bad container id before a bad interface name and a missing netns", call("host-local", bad)),
		one("a bad interface name before a missing container id", call("host-local", { ...bad, CNI_CONTAINERID: "" })),
		one("GC does not look at container id and interface name", call("host-local", { ...bad, ...verb("GC") })),
		one("STATUS does not look at container id and interface name", call("host-local", { ...bad, ...verb("STATUS") })),
	);
	const own = { CNI_NETNS: "/proc/self/ns/net" };
	for (const command of ["ADD", "DEL", "CHECK"]) {
		cases.push(one(`${command} in the plugin's own netns`, call("static", { ...own, ...verb(command) })));
		for (const value of ["1", "TrUe", "0", "yes"]) {
			const env = { ...own, ...verb(command), CNI_NETNS_OVERRIDE: value };
			cases.push(one(`${command} in the plugin's own netns, override ${value}`, call("static", env)));
		}
	}
	return cases;
}

function stdinCases(): Case[] {
	const texts = [
		"",
		" \n",
		"{",
		"}",
		"{}",
		"[]",
		"null",
		"true",
		"5",
		'"text"',
		"not JSON",
		'{"name":"net"',
		'{"name":"net",}',
		'{"name" "net"}',
		'{"name":net}',
		'{"name":"net"} x',
		'{"name":"net"}{}',
		"{'name':1}",
		'{"name":"a\nb"}',
		'{"name":"\\x"}',
		'{"name":"\\ud8"}',
		'{"name":01}',
		'{"name":1.}',
		'{"name":-}',
		'{"name":1e}',
		'{"name":nul}',
		'\ufeff{"name":"net"}',
		'{"name":"net"}\u0000',
		'{"other":1}',
		'{"name":""}',
		'{"name":null}',
		'{"name":5}',
		'{"name":true}',
		'{"name":["net"]}',
		'{"name":{}}',
		'{"name":"a b"}',
		'{"name":"-net"}',
		'{"name":"näme"}',
		'{"name":"net/../x"}',
		'{"name":"net","cniVersion":5}',
		'{"name":"net","cniVersion":["1.0.0"]}',
		'{"name":"net","cniVersion":"1.0.0"}',
		'{"name":"net","cniVersion":"1.0.0","ipam":null}',
		'{"name":"net","cniVersion":"1.0.0","ipam":5}',
		'{"name":"net","cniVersion":"1.0.0","ipam":[]}',
	];
	const cases = texts.map((text) => one(`stdin ${JSON.stringify(text)}`, call("host-local", {}, text)));
	const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
	const addresses = '"ipam":{"type":"static","addresses":[{"address":"10.0.0.1/8"}]}';
	const whole: [string, string | Uint8Array][] = [
		[
			"bytes that are no UTF-8 in an unknown key",
			Uint8Array.of(...encode('{"name":"net","x":"'), 0xff, ...encode(`",${addresses}}`)),
		],
		["bytes that are no UTF-8 in the name", Uint8Array.of(...encode('{"name":"'), 0xc3, ...encode('"}'))],
		["a byte that is no UTF-8 before the document", Uint8Array.of(0xff, ...encode('{"name":"net"}'))],
		["keys in upper case", `{"NAME":"net","CNIVERSION":"1.0.0","IPAM":{"ADDRESSES":[{"ADDRESS":"10.0.0.1/8"}]}}`],
		["keys with the Kelvin sign and the long s", `{"name":"net","cniVer\u017fion":"1.0.0",${addresses}}`],
		["the same key twice", `{"name":"a b","name":"net",${addresses}}`],
		["the same key in two spellings, the bad one first", `{"NAME":"a b","name":"net",${addresses}}`],
		["the same key in two spellings, the bad one last", `{"name":"net","NAME":"a b",${addresses}}`],
		["a key in two spellings, the last one null", `{"name":"net","NAME":null,${addresses}}`],
		[
			"objects and texts that stand twice",
			`{"name":"x","ipam":{"addresses":[{"address":"10.0.0.1/8"}]},"NAME":"y","IPAM":{"type":"static"},"name":"net"}`,
		],
		["escapes in a key", `{"n\\u0061me":"net",${addresses}}`],
		["white space around", `\t\r\n {"name":"net",${addresses}} \n`],
		["a member called __proto__", `{"__proto__":{"name":"x"},"name":"net",${addresses}}`],
		["members called constructor and toString", `{"constructor":1,"toString":2,"name":"net",${addresses}}`],
		["an unknown member of every kind", `{"a":null,"b":[1e5,{}],"c":"\\u00e4","name":"net",${addresses}}`],
		["nesting of 100 levels", `{"x":${"[".repeat(100)}${"]".repeat(100)},"name":"net",${addresses}}`],
		["nesting that never ends", "[".repeat(50_000)],
		["1 MB of white space", `${" ".repeat(1 << 20)}{"name":"net",${addresses}}`],
		["1 MB in an unknown member", `{"x":"${"y".repeat(1 << 20)}","name":"net",${addresses}}`],
	];
	for (const [name, text] of whole) cases.push(one(`stdin with ${name}`, call("static", {}, text)));
	return cases;
}

function versionCases(): Case[] {
	const cases: Case[] = [];
	const prevResult = (version: string): object =>
		version < "0.3.0"
			? { cniVersion: version, ip4: { ip: "10.1.2.3/24" } }
			: { cniVersion: version, ips: [{ version: "4", address: "10.1.2.3/24" }] };
	for (const version of VERSIONS) {
		for (const command of VERBS) {
			const config = { ...staticIpam(), cniVersion: version, prevResult: prevResult(version) };
			cases.push(one(`${command} of version ${version}`, call("static", verb(command), config)));
		}
	}
	const odd = [
		"",
		"1.0",
		"1",
		"1.0.0-rc1",
		"1.0.0.0",
		"v1.0.0",
		"1.0.0 ",
		"2.0.0",
		"1.0.1",
		"0.3.9",
		"0.0.0",
		"-1.0.0",
		"+1.0.0",
	];
	for (const version of [...odd, "1..0", ".", "99999999999999999999", "1.\u0007", null]) {
		for (const command of ["ADD", "CHECK", "GC"]) {
			const config = { ...staticIpam(), cniVersion: version };
			cases.push(one(`${command} of version ${JSON.stringify(version)}`, call("static", verb(command), config)));
		}
	}
	for (const [config, previous] of [
		["1.0.0", "1.1.0"],
		["1.1.0", "0.4.0"],
		["0.4.0", "0.3.0"],
		["0.4.0", "1.0.0"],
		["1.1.0", ""],
		["1.1.0", "9"],
	]) {
		const stdin = { ...staticIpam(), cniVersion: config, prevResult: { ...prevResult("1.0.0"), cniVersion: previous } };
		cases.push(
			one(
				`CHECK of version ${config} with prevResult of ${JSON.stringify(previous)}`,
				call("static", verb("CHECK"), stdin),
			),
		);
	}
	return cases;
}

function resultCases(): Case[] {
	const route = { dst: "10.9.0.0/16", gw: "10.1.2.1", mtu: 1400, advmss: 1300, priority: 7, table: 100, scope: 253 };
	const dns = {
		nameservers: ["10.1.2.53", "::53"],
		domain: "example.test",
		search: ["a.test", "b.test"],
		options: ["ndots:5"],
	};
	const v4 = { address: "10.1.2.3/24", gateway: "10.1.2.1" };
	const v6 = { address: "2001:DB8:0:0::3/64", gateway: "2001:db8::1" };
	const results: [string, Call["stdin"], PluginName][] = [
		["one IPv4 address", staticIpam({ addresses: [v4] }), "static"],
		["one IPv6 address without gateway", staticIpam({ addresses: [{ address: v6.address }] }), "static"],
		["both families, IPv6 first", staticIpam({ addresses: [v6, v4] }), "static"],
		["two IPv4 addresses", staticIpam({ addresses: [v4, { address: "10.1.3.3/24" }] }), "static"],
		["no address", staticIpam({ addresses: [] }), "static"],
		["a route with every field", staticIpam({ addresses: [v4], routes: [route] }), "static"],
		[
			"routes of both families, zeros and host bits",
			staticIpam({
				addresses: [v4, v6],
				routes: [
					{ dst: "10.9.8.7/8", mtu: 0, advmss: 0, priority: 0, table: 0, scope: 0 },
					{ dst: "::/0", gw: "fe80::1" },
				],
			}),
			"static",
		],
		["a route of a family without address", staticIpam({ addresses: [v4], routes: [{ dst: "::/0" }] }), "static"],
		["dns", staticIpam({ addresses: [v4], dns }), "static"],
		[
			"dns with empty members",
			staticIpam({ addresses: [v4], dns: { nameservers: [], domain: "", search: null } }),
			"static",
		],
		[
			"both families of host-local with routes and resolv.conf",
			hostLocal({
				ranges: [[range("10.1.2.0/24")], [range("2001:db8::/64", { gateway: "2001:db8::ff" })]],
				routes: [{ dst: "0.0.0.0/0" }, { ...route, dst: "2001:db8:1::/48", gw: "2001:db8::1" }],
				resolvConf: "@STORE@/resolv.conf",
			}),
			"host-local",
		],
	];
	const cases: Case[] = [];
	for (const version of VERSIONS) {
		for (const [name, config, plugin] of results) {
			const made = one(
				`result of ${version}: ${name}`,
				call(plugin, {}, { ...(config as object), cniVersion: version }),
			);
			cases.push({
				...made,
				files: {
					"resolv.conf": "# c\nnameserver 10.1.2.53\nsearch a.test b.test\ndomain x.test\noptions ndots:5 rotate\n",
				},
			});
		}
	}
	return cases;
}

function argsCases(): Case[] {
	const cases: Case[] = [];
	const both = [
		"IP",
		"IP=",
		"IP=10.1.2.9;",
		";IP=10.1.2.9",
		"IP=10.1.2.9=x",
		"IP=x",
		"IP=10.1.2.9;IP=10.1.2.10",
		"ip=10.1.2.9",
		"K8S_POD_NAME=p",
		"K8S_POD_NAME=p;K8S_POD_UID=u",
		"IgnoreUnknown=1;K8S_POD_NAME=p",
		"K8S_POD_NAME=p;IgnoreUnknown=true",
		"IgnoreUnknown=TRUE;K8S_POD_NAME=p",
		"IgnoreUnknown=0;K8S_POD_NAME=p",
		"IgnoreUnknown=False;K8S_POD_NAME=p",
		"IgnoreUnknown=yes",
		"IgnoreUnknown=",
		"ignoreunknown=1;K8S_POD_NAME=p",
		"IgnoreUnknown=1;MAC=02:00:00:00:00:01;IP=10.1.2.9",
		'K8S_POD_NAME="p\t\u0001\u00a0"',
		" IP=10.1.2.9",
	];
	for (const plugin of ["host-local", "static"] as const) {
		for (const args of both)
			cases.push(one(`${plugin}: CNI_ARGS ${JSON.stringify(args)}`, call(plugin, { CNI_ARGS: args })));
	}
	for (const args of [
		"IP=10.1.2.9/24",
		"IP=10.1.2.9,10.1.2.10",
		"IP=2001:db8::1",
		"IP=::ffff:10.1.2.9",
		"IP=010.1.2.9",
		"IP=10.1.9.9",
	]) {
		cases.push(one(`host-local: CNI_ARGS ${args}`, call("host-local", { CNI_ARGS: args })));
	}
	const staticArgs = [
		"IP=10.1.2.9/24",
		"IP=10.1.2.9/24,2001:db8::9/64",
		"IP=10.1.2.9/24;GATEWAY=10.1.2.1",
		"IP=10.1.2.9/24;GATEWAY=10.1.9.1",
		"IP=10.1.2.9/24,2001:db8::9/64;GATEWAY=10.1.2.1,2001:db8::1",
		"GATEWAY=10.1.2.1",
		"GATEWAY=x",
		"GATEWAY=",
		"IP=10.1.2.9/33",
		"IP=10.1.2.9/24,",
	];
	for (const args of staticArgs) cases.push(one(`static: CNI_ARGS ${args}`, call("static", { CNI_ARGS: args })));
	return cases;
}

function configCases(): Case[] {
	const ranges = (...sets: object[][]): object => ({ ranges: sets });
	const hostLocalIpams: [string, object][] = [
		["no range", {}],
		["an empty list of range sets", ranges()],
		["an empty range set", ranges([])],
		["no subnet", ranges([{}])],
		["a subnet without prefix", ranges([range("10.1.2.0")])],
		["a subnet that is none", ranges([range("x/24")])],
		["a subnet of type number", ranges([{ subnet: 5 }])],
		["ranges of type object", { ranges: {} }],
		["ranges with one list level too few", { ranges: [range("10.1.2.0/24")] }],
		["host bits in the subnet", ranges([range("10.1.2.3/24")])],
		["a /31", ranges([range("10.1.2.0/31")])],
		["a /30", ranges([range("10.1.2.0/30")])],
		["an IPv6 /127", ranges([range("2001:db8::/127")])],
		["a range start outside", ranges([range("10.1.2.0/24", { rangeStart: "10.1.3.1" })])],
		["a range end outside", ranges([range("10.1.2.0/24", { rangeEnd: "10.1.1.1" })])],
		["a range start after its end", ranges([range("10.1.2.0/24", { rangeStart: "10.1.2.20", rangeEnd: "10.1.2.10" })])],
		["a range start that is no address", ranges([range("10.1.2.0/24", { rangeStart: "10.1.2" })])],
		["an empty range start", ranges([range("10.1.2.0/24", { rangeStart: "" })])],
		["an address with leading zeros", ranges([range("10.1.2.0/24", { rangeStart: "10.1.2.010" })])],
		["a gateway of another subnet", ranges([range("10.1.2.0/24", { gateway: "192.0.2.1" })])],
		["mixed families in a set", ranges([range("10.1.2.0/24"), range("2001:db8::/64")])],
		["ranges that overlap in a set", ranges([range("10.1.2.0/24"), range("10.1.2.128/25")])],
		["sets that overlap", ranges([range("10.1.2.0/24")], [range("10.1.2.0/24")])],
		["the short form", { subnet: "10.1.2.0/24", rangeStart: "10.1.2.50", gateway: "10.1.2.254" }],
		["the short form before ranges", { subnet: "10.1.9.0/24", ...ranges([range("10.1.2.0/24")]) }],
		["a route without destination", { ...ranges([range("10.1.2.0/24")]), routes: [{}] }],
		["a route to no CIDR", { ...ranges([range("10.1.2.0/24")]), routes: [{ dst: "default" }] }],
		["a route by no gateway", { ...ranges([range("10.1.2.0/24")]), routes: [{ dst: "0.0.0.0/0", gw: "x" }] }],
		["a route with a fraction as MTU", { ...ranges([range("10.1.2.0/24")]), routes: [{ dst: "0.0.0.0/0", mtu: 1.5 }] }],
		["a resolv.conf that is not there", { ...ranges([range("10.1.2.0/24")]), resolvConf: "/nowhere/resolv.conf" }],
		[
			"null for what is optional",
			{ ...ranges([range("10.1.2.0/24", { rangeStart: null, gateway: null })]), routes: null },
		],
	];
	const staticIpams: [string, object][] = [
		["no addresses", {}],
		["addresses of type object", { addresses: {} }],
		["addresses null", { addresses: null }],
		["an address without prefix", { addresses: [{ address: "10.1.2.3" }] }],
		["an empty address", { addresses: [{}] }],
		["an address of type number", { addresses: [{ address: 5 }] }],
		["an IPv4 address with leading zeros", { addresses: [{ address: "10.01.2.3/24" }] }],
		["a prefix that is too long", { addresses: [{ address: "10.1.2.3/33" }] }],
		["an IPv4-mapped address", { addresses: [{ address: "::ffff:10.1.2.3/120" }] }],
		["a gateway that is none", { addresses: [{ address: "10.1.2.3/24", gateway: "x" }] }],
		["an empty gateway", { addresses: [{ address: "10.1.2.3/24", gateway: "" }] }],
		["the same address twice", { addresses: [{ address: "10.1.2.3/24" }, { address: "10.1.2.3/24" }] }],
		["routes null", { addresses: [{ address: "10.1.2.3/24" }], routes: null }],
		["a route to no CIDR", { addresses: [{ address: "10.1.2.3/24" }], routes: [{ dst: "x" }] }],
		["dns of type list", { addresses: [{ address: "10.1.2.3/24" }], dns: [] }],
		["a name server of type number", { addresses: [{ address: "10.1.2.3/24" }], dns: { nameservers: [5] } }],
	];
	const cases = [
		...hostLocalIpams.map(([name, ipam]) => one(`host-local: ${name}`, call("host-local", {}, hostLocal(ipam)))),
		...staticIpams.map(([name, ipam]) => one(`static: ${name}`, call("static", {}, staticIpam(ipam)))),
	];
	const requests: [string, object][] = [
		["args.cni.ips", { args: { cni: { ips: ["10.1.2.9/24"] } } }],
		["args.cni.ips without prefix", { args: { cni: { ips: ["10.1.2.9"] } } }],
		["args.cni.ips that is no address", { args: { cni: { ips: ["x"] } } }],
		["args.cni.ips of type text", { args: { cni: { ips: "10.1.2.9" } } }],
		["args null", { args: null }],
		["args.cni null", { args: { cni: null } }],
		["runtimeConfig.ips", { runtimeConfig: { ips: ["10.1.2.9/24"] } }],
		["runtimeConfig.ips of type number", { runtimeConfig: { ips: [5] } }],
		["runtimeConfig null", { runtimeConfig: null }],
	];
	for (const [name, more] of requests) {
		cases.push(one(`host-local: ${name}`, call("host-local", {}, { ...hostLocal(), ...more })));
		cases.push(one(`static: ${name}`, call("static", {}, { ...staticIpam(), ...more })));
	}
	const requested = { runtimeConfig: { ips: ["10.1.2.9/24"] }, args: { cni: { ips: ["10.1.3.10/24"] } } };
	// Two sets, since Go gives one set any of several requested addresses: which one differs from run to run.
	const twoSets = hostLocal(ranges([range("10.1.2.0/24")], [range("10.1.3.0/24")]));
	cases.push(
		one("host-local: runtimeConfig.ips and args.cni.ips", call("host-local", {}, { ...twoSets, ...requested })),
		one("static: runtimeConfig.ips and args.cni.ips", call("static", {}, { ...staticIpam(), ...requested })),
	);
	const ipRanges = { runtimeConfig: { ipRanges: [[range("10.7.0.0/16")]] } };
	cases.push(one("host-local: runtimeConfig.ipRanges", call("host-local", {}, { ...hostLocal(), ...ipRanges })));
	for (const version of ["0.2.0", "0.4.0"]) {
		const config = { ...hostLocal(ranges([range("10.1.2.0/24")], [range("10.1.3.0/24")])), cniVersion: version };
		cases.push(one(`host-local: two IPv4 sets in version ${version}`, call("host-local", {}, config)));
	}
	return cases;
}

function sequenceCases(): Case[] {
	const add = (id: string, more: Record<string, string> = {}, config = hostLocal()): Call =>
		call("host-local", { CNI_CONTAINERID: id, ...more }, config);
	const small = hostLocal({ ranges: [[range("10.1.2.0/30")]] });
	const dual = hostLocal({ ranges: [[range("10.1.2.0/24")], [range("2001:db8::/64")]] });
	const gc = { "cni.dev/valid-attachments": [{ containerID: "a", ifname: "eth0" }] };
	return [
		{ name: "host-local: three containers in turn", calls: [add("a"), add("b"), add("c")] },
		{ name: "host-local: ADD twice", calls: [add("a"), add("a")] },
		{ name: "host-local: two interfaces of one container", calls: [add("a"), add("a", { CNI_IFNAME: "eth1" })] },
		{ name: "host-local: a pool that is empty", calls: [add("a", {}, small), add("b", {}, small)] },
		{
			name: "host-local: an address that is taken",
			calls: [add("a", { CNI_ARGS: "IP=10.1.2.9" }), add("b", { CNI_ARGS: "IP=10.1.2.9" })],
		},
		{ name: "host-local: the gateway asked for", calls: [add("a", { CNI_ARGS: "IP=10.1.2.1" })] },
		{
			name: "host-local: ADD, CHECK, DEL, CHECK",
			calls: [add("a"), add("a", verb("CHECK")), add("a", verb("DEL")), add("a", verb("CHECK"))],
		},
		{ name: "host-local: DEL of nothing", calls: [add("a", verb("DEL"))] },
		{
			name: "host-local: DEL twice, without netns",
			calls: [add("a"), add("a", { ...verb("DEL"), CNI_NETNS: "" }), add("a", { ...verb("DEL"), CNI_NETNS: "" })],
		},
		{ name: "host-local: the next address after a DEL", calls: [add("a"), add("a", verb("DEL")), add("a")] },
		{ name: "host-local: both families", calls: [add("a", {}, dual), add("b", {}, dual), add("a", verb("DEL"), dual)] },
		{
			name: "host-local: DEL with ranges that are no longer valid",
			calls: [add("a"), add("a", verb("DEL"), hostLocal({ ranges: [[range("x")]] }))],
		},
		{
			name: "host-local: GC with one valid attachment",
			calls: [add("a"), add("b"), add("", verb("GC"), { ...hostLocal(), ...gc }), add("b", verb("CHECK"))],
		},
		{ name: "host-local: GC without attachments", calls: [add("a"), add("", verb("GC")), add("a", verb("CHECK"))] },
		{
			name: "host-local: after a DEL in the plugin's own netns",
			calls: [add("a"), add("a", { ...verb("DEL"), CNI_NETNS: "/proc/self/ns/net" }), add("a", verb("CHECK"))],
		},
		{ name: "host-local: STATUS", calls: [add("a"), add("", verb("STATUS"))] },
		{ name: "static: CHECK without prevResult", calls: [call("static", verb("CHECK"))] },
		{
			name: "static: DEL with a configuration that is not valid",
			calls: [call("static", verb("DEL"), { ...staticIpam(), ipam: 5 })],
		},
		{
			name: "static: CHECK with another gateway in prevResult",
			calls: [
				call("static", verb("CHECK"), {
					...staticIpam({ addresses: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }] }),
					prevResult: { ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.2" }] },
				}),
			],
		},
	];
}

export const CASES: readonly Case[] = [
	...environmentCases(),
	...stdinCases(),
	...versionCases(),
	...resultCases(),
	...argsCases(),
	...configCases(),
	...sequenceCases(),
];
