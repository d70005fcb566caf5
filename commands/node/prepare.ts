/**
 * `berth node prepare`: makes VFs, gives them MACs that are the same after every boot, and, for RDMA-CM, lets their
 * drivers bind again (they make node and port GUIDs of the MAC when they bind) and RDMA devices belong to one network
 * namespace. What a pod or a program has is never touched.
 */
import { sentence } from "../../lib/cni/failures.ts";
import { fnv1a } from "../../lib/ip/fnv.ts";
import * as pci from "../../lib/linux/pci.ts";
import { listAddresses } from "../../lib/netlink/address.ts";
import { NETLINK_RDMA, NETLINK_ROUTE, RT_SCOPE_LINK } from "../../lib/netlink/constants.ts";
import { getLink, getPermanentMac } from "../../lib/netlink/link.ts";
import { setLink } from "../../lib/netlink/link-change.ts";
import { getRdmaNetnsMode, setRdmaExclusive } from "../../lib/netlink/rdma.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { getVf, setVf, type VfIndex } from "../../lib/netlink/vf.ts";
import { type Command, print } from "../../lib/plugin/command.ts";
import { FlagError, parseFlags } from "../../lib/plugin/flags.ts";
import { readLineIfPresent, readLinkIfPresent, statIfPresent, writeExisting } from "../../lib/sys/files.ts";
import { poll } from "../../lib/sys/poll.ts";
import { isSystemError } from "../../lib/sys/sys.ts";
import { listDamaged, listMarked, listRecords } from "../../plugins/sriov/record.ts";
import { pciIn } from "../../plugins/sriov/record-format.ts";

export const prepare: Command = {
	about: "makes VFs, with MACs that stay, for pods",
	synopsis: "--pf NAME [--pf NAME]... --vfs N [--rdma-cm] [--dry-run]",
	help: `Lets each PF have N VFs, and each VF a MAC that follows from the PF's own and the number of the VF: the same after
every boot. A VF that a pod or a program has is never touched; where the number of VFs would have to change for it, the
PF is refused. Prints every change; a second run finds nothing to do. Exit status 1 where something could not be done.

  --pf NAME   interface or PCI address of a PF; may be given several times
  --vfs N     how many VFs
  --rdma-cm   for RDMA with the connection manager: RDMA devices belong to one network namespace each ("exclusive"), and
              drivers of VFs that get another MAC bind again, since they make the GUIDs of it
  --dry-run   prints the changes, and makes none
`,
	run: prepareAll,
};

/** How long drivers may take to make what they make. */
const READY = { deadlineMs: 10_000, everyMs: 20 };

interface Plan {
	readonly isDryRun: boolean;
	readonly isRdmaCm: boolean;
	readonly count: number;
	/** PCI addresses of VFs that somebody has by our records. */
	readonly held: ReadonlySet<string>;
}

function prepareAll(args: readonly string[]): number {
	const flags = parseFlags(args, { pf: [] as readonly string[], vfs: "", "rdma-cm": false, "dry-run": false });
	if (flags.pf.length === 0) throw new FlagError("--pf is missing: which PF?");
	if (!/^\d{1,5}$/.test(flags.vfs))
		throw new FlagError(`--vfs ${flags.vfs || "is missing"}: a number of VFs is wanted`);
	const records = [
		...listRecords().map((record) => record.pci),
		...listDamaged().flatMap(({ told }) => pciIn(told) ?? []),
	];
	const plan: Plan = {
		isDryRun: flags["dry-run"],
		isRdmaCm: flags["rdma-cm"],
		count: Number(flags.vfs),
		held: new Set([...records, ...listMarked()]),
	};
	let changes = 0;
	let failures = 0;
	const attempt: Attempt = (what, work) => {
		try {
			work((line, make) => {
				changes++;
				print(`${what}: ${line}\n`);
				if (!plan.isDryRun) make();
			});
		} catch (error) {
			failures++;
			print(`${what}: failed: ${sentence(error)}\n`);
		}
	};
	// First: the mode cannot change any more once there are other namespaces, and devices made in it are bound to it.
	if (plan.isRdmaCm) attempt("RDMA", requireExclusive);
	for (const pf of flags.pf) attempt(`PF ${pf}`, (change) => preparePf(pf, plan, change, attempt));
	if (changes === 0 && failures === 0) print("nothing to do\n");
	return failures > 0 ? 1 : 0;
}

