/**
 * Is the device still as ADD left it? Each difference has its sentence.
 */
import { checkFailed } from "../cni/error.ts";
import type { Sandbox } from "../plugin/sandbox.ts";
import { namesAnywhere, namesOnHost, uverbsOf } from "./device.ts";
import type { GivenDevice } from "./given.ts";
import { readTos } from "./qos.ts";
import { deviceInPod } from "./reclaim.ts";

/** The RDMA device in the pod: there, under its name, with its device node and its type of service. */
export function checkDevice(sandbox: Sandbox, given: GivenDevice): void {
	const { deviceId, podName } = given;
	const device = deviceInPod(sandbox, given)?.device;
	if (device === undefined)
		throw checkFailed(`RDMA device ${podName} of ${deviceId} is not in ${sandbox.path}: ${whereElse(given)}`);
	if (device.name !== podName)
		throw checkFailed(`the RDMA device of ${deviceId} is called ${device.name}, not ${podName}`);
	const number = uverbsOf(deviceId);
	if (given.uverbs !== undefined && number !== given.uverbs) {
		throw checkFailed(
			`the device node of ${deviceId} was uverbs${given.uverbs} when the pod was given it and is ${number === undefined ? "gone" : `uverbs${number}`} now`,
		);
	}
	const { tos } = given.podQos;
	const now = tos === undefined ? undefined : readTos(podName);
	if (now !== tos) throw checkFailed(`type of service of RDMA device ${podName} is ${now}, not ${tos}`);
}

function whereElse({ deviceId }: GivenDevice): string {
	const [name] = namesOnHost(deviceId);
	if (name !== undefined) return `it is on the host, as ${name}`;
	return namesAnywhere(deviceId).length > 0 ? "it is in another network namespace" : "it does not exist any more";
}
