/** The capabilities that the dhcp daemon has in install-daemonset.yaml: enough, and none too many. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { type Background, DhcpLab } from "../lab/dhcp.ts";
import { ip } from "../lab/netns-lab.ts";
import { until } from "../lab/until.ts";

const manifest = readFileSync(join(import.meta.dirname, "../../install-daemonset.yaml"), "utf8");
const objects = parseAllDocuments(manifest).map((document) => document.toJS());
const { containers } = objects.find(({ kind, metadata }) => kind === "DaemonSet" && metadata.name === "berth-dhcp").spec
	.template.spec;
const granted: string[] = containers[0].securityContext.capabilities.add;

const BOTH = { ipam: { ipv6: "dhcp" } };

/** The daemon as root with these capabilities, as a container runtime starts it. */
function daemonWith(lab: DhcpLab, capabilities: readonly string[], ...flags: string[]): Background {
	const set = ["-all", ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(",");
	const setpriv = ["setpriv", `--bounding-set=${set}`, "--inh-caps=-all", "--no-new-privs"];
	return lab.daemonUnder(setpriv, ...flags);
}

it("gives, renews and releases addresses of both families, and hears of a pod's end", async () => {
	await using lab = new DhcpLab();
	const server = await lab.dnsmasq6("--dhcp-option-force=58,3", "--dhcp-option-force=59,60");
	await daemonWith(lab, granted).says("listening on");
	const [pod, other] = [lab.pod(), lab.pod()];
	await lab.add(pod, BOTH);
	await server.says("DHCPACK", 2);
	expect(await lab.call("DEL", pod, BOTH)).toMatchObject({ status: 0 });
	await server.says("DHCPRELEASE");
	await lab.add(other);
	ip(other, "link del eth0");
	await until("the lease ends with its interface", () => lab.list().leases.length === 0);
});

it.concurrent.each(granted)("fails without %s", async (missing) => {
	await using lab = new DhcpLab();
	await lab.dnsmasq6();
	const rest = granted.filter((name) => name !== missing);
	const daemon = daemonWith(lab, rest, "-resendtimeout", "6s");
	const hasStarted = (): boolean => daemon.output.includes("listening on");
	await until("the daemon listens or ends", () => hasStarted() || daemon.hasEnded);
	if (daemon.hasEnded) expect(daemon.output).toContain("EPERM");
	else expect((await lab.call("ADD", lab.pod(), BOTH)).status).not.toBe(0);
});
