/**
 * The SR-IOV card that the demo uses: the guest's, which is ours to do with as we like, or one of this host, which is
 * not.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import type { Guest } from "../../test/lab/guest.ts";
import { LocalMachine, type Machine } from "../../test/lab/machine.ts";
import { createRdmaDevices, createVfs, listVfs, removeVfs, until, type Vf } from "../../test/lab/sriov.ts";
import { atEnd, type Progress } from "./progress.ts";

const userspaceDrivers = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/** Four VFs with administrative MACs and an RDMA device each, as a node's administrator and its driver prepare them. */
export async function prepareGuestCard(guest: Guest, progress: Progress): Promise<string> {
	const pf = "eth0";
	progress.step("making 4 VFs on the guest's card eth0, with administrative MACs and RDMA devices");
	const vfs = await createVfs(guest, pf, 4);
	// A VF takes the MAC when its driver binds.
	const script = `ip link set ${pf} vf "$1" mac "02:be:27:00:00:0$1" &&
		echo "$2" > "/sys/bus/pci/devices/$2/driver/unbind" && echo "$2" > /sys/bus/pci/drivers_probe`;
	for (const vf of vfs) {
		await guest.run(["sh", "-c", script, "sh", String(vf.index), vf.pci]);
	}
	const bound = await until("the VFs' netdevs", async () => {
		const now = await listVfs(guest, pf);
		return now.every((vf) => vf.netdev !== undefined) && now.length === vfs.length && now;
	});
	await createRdmaDevices(guest, bound);
	return pf;
}

/** Throws a sentence unless the card may be used. Changes nothing. */
export async function examineHostCard(pf: string): Promise<{ machine: Machine; vfs: Vf[] }> {
	const device = `/sys/class/net/${pf}/device`;
	if (!/^[^/\s:]{1,15}$/.test(pf) || pf === "." || pf === ".." || !existsSync(`/sys/class/net/${pf}`)) {
		throw new Error(`this host has no network interface called ${JSON.stringify(pf)}${knownCards()}`);
	}
	if (existsSync(`${device}/physfn`)) {
		const parents = readdirSync(`${device}/physfn/net`).join(", ");
		throw new Error(`${pf} is a virtual function; name its physical function (${parents})`);
	}
	if (!existsSync(`${device}/sriov_totalvfs`)) {
		throw new Error(`${pf} is no SR-IOV physical function: it has no ${device}/sriov_totalvfs${knownCards()}`);
	}
	const total = Number(readFileSync(`${device}/sriov_totalvfs`, "utf8"));
	if (total < 2) {
		throw new Error(`${pf} can have ${total} VFs, and the demo needs 2 (SR-IOV may be off in the firmware)`);
	}
	if (process.getuid?.() !== 0) {
		throw new Error("using a card of this host needs root");
	}
	const machine = new LocalMachine();
	const vfs = await listVfs(machine, pf);
	for (const vf of vfs) {
		const why = await obstacle(machine, vf);
		if (why !== undefined) throw new Error(`VF ${vf.index} of ${vf.pf} (${vf.pci}) ${why}`);
	}
	if (vfs.length === 1) {
		throw new Error(`${pf} has one VF, and the demo needs 2; it does not change the number of VFs that exist`);
	}
	return { machine, vfs };
}

/** The VFs that are there already, or two new ones, which `cleanup` removes. */
export async function prepareHostCard(
	machine: Machine,
	pf: string,
	vfs: Vf[],
	progress: Progress,
	cleanup: AsyncDisposableStack,
): Promise<void> {
	const [link] = await machine.json(["ip", "-j", "link", "show", pf]);
	if (!link.flags.includes("UP")) {
		progress.step(`setting ${pf} up, without which its VFs have no carrier`);
		atEnd(cleanup, `set ${pf} down again`, () => machine.run(["ip", "link", "set", pf, "down"]));
		await machine.run(["ip", "link", "set", pf, "up"]);
	}
	if (vfs.length === 0) {
		progress.step(`making 2 VFs on ${pf}`);
		atEnd(cleanup, `remove the VFs of ${pf}`, () => removeVfs(machine, pf));
		await createVfs(machine, pf, 2);
	}
}

/** Why a VF may not be used: what is to be said behind its name. */
async function obstacle(machine: Machine, { pci, driver, netdev }: Vf): Promise<string | undefined> {
	const marker = `/var/lib/cni/sriov/pci/${pci}`;
	if (existsSync(marker)) return `is in use: a pod has it, says ${marker}`;
	if (driver === undefined) {
		return "has no driver, so it cannot be told whether it is in use (a virtual machine may have it)";
	}
	if (userspaceDrivers.includes(driver)) return `is in use: it is bound to the userspace driver ${driver}`;
	if (netdev === undefined) return "is in use: its network interface is in another network namespace";
	const [link] = await machine.json(["ip", "-j", "-d", "address", "show", "dev", netdev]);
	if (link.flags.includes("UP")) {
		return `is in use: ${netdev} is up (ip link set ${netdev} down, if nothing needs it)`;
	}
	if (link.addr_info.length > 0) return `is in use: ${netdev} has the address ${link.addr_info[0].local}`;
	return link.master && `is in use: ${netdev} belongs to ${link.master}`;
}

function knownCards(): string {
	const cards = readdirSync("/sys/class/net").filter((name) =>
		existsSync(`/sys/class/net/${name}/device/sriov_totalvfs`),
	);
	return `; SR-IOV cards here: ${cards.join(", ") || "none"}`;
}

/** "igb, 0000:01:00.0" */
export async function describeCard(machine: Machine, pf: string): Promise<string> {
	const device = `/sys/class/net/${pf}/device`;
	const { stdout } = await machine.run(["readlink", "-f", device, `${device}/driver`]);
	const [pci = "", driver = ""] = stdout
		.trim()
		.split("\n")
		.map((path) => basename(path));
	return `${driver}, ${pci}`;
}
