/**
 * What a record keeps of an RDMA device that a pod was given.
 */
import type { JsonObject, JsonValue } from "../cni/types.ts";
import { deviceName, integer, object } from "../state/json.ts";
import type { RecordedSandbox } from "../state/liveness.ts";

export interface QosSettings {
	/** Default RoCE type of service of RDMA-CM. Undefined: not known, or not offered by the kernel. */
	readonly tos: number | undefined;
	/** RoCE traffic class of the driver; undefined as above. */
	readonly trafficClass: number | undefined;
}

export const NO_QOS: QosSettings = { tos: undefined, trafficClass: undefined };

/** What the device was, and what ADD made of it. "" and undefined: the record does not tell. */
export interface DeviceState {
	/** Name of the RDMA device on the host, before ADD. */
	readonly hostName: string;
	readonly podName: string;
	/** `RdmaDevice.index` at ADD, where to look for it first. Undefined in a record of Go's. */
	readonly index: number | undefined;
	/**
	 * Number of its node /dev/infiniband/uverbsN before ADD, which is the one that the device plugin gave to the pod.
	 */
	readonly uverbs: number | undefined;
	/** The host's settings before ADD. */
	readonly qos: QosSettings;
	/** What ADD set in the pod. */
	readonly podQos: QosSettings;
	/**
	 * Whether configfs had a directory for the device before ADD; undefined where it offered none, and where that is
	 * not known.
	 */
	readonly qosDirectory: boolean | undefined;
}

/** The same with where it came from and where it went. */
export interface GivenDevice extends DeviceState, RecordedSandbox {
	/** Of the device on its bus. */
	readonly deviceId: string;
}

/** All but the names, for which Go's record has keys of its own. */
export const stateToJson = ({ index, uverbs, qos, podQos, qosDirectory }: DeviceState): JsonObject => ({
	index: index ?? null,
	uverbs: uverbs ?? null,
	hostQoS: qosToJson(qos),
	podQoS: qosToJson(podQos),
	qosFolder: qosDirectory ?? null,
});

const qosToJson = ({ tos, trafficClass }: QosSettings): JsonObject => ({ tos: tos ?? null, tc: trafficClass ?? null });

/** Checked like a user's: what makes no sense is as good as lost. */
export function stateFromJson(own: JsonObject | undefined, hostName?: JsonValue, podName?: JsonValue): DeviceState {
	return {
		hostName: deviceName(hostName),
		podName: deviceName(podName),
		index: integer(own?.index, 0xffff_ffff),
		uverbs: integer(own?.uverbs, 0xffff_ffff),
		qos: qosFromJson(own?.hostQoS),
		podQos: qosFromJson(own?.podQoS),
		qosDirectory: typeof own?.qosFolder === "boolean" ? own.qosFolder : undefined,
	};
}

export function qosFromJson(value: JsonValue | undefined): QosSettings {
	const qos = object(value);
	return qos === undefined ? NO_QOS : { tos: integer(qos.tos, 255), trafficClass: integer(qos.tc, 255) };
}
