/**
 * The objects of the Go project that hold addresses: whereabouts.cni.cncf.io/v1alpha1, namespaced.
 */
import type { JsonObject } from "../../lib/cni/types.ts";
import { type Family, formatIp, type Ip, parseIp } from "../../lib/ip/address.ts";
import { type Cidr, formatCidr, networkOf, parseCidr } from "../../lib/ip/cidr.ts";
import { object, text } from "../../lib/state/json.ts";

const API_VERSION = "whereabouts.cni.cncf.io/v1alpha1";
const pathOf = (namespace: string, plural: string): string => `/apis/${API_VERSION}/namespaces/${namespace}/${plural}`;

export const poolsPath = (namespace: string): string => pathOf(namespace, "ippools");
export const slicePoolsPath = (namespace: string): string => pathOf(namespace, "nodeslicepools");
export const reservationsPath = (namespace: string): string => pathOf(namespace, "overlappingrangeipreservations");

/** An entry of a pool, under the address's offset. */
export interface Allocation {
	/** Container id. */
	readonly id: string;
	/** "namespace/name" */
	readonly podref: string;
	readonly ifname: string;
}

/** Names have no ":" and no "/"; one that would end in "-" for "::" gets a "0". */
function normalize(text: string): string {
	return (text.endsWith(":") ? `${text}0` : text).replaceAll(":", "-").replaceAll("/", "-");
}

const withNetwork = (networkName: string, name: string): string => (networkName ? `${networkName}-${name}` : name);

/** Go puts the "0" at the end of the whole text, where a range never has a ":". */
export const poolName = (networkName: string, network: Cidr): string =>
	withNetwork(networkName, normalize(formatCidr(network)));

export const reservationName = (networkName: string, ip: Ip): string =>
	withNetwork(networkName, normalize(formatIp(ip)));

/** The address that a reservation of a network is named after; undefined for one of another network or family. */
export function addressOfReservation(name: string, networkName: string, family: Family): Ip | undefined {
	const prefix = withNetwork(networkName, "");
	if (!name.startsWith(prefix)) return undefined;
	const address = name.slice(prefix.length);
	// "2001--0" is "2001::": the 0 was put there so that the name does not end with "-".
	const ip = parseIp(family === 4 ? address : address.replaceAll("-", ":"));
	return ip?.family === family ? ip : undefined;
}

/** What the API server knows an object by. */
export function metadataOf({ metadata }: JsonObject) {
	const { namespace, name, uid, resourceVersion } = object(metadata) ?? {};
	return { namespace: text(namespace), name: text(name), uid: text(uid), resourceVersion: text(resourceVersion) };
}

const objectOf = (kind: string, name: string, content: JsonObject): JsonObject => ({
	...{ apiVersion: API_VERSION, kind, metadata: { name } },
	...content,
});

export const poolObject = (
	name: string,
	range: string,
	allocations: Readonly<Record<string, Allocation>>,
): JsonObject =>
	objectOf("IPPool", name, { spec: { range, allocations: { ...allocations } as unknown as JsonObject } });

export const reservationObject = (name: string, { id, podref, ifname }: Allocation): JsonObject =>
	objectOf("OverlappingRangeIPReservation", name, { spec: { containerid: id, podref, ifname } });

export type Slice = ReturnType<typeof slicesOf>[number];

/** The blocks that a NodeSlicePool lists, in its order. */
export function slicesOf({ status }: JsonObject) {
	const listed = object(status)?.allocations;
	return (Array.isArray(listed) ? listed : []).map((entry) => {
		const { nodeName, sliceRange } = object(entry) ?? {};
		return { node: text(nodeName), range: text(sliceRange) };
	});
}

/** What a NodeSlicePool slices, and how: "10.0.0.0/16" and "/26", however it writes them. */
export function slicingOf({ spec }: JsonObject): { range: string; sliceSize: string } {
	const { range, sliceSize } = object(spec) ?? {};
	const network = parseCidr(text(range));
	return {
		range: network === undefined ? text(range) : formatCidr(networkOf(network)),
		sliceSize: `/${text(sliceSize).replace("/", "")}`,
	};
}

export function slicePoolObject(name: string, range: string, sliceSize: string, slices: readonly Slice[]): JsonObject {
	const allocations = slices.map((slice) => ({ nodeName: slice.node, sliceRange: slice.range }));
	return objectOf("NodeSlicePool", name, { spec: { range, sliceSize }, status: { allocations } });
}
