/**
 * IPAMClaims of the multi-network API (k8s.cni.cncf.io/v1alpha1): addresses that stay while an object lives, for the
 * interface of a virtual machine that goes from pod to pod. The claim is the holder in place of the pod, so that the
 * next pod that names it gets what the one before had, also while that is still there (a live migration).
 *
 * Which claim a pod means stands in its annotation of networks; Multus hands plugins no part of it.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { JsonObject, JsonValue } from "../../lib/cni/types.ts";
import { formatIp, type Ip } from "../../lib/ip/address.ts";
import { parseCidr } from "../../lib/ip/cidr.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { object, text } from "../../lib/state/json.ts";
import { invalidConfig } from "../fields.ts";
import { metadataOf } from "./objects.ts";

export type IpamClaim = Readonly<NonNullable<ReturnType<typeof findClaim>>>;

/** Of a pod: Network Plumbing Working Group's specification, 4.1.2. */
const NETWORKS = "k8s.v1.cni.cncf.io/networks";
/** In an element of it. */
const REFERENCE = "ipam-claim-reference";
/** In the place of a pod's name, which has no ":". */
const MARK = "ipamclaim:";

const pathOf = (namespace: string): string => `/apis/k8s.cni.cncf.io/v1alpha1/namespaces/${namespace}/ipamclaims`;

/** Who holds a claim's addresses, where others have "namespace/pod". */
export const holderOf = ({ namespace, name }: Pick<IpamClaim, "namespace" | "name">): string =>
	`${namespace}/${MARK}${name}`;

export const isClaimHolder = (podRef: string): boolean => podRef.includes(`/${MARK}`);

/**
 * The claim that the pod names for its interface `ifName`; undefined where it names none. Throws CniError 11 for one
 * that is not there, 7 for one of another network.
 */
export function findClaim(client: KubeClient, podRef: string, ifName: string, network: string) {
	const [namespace = "", podName = ""] = podRef.split("/");
	const pod = client.get(`/api/v1/namespaces/${namespace}/pods/${podName}`);
	// Without a name of its own, the Nth interface is "netN".
	const isOf = (each: JsonObject, index: number): boolean => (text(each.interface) || `net${index + 1}`) === ifName;
	const name = pod && text(elementsOf(pod).find(isOf)?.[REFERENCE]);
	if (!name) return undefined;
	const claim = client.get(`${pathOf(namespace)}/${name}`);
	if (claim === undefined) {
		throw new CniError(Code.tryAgain, `there is no IPAMClaim ${namespace}/${name}, which pod ${podRef} names`);
	}
	const [spec, status] = [object(claim.spec), object(claim.status)];
	const of = text(spec?.network);
	if (of !== network) throw invalidConfig(`IPAMClaim ${namespace}/${name} is of network ${of}, not of ${network}`);
	const listed = addressesIn(status?.ips);
	// What its status lists, or else what it asks for.
	const ips: readonly Ip[] = listed.length > 0 ? listed : addressesIn(spec?.ipRequests);
	return { namespace, name, ips, hasStatus: status !== undefined };
}

/** Holders of the claims that a pod names. */
export function holdersNamed(pod: JsonObject): string[] {
	const { namespace } = metadataOf(pod);
	const names = elementsOf(pod).map((element) => text(element[REFERENCE]));
	return names.filter((name) => name !== "").map((name) => holderOf({ namespace, name }));
}

/** Of a pod's networks. Of the short form, "namespace/name@interface, ...", no element names a claim. */
function elementsOf({ metadata }: JsonObject): JsonObject[] {
	const annotations = object(object(metadata)?.annotations);
	try {
		const parsed = JSON.parse(text(annotations?.[NETWORKS])) as JsonValue;
		return Array.isArray(parsed) ? parsed.map((each) => object(each) ?? {}) : [];
	} catch {
		return [];
	}
}

function addressesIn(value: JsonValue | undefined): Ip[] {
	return (Array.isArray(value) ? value : []).flatMap((each) => parseCidr(text(each))?.ip ?? []);
}

/** Puts the addresses into the claim's status. `addresses` as CIDR. */
export function writeStatus(client: KubeClient, claim: IpamClaim, addresses: readonly string[], podRef: string): void {
	const ownerPod = podRef.slice(podRef.indexOf("/") + 1);
	const ips = [...addresses];
	const steps = claim.hasStatus
		? [
				{ op: "add" as const, path: "/status/ips", value: ips },
				{ op: "add" as const, path: "/status/ownerPod", value: ownerPod },
			]
		: [{ op: "add" as const, path: "/status", value: { ips, ownerPod } }];
	const outcome = client.patch(`${pathOf(claim.namespace)}/${claim.name}/status`, steps);
	if (typeof outcome === "object") return;
	const reason = outcome === "gone" ? "it is gone" : "the server refuses it";
	throw new CniError(Code.tryAgain, `IPAMClaim ${claim.namespace}/${claim.name} cannot be written: ${reason}`);
}

/** Whether `podRef` is a claim that lives and lists the address: then it is kept, whatever becomes of the pod. */
export function keepsAddress(client: KubeClient, podRef: string, address: string): boolean {
	if (!isClaimHolder(podRef)) return false;
	const [namespace = "", holder = ""] = podRef.split("/");
	const claim = client.get(`${pathOf(namespace)}/${holder.slice(MARK.length)}`);
	return addressesIn(object(claim?.status)?.ips).some((ip) => formatIp(ip) === address);
}

/** Holders of every claim of the cluster. */
export function claimHolders(client: KubeClient): string[] {
	return [...client.list("/apis/k8s.cni.cncf.io/v1alpha1/ipamclaims")].map((claim) => holderOf(metadataOf(claim)));
}
