/**
 * VF settings through the PF: apply what the user wants, put back what was.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { NetlinkError } from "../../lib/netlink/error.ts";
import type { LinkIndex } from "../../lib/netlink/link.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { getVf, setVf, type VfIndex, type VfSettings } from "../../lib/netlink/vf.ts";
import { poll } from "../../lib/sys/poll.ts";
import { isSystemError } from "../../lib/sys/sys.ts";
import { FIELDS, groupOf, LEADERS, nameOf, shown, type VfField } from "./vf-settings.ts";

/** A VF as its PF sees it. */
export interface VfPort {
	readonly pfName: string;
	readonly pfIndex: LinkIndex;
	readonly pfHasCarrier: boolean;
	readonly vf: VfIndex;
}

/**
 * How long a driver may take over what it said yes to, or be busy with what came before. The Go plugin waits as long
 * for MACs.
 */
const DRIVER = { deadlineMs: 2000, everyMs: 20 };

/**
 * Makes the VF's settings those of `wanted`; what is not in it stays. `before` is what the VF has now (undefined: its
 * PF reports no settings). Returns what it has then. Throws CniError that names the setting that the driver refused;
 * the caller undoes with `restoreSettings`.
 */
export function applySettings(
	route: NetlinkSocket,
	port: VfPort,
	before: VfSettings | undefined,
	wanted: Partial<VfSettings>,
): VfSettings | undefined {
	if (before === undefined) return requireNothingWanted(port, wanted);
	const changes = difference(before, wanted);
	if (changes === undefined) return before;
	const refusal = trySetVf(route, port, changes);
	// What a driver accepted is taken for done, MAC apart: some report other figures than they were given (qed:
	// rates).
	if (refusal === undefined && changes.mac === undefined) return { ...before, ...changes };
	const read = (): VfSettings => readSettings(route, port);
	let after = read();
	if (refusal === undefined && after.mac !== (changes.mac ?? after.mac)) {
		after = poll(DRIVER, read, ({ mac }) => mac === changes.mac);
	}
	const left = differing(after, refusal === undefined ? pick(changes, ["mac"]) : changes);
	const field = left.find((each) => after[each] !== undefined);
	if (field === undefined && refusal === undefined) return after;
	throw new CniError(Code.device, refusalSentence(port, field, changes, after, refusal));
}

function requireNothingWanted(port: VfPort, wanted: Partial<VfSettings>): undefined {
	const field = FIELDS.find((each) => wanted[each] !== undefined);
	if (field === undefined) return undefined;
	throw new CniError(
		Code.device,
		`PF ${port.pfName} does not report the settings of VF ${port.vf}, so ${nameOf(field)} cannot be set`,
	);
}

/** The kernel does not say which setting a driver refused: it is the first that is not as it was wanted. */
function refusalSentence(
	port: VfPort,
	field: VfField | undefined,
	wanted: Partial<VfSettings>,
	after: VfSettings,
	refusal: NetlinkError | undefined,
): string {
	const named = field === undefined ? [] : groupOf(field);
	const what = named.map((each) => `${nameOf(each)} ${shown(wanted[each])}`).join(", ") || "a setting";
	const why = refusal?.message ?? `it still reports ${field && shown(after[field])}`;
	return `the driver of PF ${port.pfName} did not take ${what} for VF ${port.vf}: ${why}`;
}

/**
 * Puts the settings back to `original`, one at a time where the driver refuses them together, so that one refusal
 * does not keep the others. What the driver does not tell of cannot have been changed: Go's records have a value for
 * it all the same. A MAC of "" is not known. `seen` is what the VF has now, where that is known. Returns a sentence
 * for each that could not be put back.
 */
export function restoreSettings(route: NetlinkSocket, port: VfPort, original: VfSettings, seen?: VfSettings): string[] {
	try {
		const now = seen ?? readSettings(route, port);
		const told = FIELDS.filter((each) => now[each] !== undefined && original[each] !== "");
		const changes = difference(now, pick(original, told));
		if (changes === undefined || trySetVf(route, port, changes) === undefined) return [];
		return restoreOneByOne(route, port, changes);
	} catch (error) {
		if (!(error instanceof NetlinkError || error instanceof CniError)) throw error;
		return [`the settings of VF ${port.vf} of PF ${port.pfName} could not be put back: ${error.message}`];
	}
}

export const ZERO_MAC = "00:00:00:00:00:00";

function restoreOneByOne(route: NetlinkSocket, port: VfPort, changes: Partial<VfSettings>): string[] {
	const failures: string[] = [];
	for (const leader of LEADERS) {
		if (changes[leader] === undefined) continue;
		const group = groupOf(leader);
		const refusal = trySetVf(route, port, pick(changes, group));
		// Drivers such as bnx2x take no zero MAC, so what was "none" cannot be put back: harmless, the next ADD sets
		// its own.
		if (refusal === undefined || (leader === "mac" && changes.mac === ZERO_MAC)) continue;
		const names = group.map(nameOf).join(", ");
		failures.push(`PF ${port.pfName} refused to put ${names} of VF ${port.vf} back: ${refusal.message}`);
	}
	return failures;
}

/** Makes the PF forget the administrative MAC, where its driver can: the VF's netdev may then take any. */
export function clearMac(route: NetlinkSocket, port: VfPort): void {
	trySetVf(route, port, { mac: ZERO_MAC });
}

/** Undefined: done. A VF in a reset (EBUSY, EAGAIN), perhaps from the setting before, is waited for. */
function trySetVf(route: NetlinkSocket, port: VfPort, settings: Partial<VfSettings>): NetlinkError | undefined {
	const attempt = (): NetlinkError | undefined => {
		try {
			setVf(route, port.pfIndex, port.vf, settings);
			return undefined;
		} catch (error) {
			if (error instanceof NetlinkError) return error;
			throw error;
		}
	};
	return poll(DRIVER, attempt, (refusal) => !isSystemError(refusal, "EBUSY", "EAGAIN"));
}

/**
 * The settings of a VF. Waits for those of one that its PF leaves out just now, as i40e and ice do while the VF is in
 * a reset. Throws CniError 11 where they do not come.
 */
export function readSettings(route: NetlinkSocket, port: VfPort): VfSettings {
	const settings = poll(DRIVER, () => getVf(route, port.pfIndex, port.vf));
	if (settings !== undefined) return settings;
	throw new CniError(Code.tryAgain, `PF ${port.pfName} does not report VF ${port.vf}, which may be in a reset`);
}

/** The fields of `wanted` that are not as in `now`. */
export function differing(now: VfSettings, wanted: Partial<VfSettings>): VfField[] {
	return FIELDS.filter((field) => wanted[field] !== undefined && wanted[field] !== now[field]);
}

/**
 * What has to be sent to get from `now` to `wanted`: whole groups, since half of one cannot be sent. Undefined for
 * nothing.
 */
function difference(now: VfSettings, wanted: Partial<VfSettings>): Partial<VfSettings> | undefined {
	const fields = differing(now, wanted);
	if (fields.length === 0) return undefined;
	return pick({ ...now, ...wanted }, [...new Set(fields.flatMap(groupOf))]);
}

function pick(settings: Partial<VfSettings>, fields: readonly VfField[]): Partial<VfSettings> {
	return Object.fromEntries(fields.map((field) => [field, settings[field]]));
}
