/**
 * Which device the kubelet's device manager gave to which pod.
 *
 * Source: kubernetes v1.34 pkg/kubelet/cm/devicemanager/checkpoint/checkpoint.go. An inner file of the kubelet's:
 * where it is another one, nothing is known.
 */
import { sentence } from "../../lib/cni/failures.ts";
import { isObject } from "../../lib/cni/json.ts";
import type { JsonValue } from "../../lib/cni/types.ts";
import { text } from "../../lib/state/json.ts";
import { readTextIfPresent } from "../../lib/sys/files.ts";

export type Checkpoint = ReturnType<typeof readCheckpoint>;

/** UIDs of pods, by PCI address; and why nothing is known, or "". */
export function readCheckpoint(path: string) {
	const pods = new Map<string, string>();
	const nothing = (why: string) => ({ pods, note: `which VF the kubelet gave to which pod: ${why}` });
	let parsed: JsonValue;
	try {
		const content = readTextIfPresent(path);
		if (content === undefined) return nothing(`there is no ${path}`);
		parsed = JSON.parse(content) as JsonValue;
	} catch (error) {
		return nothing(`${path} cannot be read: ${sentence(error)}`);
	}
	const data = isObject(parsed) && isObject(parsed.Data) ? parsed.Data : {};
	const entries = data.PodDeviceEntries;
	if (!Array.isArray(entries)) {
		// The kubelet writes null where it has given nothing to anybody.
		if (entries === null) return { pods, note: "" };
		return nothing(`${path} is of a version that is not known`);
	}
	for (const entry of entries) {
		if (!isObject(entry)) continue;
		for (const device of devicesOf(entry.DeviceIDs)) pods.set(device.toLowerCase(), text(entry.PodUID));
	}
	return { pods, note: "" };
}

/** By NUMA node; a list before Kubernetes 1.20. */
function devicesOf(ids: JsonValue | undefined): string[] {
	const lists = Array.isArray(ids) ? [ids] : isObject(ids) ? Object.values(ids) : [];
	return lists.flatMap((list) => (Array.isArray(list) ? list.map(text) : []));
}
