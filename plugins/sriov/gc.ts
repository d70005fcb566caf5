/**
 * GC: VFs whose attachment is not valid return to the host, and markers without a record go.
 */
import { attempt, throwTogether } from "../../lib/cni/failures.ts";
import type { Request, ValidAttachment } from "../../lib/cni/types.ts";
import { delegate } from "../../lib/plugin/delegate.ts";
import { collect, collectDamaged, collectOrphan } from "./collect.ts";
import { ipamOf, looseConfig } from "./config.ts";
import { openLog } from "./log.ts";
import { listDamaged, listMarked, listRecords, type RecordKey, recordName } from "./record.ts";
import { networkIn } from "./recover.ts";

/**
 * Gives back every VF of this network whose attachment is not valid. Goes on after errors, and tells of all of them.
 */
export function gc(request: Request, valid: readonly ValidAttachment[] | undefined): void {
	// Without a list nothing may be released; an executed IPAM plugin might take every attachment for invalid.
	if (valid === undefined) return;
	const { network } = request;
	const config = looseConfig(request);
	const log = openLog(request, config);
	const failures: unknown[] = [];
	// Go's by the names of their files, which say the same wherever a dash divides them; ours by what they say.
	const keep = new Set(valid.map(({ containerID, ifname }) => recordName(containerID, ifname)));
	const isInvalid = ({ containerId, ifName }: RecordKey) => !keep.has(recordName(containerId, ifName));
	const isValid = ({ containerId, ifName }: RecordKey) =>
		valid.some(({ containerID, ifname }) => containerID === containerId && ifname === ifName);
	for (const record of listRecords()) {
		if (record.network !== network || (record.bootId === "" ? !isInvalid(record) : isValid(record))) continue;
		attempt(failures, () => collect(record, request, log));
	}
	for (const damaged of listDamaged()) {
		if (networkIn(damaged.told) !== network || !isInvalid(damaged)) continue;
		attempt(failures, () => collectDamaged(damaged, network, config, log));
	}
	const known = new Set(listRecords().map(({ pci }) => pci));
	for (const pci of listMarked()) if (!known.has(pci)) attempt(failures, () => collectOrphan(pci));
	const ipam = ipamOf(config);
	if (ipam !== undefined) attempt(failures, () => delegate("GC", request, ipam));
	throwTogether(failures);
}