/** Says what is about to be changed, and changes it unless this is a dry run. */
type Change = (line: string, make: () => void) => void;
/** Does `work` on what is called `what`, and says why where it fails. */
type Attempt = (what: string, work: (change: Change) => void) => void;

function requireExclusive(change: Change): void {
	using rdma = openRdma();
	const mode = getRdmaNetnsMode(rdma);
	if (mode === "exclusive") return;
	if (mode === undefined)
		throw new Error("this kernel has one mode for RDMA devices, shared: Linux 5.3 and newer have another");
	change("devices belong to one network namespace each (rdma system set netns exclusive)", () => {
		try {
			setRdmaExclusive(rdma);
		} catch (error) {
			if (!isSystemError(error, "EBUSY", "EEXIST")) throw error;
			throw new Error(
				`the kernel refuses while there are other network namespaces: boot with "options ib_core netns_mode=0" in /etc/modprobe.d (${error.message})`,
			);
		}
	});
}

function openRdma(): NetlinkSocket {
	try {
		return NetlinkSocket.open(NETLINK_RDMA);
	} catch (error) {
		if (!isSystemError(error, "EPROTONOSUPPORT")) throw error;
		throw new Error("this kernel has no RDMA: load the module ib_core");
	}
}

function preparePf(given: string, plan: Plan, change: Change, attempt: Attempt): void {
	const device = pciOf(given);
	const most = device === undefined ? undefined : pci.mostVfs(device);
	if (device === undefined || most === undefined) throw new Error("there is no such PF on this host");
	const { count } = plan;
	if (count > most) throw new Error(`it can have ${most} VFs, not ${count}`);
	const now = pci.vfCount(device) ?? 0;
	if (now !== count) {
		const held = vfsOf(device, now).find((vf) => whyHeld(vf, plan) !== "");
		if (held !== undefined) throw new Error(`it has ${now} VFs, and not ${count}: VF ${held} ${whyHeld(held, plan)}`);
		const netdev = pci.netdevs(device)[0];
		change(`${count} VFs in place of ${now}`, () => makeVfs(device, now, count, netdev));
	}
	const netdev = pci.netdevs(device)[0];
	if (netdev === undefined) throw new Error("its driver has made no interface: the VFs get no MAC");
	// Ports of a bond have one MAC in common; their own is what does not change.
	const own = permanentMac(netdev) ?? readLineIfPresent(`/sys/class/net/${netdev}/address`) ?? "";
	for (let index = 0; index < count; index++) {
		const vf = pci.vfAt(device, index);
		// In a dry run they are not there yet.
		const name = vf === undefined ? `VF ${index} of ${given}` : `VF ${index} of ${given}, ${vf}`;
		attempt(name, (changeVf) => prepareVf(netdev, index, vf, macOf(own, index), plan, changeVf));
	}
}

function permanentMac(netdev: string): string | undefined {
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	return getPermanentMac(host, netdev);
}

/** The PCI address of an interface, or itself. */
function pciOf(given: string): string | undefined {
	const lower = given.toLowerCase();
	if (pci.isPciAddress(lower)) return pci.exists(lower) ? lower : undefined;
	if (/[/]|^\.+$/.test(given)) return undefined;
	const target = readLinkIfPresent(`/sys/class/net/${given}/device`);
	return target?.slice(target.lastIndexOf("/") + 1);
}

