/**
 * DHCP servers of three makers on the bridge of a DhcpLab. All give 10.7.0.50 to 10.7.0.250, for two minutes with
 * T1 after 3 s where a test wants nothing else, and keep their leases in a file of the test's own.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Background, DhcpLab } from "./dhcp.ts";
import { ip, ipJson } from "./netns-lab.ts";
import { until } from "./until.ts";

/** Seconds. dnsmasq's shortest T1 is 3 s and its shortest lease two minutes. */
interface LeaseTimes {
	readonly renew: number;
	readonly rebind: number;
	readonly lifetime: number;
}

const TIMES: LeaseTimes = { renew: 3, rebind: 60, lifetime: 120 };

interface DhcpServer {
	readonly name: string;
	/** Resolves once it answers. Goes on with the leases of one that was started before it. */
	start(lab: DhcpLab, times?: LeaseTimes): Promise<Background>;
	/** The addresses that its file of leases says are given. */
	given(lab: DhcpLab): string[];
}

export const dnsmasq: DhcpServer = {
	name: "dnsmasq",
	start: (lab, { renew, rebind } = TIMES) =>
		lab.dnsmasq(`--dhcp-option-force=58,${renew}`, `--dhcp-option-force=59,${rebind}`),
	given: (lab) => lab.given(),
};

export const iscDhcpd: DhcpServer = {
	name: "ISC dhcpd",
	async start(lab, { renew, rebind, lifetime } = TIMES) {
		const config = lab.write(
			"dhcpd.conf",
			`authoritative;
ping-check false;
default-lease-time ${lifetime};
min-lease-time ${lifetime};
max-lease-time ${lifetime};
option dhcp-renewal-time ${renew};
option dhcp-rebinding-time ${rebind};
subnet 10.7.0.0 netmask 255.255.255.0 {
	range 10.7.0.50 10.7.0.250;
	option routers 10.7.0.1;
}
`,
		);
		const leases = join(lab.directory, "dhcpd.leases");
		if (!existsSync(leases)) lab.write("dhcpd.leases", "");
		const files = ["-cf", config, "-lf", leases, "-pf", join(lab.directory, "dhcpd.pid")];
		const server = lab.inLan(["dhcpd", "-4", "-f", "-d", ...files, "br0"]);
		await server.says("Server starting service");
		return server;
	},
	/** The file is a log: the last entry of an address is what holds. */
	given(lab) {
		const entries = readFileSync(join(lab.directory, "dhcpd.leases"), "utf8").matchAll(/^lease (\S+) \{(.*?)^\}/gms);
		const states = new Map([...entries].map(([, address, text]) => [address!, text!]));
		return [...states].filter(([, text]) => text.includes("\n  binding state active;")).map(([address]) => address);
	},
};

export const kea: DhcpServer = {
	name: "Kea",
	async start(lab, { renew, rebind, lifetime } = TIMES) {
		// It leaves an interface alone that has no carrier when it starts, as a bridge without neighbours has none.
		ip(lab.pod(), "link set eth0 up");
		await until("a carrier of br0", () => ipJson(lab.lan, "link show br0")[0].flags.includes("LOWER_UP"));
		const dhcp4 = {
			"interfaces-config": { interfaces: ["br0"] },
			"lease-database": { type: "memfile", persist: true, name: join(lab.directory, "kea.csv") },
			"valid-lifetime": lifetime,
			"renew-timer": renew,
			"rebind-timer": rebind,
			subnet4: [
				{
					subnet: "10.7.0.0/24",
					pools: [{ pool: "10.7.0.50 - 10.7.0.250" }],
					"option-data": [{ name: "routers", data: "10.7.0.1" }],
				},
			],
			loggers: [{ name: "kea-dhcp4", severity: "INFO", output_options: [{ output: "stdout", flush: true }] }],
		};
		const config = lab.write("kea.json", JSON.stringify({ Dhcp4: dhcp4 }));
		const server = lab.inLan(["kea-dhcp4", "-c", config], {
			KEA_PIDFILE_DIR: lab.directory,
			KEA_LOCKFILE_DIR: lab.directory,
		});
		await server.says("DHCP4_STARTED");
		return server;
	},
	/** A log, too, of comma-separated values: address, MAC, client identifier and lifetime, 0 once released. */
	given(lab) {
		const path = join(lab.directory, "kea.csv");
		if (!existsSync(path)) return [];
		const rows = readFileSync(path, "utf8").split("\n").slice(1).filter(Boolean);
		const lifetimes = new Map(rows.map((row) => row.split(",")).map((columns) => [columns[0]!, Number(columns[3])]));
		return [...lifetimes].filter(([, lifetime]) => lifetime > 0).map(([address]) => address);
	},
};
