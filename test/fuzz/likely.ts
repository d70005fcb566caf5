/**
 * Configurations that look valid: of the fields of a published JSON Schema, with values that each could stand there,
 * and that contradict one another now and then. As text, since a key may stand twice in it, and a number may be spelled
 * in several ways.
 */
import type { JsonSchema } from "../../scripts/build/validators.ts";
import type { Chance } from "./damage.ts";

/** Values by what the name of a field ends with; the first that fits. */
const POOLS: readonly (readonly [RegExp, readonly string[]])[] = [
	[
		/^cniVersion$/,
		["1.1.0", "1.1.0", "1.1.0", "1.1.0", "1.1.0", "1.0.0", "0.4.0", "0.3.1", "0.2.0", "0.1.0", "", "1.0"],
	],
	[/^name$/, ["net", "net", "net", "net2", "n.-_", "eth0", ""]],
	[
		/^(deviceID|pciBusID)$/,
		["0000:3b:02.0", "0000:3b:02.1", "0000:3b:02.2", "0000:3B:02.0", "mlx5_core.sf.4", "x", ""],
	],
	[
		/^(dst|subnet|address|exclude)$/,
		[
			"10.1.2.0/24",
			"10.1.2.3/24",
			"10.1.2.4/30",
			"10.1.2.20/31",
			"10.1.2.9/32",
			"0.0.0.0/0",
			"::/0",
			"2001:db8::/64",
			"2001:db8::5/128",
			"2001:db8::/127",
			"::ffff:10.1.2.0/120",
			"::ffff:10.1.2.0/95",
			"224.0.0.0/4",
			"fe80::/10",
			"127.0.0.1/8",
			"255.255.255.255/32",
			"ff02::1/128",
			"10.1.2.0/0",
			"10.1.2.7",
			"2001:db8::9",
			"",
		],
	],
	[
		/^(gw|gateway|rangeStart|rangeEnd|ips)$/,
		[
			"10.1.2.1",
			"10.1.2.5",
			"10.1.2.255",
			"10.1.2.0",
			"0.0.0.0",
			"::",
			"2001:db8::1",
			"fe80::1",
			"::ffff:10.1.2.1",
			"255.255.255.255",
			"224.0.0.1",
			"10.1.2.9/24",
			"2001:db8::9/64",
			"010.1.2.1",
			"",
		],
	],
	[
		/^mac$/,
		[
			"02:00:00:00:00:01",
			"0200.0000.0002",
			"02-00-00-00-00-03",
			"00:00:00:00:00:00",
			"01:00:5e:00:00:01",
			"ff:ff:ff:ff:ff:ff",
			"",
		],
	],
	[/^vlanProto$/, ["802.1q", "802.1ad", "802.1AD", ""]],
	[/^rdmaDeviceName$/, ["r_{ifname}", "mlx5_{index}", "{ifname}{index}{x}", "..", "$&", ""]],
	[/^type$/, ["host-local", "static", "host-local", "static", "sriov", "rdma", "cnv-host-local", "none", ""]],
	[/^dataDir$/, ["/data", "/data", "/data/../data", "data", "/proc/self", "/dev/null", "//data//", ""]],
	[/^resolvConf$/, ["/etc/resolv.conf", "/etc/hostname", "/nowhere", "/", "/dev/null", ""]],
	[/^CNIDeviceInfoFile$/, ["/run/devinfo/a", "/data", "/dev/null", "relative", "/run/../x", ""]],
	[/^logFile$/, ["/run/log", "/dev/full", "/", ""]],
	[/^logLevel$/, ["debug", "panic", "x", ""]],
];
const TEXTS = [
	"",
	"x",
	"eth0",
	"net1",
	"/nowhere",
	"10.1.2.1",
	"\u00e4\ufeff",
	"$&",
	"%s",
	"a\\u0000b",
	"x".repeat(300),
];
const NUMBERS = [
	"0",
	"1",
	"7",
	"68",
	"100",
	"254",
	"255",
	"1400",
	"1500",
	"4094",
	"65535",
	"4294967295",
	"-1",
	"1.0",
	"1e3",
	"1E+2",
	"-0",
	"0.5",
	"9007199254740993",
	"1e400",
];

export function likelyConfig(chance: Chance, schema: JsonSchema): string {
	return write(chance, schema, "");
}

function write(chance: Chance, schema: JsonSchema, key: string): string {
	if (schema.anyOf) return write(chance, chance.of(schema.anyOf), key);
	const values = "const" in schema ? [schema.const] : schema.enum;
	if (values && chance.below(6) > 0) return JSON.stringify(chance.of(values));
	if (chance.below(60) === 0) return chance.of(["null", "[]", "{}", "true", '"x"', "5"]);
	switch (schema.type) {
		case "object":
			return writeObject(chance, schema);
		case "array": {
			const length = chance.of([0, 1, 1, 1, 2, 2, 3]);
			return `[${Array.from({ length }, () => write(chance, schema.items ?? {}, key)).join(",")}]`;
		}
		case "integer":
		case "number": {
			const bounds = [schema.minimum, schema.maximum].filter((bound) => bound !== undefined);
			const near = bounds.flatMap((bound) => [bound, bound, bound - 1, bound + 1]).map(String);
			return chance.of(near.length > 0 && chance.below(2) === 0 ? near : NUMBERS);
		}
		case "boolean":
			return chance.of(["true", "false"]);
		case "string": {
			const pool = POOLS.find(([name]) => name.test(key))?.[1] ?? TEXTS;
			// The first ones work more often than not, and lead further.
			return JSON.stringify(
				chance.of(chance.below(20) === 0 ? TEXTS : chance.below(2) === 0 ? pool : pool.slice(0, 4)),
			);
		}
		default:
			return chance.of(["{}", "[]", "5", '"x"']);
	}
}

function writeObject(chance: Chance, schema: JsonSchema): string {
	const members: string[] = [];
	const required = schema.required ?? [];
	const density = 1 + chance.below(5);
	for (const [name, below] of Object.entries(schema.properties ?? {})) {
		// prevResult comes from the caller.
		const isLeftOut = !required.includes(name) && name !== "ipam" && chance.below(6) > density;
		if (name === "prevResult" || isLeftOut) continue;
		const times = chance.below(80) === 0 ? 2 : 1;
		for (let time = 0; time < times; time++) {
			const spelled = chance.below(30) === 0 ? chance.of([name.toUpperCase(), name.toLowerCase()]) : name;
			members.push(`${JSON.stringify(spelled)}:${write(chance, below, name)}`);
		}
	}
	if (chance.below(20) === 0) members.push(`${JSON.stringify(chance.text())}:${chance.of(NUMBERS)}`);
	return `{${members.join(",")}}`;
}