const vfsOf = (pf: string, count: number): string[] =>
	Array.from({ length: count }, (_, index) => pci.vfAt(pf, index)).filter((vf) => vf !== undefined);

/** Why a VF is not to be touched; "". */
function whyHeld(vf: string, { held }: Plan): string {
	if (held.has(vf)) return "belongs to a pod, or its records say so (berth node)";
	const driver = pci.driver(vf);
	if (driver === undefined) return "";
	if (pci.isUserspaceDriver(driver)) return `is bound to ${driver}: a program may have it`;
	const [netdev] = pci.netdevs(vf);
	if (netdev === undefined) return "has its interface in another network namespace";
	return isUsedByHost(netdev) ? `is used by the host as ${netdev}: it has an address, or is a part of another` : "";
}

/** Whether an interface has an address that somebody gave it, or belongs to a bond or a bridge. */
function isUsedByHost(netdev: string): boolean {
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	const link = getLink(host, netdev);
	if (link === undefined) return false;
	if (statIfPresent(`/sys/class/net/${netdev}/master`) !== undefined) return true;
	// The kernel itself gives an interface that is up one of the scope of the link.
	return listAddresses(host, link.index).some(({ scope }) => scope < RT_SCOPE_LINK);
}

function makeVfs(pf: string, now: number, count: number, netdev: string | undefined): void {
	const path = `${pci.devicePath(pf)}/sriov_numvfs`;
	// The kernel goes from one number to another by way of none only.
	if (now > 0 && count > 0) writeExisting(path, "0");
	writeExisting(path, String(count));
	poll(READY, () => vfsOf(pf, count).filter((vf) => pci.netdevs(vf).length > 0).length === count);
	if (netdev === undefined || count === 0) return;
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	// Without it its VFs have no carrier.
	const link = getLink(host, netdev);
	if (link !== undefined && !link.up) setLink(host, link.index, { up: true });
}

function prepareVf(
	pfName: string,
	index: number,
	vf: string | undefined,
	mac: string,
	plan: Plan,
	change: Change,
): void {
	if (vf !== undefined && whyHeld(vf, plan) !== "") {
		print(`VF ${index} of ${pfName}, ${vf}: left alone, it ${whyHeld(vf, plan)}\n`);
		return;
	}
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	const pf = getLink(host, pfName);
	if (pf === undefined) throw new Error(`the PF ${pfName} is gone`);
	const there = vf === undefined ? undefined : getVf(host, pf.index, index as VfIndex);
	if (there?.mac !== mac) {
		change(`MAC ${mac}`, () => setVf(host, pf.index, index as VfIndex, { mac }));
		if (plan.isRdmaCm) change("its driver binds again", () => rebind(vf));
	} else if (vf !== undefined && pci.driver(vf) === undefined) {
		change("a driver binds", () => writeExisting("/sys/bus/pci/drivers_probe", vf));
	}
}

function rebind(vf: string | undefined): void {
	if (vf === undefined) return;
	const driver = pci.driver(vf);
	if (driver !== undefined) writeExisting(`/sys/bus/pci/drivers/${driver}/unbind`, vf);
	writeExisting("/sys/bus/pci/drivers_probe", vf);
	const isBack = poll(READY, () => pci.driver(vf) !== undefined && pci.netdevs(vf).length > 0);
	if (!isBack) throw new Error(`no driver has made an interface for it within ${READY.deadlineMs / 1000} s`);
}

/**
 * The MAC of VF `index` of the PF with the permanent MAC `own`: 40 bits of a hash, locally administered. Neighbouring
 * PFs of a card have neighbouring MACs, so counting on from there would give one MAC twice.
 */
function macOf(own: string, index: number): string {
	const hash = fnv1a(`${index} ${own}`, 64);
	const pairs = Array.from({ length: 5 }, (_, at) => Number((hash >> BigInt(8 * at)) & 0xffn));
	return ["02", ...pairs.map((pair) => pair.toString(16).padStart(2, "0"))].join(":");
}
