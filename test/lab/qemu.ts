/**
 * QEMU's command line for the test guest.
 *
 * Always TCG: where this was made, /dev/kvm opens but runs an unmodified guest kernel slower than emulation does, and a
 * guest that behaves the same everywhere is worth more than a faster one somewhere.
 */
import { join } from "node:path";

export interface GuestHardware {
	/** igb physical functions, 0 to 8, with 7 virtual functions each; all on one wire. Default 2. */
	readonly pfs?: number;
	/** An IOMMU, for VFs bound to vfio-pci. Default true. */
	readonly iommu?: boolean;
	/** Default 2048. Not more than 2700: beyond, memory goes above 4 GB and igb's VF mailbox fails. */
	readonly memoryMb?: number;
	/** Default 2. */
	readonly cpus?: number;
	/** More QEMU arguments. */
	readonly qemuArguments?: readonly string[];
}

export interface GuestDrivers {
	/** vfshim with rdma_rxe: RDMA devices of VFs, all VF settings. Default true. */
	readonly vfshim?: boolean;
	/**
	 * RDMA devices are seen in every network namespace, as the kernel has it by default. Default false: "exclusive".
	 */
	readonly rdmaShared?: boolean;
	/** More kernel modules to load. */
	readonly modules?: readonly string[];
}

/** What test/vm/prepare made. */
export interface GuestImage {
	readonly base: string;
	readonly initrd: string;
}

/** Files of a running guest in its directory; `hung`: somebody has found that it hangs. */
export const guestFile = { socket: "agent", console: "console", log: "qemu.log", hung: "hung" } as const;

export function qemuEnvironment(image: GuestImage): Record<string, string> {
	const libraries = join(image.base, "root/usr/lib/x86_64-linux-gnu");
	return {
		...(process.env as Record<string, string>),
		LD_LIBRARY_PATH: libraries,
		QEMU_MODULE_DIR: join(libraries, "qemu"),
	};
}

export function qemuCommand(image: GuestImage, directory: string, options: GuestHardware & GuestDrivers): string[] {
	const { pfs = 2, iommu = true, memoryMb = 2048, cpus = 2, qemuArguments = [] } = options;
	const root = join(image.base, "root");
	return [
		...[
			join(root, "usr/bin/qemu-system-x86_64"),
			"-L",
			join(root, "usr/share/qemu"),
			"-L",
			join(root, "usr/share/seabios"),
		],
		...["-machine", "q35,kernel-irqchip=split", "-accel", "tcg,thread=multi", "-cpu", "max,-la57"],
		...[
			"-smp",
			String(cpus),
			"-m",
			String(memoryMb),
			"-nodefaults",
			"-display",
			"none",
			"-monitor",
			"none",
			"-no-reboot",
		],
		...["-serial", `file:${join(directory, guestFile.console)}`],
		...["-kernel", join(image.base, "vmlinux"), "-initrd", image.initrd, "-append", kernelArguments(options)],
		...sharedDirectory("hostroot", "/"),
		...sharedDirectory("tools", root),
		...["-device", "virtio-serial-pci"],
		...["-chardev", `socket,id=agent,path=${join(directory, guestFile.socket)},server=on,wait=off`],
		...["-device", "virtserialport,chardev=agent,name=berth.agent"],
		...(iommu ? ["-device", "intel-iommu,intremap=on"] : []),
		...Array.from({ length: pfs }, (_, index) => networkCard(index)).flat(),
		...qemuArguments,
	];
}

function kernelArguments(options: GuestHardware & GuestDrivers): string {
	const { pfs = 2, iommu = true, vfshim = true, rdmaShared = false, modules = [] } = options;
	// ib_uverbs and rdma_ucm as on a node with RDMA: /dev/infiniband is there.
	const wanted = [
		...(pfs > 0 ? ["igb", "igbvf"] : []),
		...(vfshim ? ["ib_uverbs", "rdma_ucm", "rdma_rxe"] : []),
		...modules,
	];
	return [
		// no_timer_check: on a busy host the emulated timer is late at times, and the kernel panics over it.
		"console=ttyS0 nokaslr panic=-1 mitigations=off nowatchdog no_timer_check",
		// RDMA devices belong to one namespace, from the start: the mode cannot change once there are namespaces.
		`ib_core.netns_mode=${rdmaShared ? 1 : 0}`,
		...(iommu ? ["intel_iommu=on", "iommu=pt"] : []),
		...(wanted.length > 0 ? [`berth.modules=${wanted.join(",")}`] : []),
		...(vfshim ? ["berth.vfshim=1"] : []),
	].join(" ");
}

function sharedDirectory(tag: string, path: string): string[] {
	return [
		...["-fsdev", `local,id=${tag},path=${path},security_model=none,readonly=on,multidevs=remap`],
		...["-device", `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`],
	];
}

/** A card in a root port of its own: 0000:01:00.0, 0000:02:00.0, ... */
function networkCard(index: number): string[] {
	const mac = `52:54:00:aa:00:0${index + 1}`;
	return [
		...["-device", `pcie-root-port,id=port${index},chassis=${index + 1},slot=${index + 1}`],
		...["-netdev", `hubport,id=wire${index},hubid=0`],
		...["-device", `igb,bus=port${index},netdev=wire${index},mac=${mac}`],
	];
}
