/**
 * What is legal in a plugin's configuration, and most often a slip.
 */
import { familyOf, type Ip, parseIp } from "../../lib/ip/address.ts";
import { type Cidr, contains, formatCidr, parseCidr } from "../../lib/ip/cidr.ts";
import type { Report } from "./problem.ts";
import { itemsOf, memberOf, type Path, type Tree, textOf } from "./tree.ts";

/** Reports slips in the configuration of a main plugin of ours, and in its `ipam`. */
export function reportMainSlips(config: Tree, type: string, report: Report): void {
	const ipam = memberOf(config, "ipam")?.value;
	if (type === "rdma" && ipam?.kind === "object" && ipam.members.length > 0) {
		const hint = "put it into the sriov plugin's configuration";
		report("warning", ["ipam"], "rdma gives no addresses: ipam is not read", hint);
	}
	const dns = memberOf(config, "dns")?.value;
	if (dns?.kind === "object" && dns.members.length > 0) {
		const hint = 'DNS settings come from IPAM: "dns" in ipam (static, whereabouts), "resolvConf" (host-local)';
		report("warning", ["dns"], "dns is not read here", hint);
	}
	const runtime = memberOf(config, "runtimeConfig")?.value;
	for (const { key } of runtime?.kind === "object" ? runtime.members : []) {
		if (declares(config, key)) continue;
		const hint = `the runtime fills in runtimeConfig where there is "capabilities": {"${key}": true}`;
		const message = `runtimeConfig.${key} is used, and capability ${key} is not declared`;
		report("warning", ["runtimeConfig", key], message, hint);
	}
}

/** Reports slips in `ipam` of `config`. */
export function reportIpamSlips(config: Tree, type: string | undefined, report: Report): void {
	const ipam = memberOf(config, "ipam")?.value;
	if (ipam?.kind !== "object") return;
	if (!type) {
		if (ipam.members.length > 0) {
			report("warning", ["ipam"], "ipam has members and no type: no address is given", 'add "type"');
		}
		return;
	}
	const subnets = subnetsOf(ipam, type);
	for (const { subnet, gateway, path } of subnets) {
		const address = gateway === undefined ? undefined : parseIp(gateway);
		if (subnet === undefined || address === undefined || contains(subnet, address)) continue;
		const hint = "pods can reach a gateway outside of their network only by a route of its own";
		report("warning", path, `gateway ${gateway} is not in ${formatCidr(subnet)}`, hint);
	}
	const networks = subnets.flatMap(({ subnet }) => subnet ?? []);
	reportRoutes(ipam, networks, report);
	if (type === "static" && itemsOf(ipam, "addresses").length === 0 && !declares(config, "ips") && !hasIps(config)) {
		const hint = 'add "addresses", or "capabilities": {"ips": true} where pods ask for theirs';
		report("warning", ["ipam"], "static has no addresses: it gives those of CNI_ARGS alone", hint);
	}
	const kubeconfig = textOf(memberOf(ipam, "kubernetes")?.value, "kubeconfig");
	if (type === "whereabouts" && !kubeconfig && !textOf(ipam, "configuration_path")) {
		const hint =
			'add "kubernetes": {"kubeconfig": "/etc/cni/net.d/whereabouts.d/whereabouts.kubeconfig"}, or see that each node has a whereabouts.conf';
		const message = "whereabouts has no kubernetes.kubeconfig: it must be in a whereabouts.conf of the node";
		report("warning", ["ipam"], message, hint);
	}
}

function declares(config: Tree, capability: string): boolean {
	const declared = memberOf(memberOf(config, "capabilities")?.value, capability)?.value;
	return declared?.kind === "scalar" && declared.value === true;
}

const hasIps = (config: Tree): boolean =>
	itemsOf(memberOf(memberOf(config, "args")?.value, "cni")?.value, "ips").length > 0;

/** The networks that addresses of `ipam` are in. */
function subnetsOf(ipam: Tree, type: string) {
	if (type === "static") {
		return itemsOf(ipam, "addresses").map((each, index) => subnetOf(each, "address", ["ipam", "addresses", index]));
	}
	if (type === "whereabouts") {
		const ranges = itemsOf(ipam, "ipRanges").map((each, index) => subnetOf(each, "range", ["ipam", "ipRanges", index]));
		return textOf(ipam, "range") ? [subnetOf(ipam, "range", ["ipam"]), ...ranges] : ranges;
	}
	if (type !== "host-local") return [];
	const sets = itemsOf(ipam, "ranges").flatMap((set, index) =>
		(set.kind === "list" ? set.items : []).map((range, position) =>
			subnetOf(range, "subnet", ["ipam", "ranges", index, position]),
		),
	);
	return textOf(ipam, "subnet") ? [subnetOf(ipam, "subnet", ["ipam"]), ...sets] : sets;
}

/** Of whereabouts' "10.0.0.5-10.0.0.9/24" the end counts. `path`: of the gateway. */
function subnetOf(tree: Tree, key: string, path: Path) {
	const text = textOf(tree, key) ?? "";
	const subnet = parseCidr(text.slice(text.indexOf("-") + 1).trim());
	return { subnet, gateway: textOf(tree, "gateway") || undefined, path: [...path, "gateway"] as const };
}

function reportRoutes(ipam: Tree, subnets: readonly Cidr[], report: Report): void {
	for (const [index, route] of itemsOf(ipam, "routes").entries()) {
		const path = ["ipam", "routes", index];
		const [dst, gw] = [textOf(route, "dst") ?? "", textOf(route, "gw") ?? ""];
		const gateway: Ip | undefined = gw === "" ? undefined : parseIp(gw);
		if (gateway !== undefined && subnets.length > 0 && !subnets.some((subnet) => contains(subnet, gateway))) {
			const hint = `networks are ${subnets.map(formatCidr).join(", ")}`;
			report("warning", [...path, "gw"], `gateway ${gw} of the route to ${dst} is in no network of ipam`, hint);
		}
		const cidr = parseCidr(dst);
		const isServed = cidr === undefined || subnets.some(({ ip }) => ip.family === familyOf(dst));
		if (subnets.length > 0 && !isServed) {
			const message = `the route to ${dst} is of another family than all addresses`;
			report("warning", [...path, "dst"], message, "add a network of that family");
		}
	}
}
