/**
 * GC: VFs whose attachment is not valid return to the host, and markers without a record go.
 */
import { attempt, throwTogether } from "../../lib/cni/failures.ts";
import type { Request, ValidAttachment } from "../../lib/cni/types.ts";
import { delegate } from "../../lib/plugin/delegate.ts";
import type { Log } from "../../lib/plugin/log.ts";
import { collect, collectDamaged, collectOrphan } from "./collect.ts";
import { ipamOf, looseConfig } from "./config.ts";
import { openLog } from "./log.ts";
import { listDamaged, listMarked, listRecords, type RecordKey, recordName } from "./record.ts";
import { networkIn } from "./recover.ts";
import type { SriovConfig } from "./schema.ts";

/**
 * Gives back every VF of this network whose attachment is not valid. Goes on after errors, and tells of all of them.
 */
export function gc(request: Request, valid: readonly ValidAttachment[] | undefined): void {
	const config = looseConfig(request);
	const log = openLog(request, config);
	const failures: unknown[] = [];
	if (valid !== undefined) collectInvalid(request, config, valid, failures, log);
	const ipam = ipamOf(config);
	// Without a list an executed plugin might take every attachment for invalid.
	if (ipam !== undefined && valid !== undefined) attempt(failures, () => delegate("GC", request, ipam));
	throwTogether(failures);
}

/**
 * Gives back every VF of the network whose attachment is not in `valid`. Goes on after errors, which it adds to
 * `failures`.
 */
function collectInvalid(
	request: Request,
	config: SriovConfig,
	valid: readonly ValidAttachment[],
	failures: unknown[],
	log: Log,
): void {
	const { network } = request;
	// Go's by the names of their files, which say the same wherever a dash divides them; ours by what they say.
	const keep = new Set(valid.map(({ containerID, ifname }) => recordName(containerID, ifname)));
	const isInvalid = ({ containerId, ifName }: RecordKey) => !keep.has(recordName(containerId, ifName));
	const isValid = ({ containerId, ifName }: RecordKey) =>
		valid.some(({ containerID, ifname }) => containerID === containerId && ifname === ifName);
	for (const record of listRecords()) {
		if (record.network !== network) continue;
		if (record.bootId === "" ? isInvalid(record) : !isValid(record))
			attempt(failures, () => void collect(record, request, log));
	}
	for (const damaged of listDamaged()) {
		if (networkIn(damaged.told) !== network || !isInvalid(damaged)) continue;
		attempt(failures, () => collectDamaged(damaged, network, config, log));
	}
	const known = new Set(listRecords().map(({ pci }) => pci));
	for (const pci of listMarked()) if (!known.has(pci)) attempt(failures, () => collectOrphan(pci));
}
