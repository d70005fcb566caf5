/**
 * Is the device still as ADD left it? Each difference has its sentence.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { namesAnywhere, namesOnHost, uverbsOf } from "./device.ts";
import { readTos } from "./qos.ts";
import type { RdmaRecord } from "./record.ts";
import { deviceInPod } from "./release.ts";

const failed = (sentence: string): CniError => new CniError(Code.checkFailed, sentence);

/** The RDMA device in the pod: there, under its name, with its device node and its type of service. */
export function checkDevice(sandbox: Sandbox, record: RdmaRecord): void {
	const { deviceId, podName } = record;
	const device = deviceInPod(sandbox, record)?.device;
	if (device === undefined)
		throw failed(`RDMA device ${podName} of ${deviceId} is not in ${sandbox.path}: ${whereElse(record)}`);
	if (device.name !== podName) throw failed(`the RDMA device of ${deviceId} is called ${device.name}, not ${podName}`);
	const number = uverbsOf(deviceId);
	if (record.uverbs !== undefined && number !== record.uverbs) {
		throw failed(
			`the device node of ${deviceId} was uverbs${record.uverbs} when the pod was given it and is ${number === undefined ? "gone" : `uverbs${number}`} now`,
		);
	}
	const { tos } = record.podQos;
	const now = tos === undefined ? undefined : readTos(podName);
	if (now !== tos) throw failed(`type of service of RDMA device ${podName} is ${now}, not ${tos}`);
}

function whereElse({ deviceId }: RdmaRecord): string {
	const [name] = namesOnHost(deviceId);
	if (name !== undefined) return `it is on the host, as ${name}`;
	return namesAnywhere(deviceId).length > 0 ? "it is in another network namespace" : "it does not exist any more";
}
