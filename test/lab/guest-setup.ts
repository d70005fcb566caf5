/**
 * vitest's global set-up of the tier `guest`: boots the one guest that its files share.
 *
 * With BERTH_GUEST set to the directory of a guest that runs already (`test/vm/guest boot` prints it), that one is
 * used.
 */
import type { TestProject } from "vitest/node";
import { Guest } from "./guest.ts";

declare module "vitest" {
	export interface ProvidedContext {
		guestDirectory: string;
	}
}

/** A network card without SR-IOV, on the same wire: what a VF looks like inside a virtual machine. */
const plainCard = [
	...["-netdev", "hubport,id=plain,hubid=0"],
	...["-device", "virtio-net-pci,netdev=plain,mac=52:54:00:aa:01:01,romfile="],
];

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
	const running = process.env.BERTH_GUEST;
	if (running) {
		const guest = await Guest.connect(running);
		await guest.refresh();
		guest.disconnect();
		project.provide("guestDirectory", running);
		return undefined;
	}
	const guest = await Guest.boot({
		pfs: 2,
		qemuArguments: plainCard,
		modules: ["virtio_net"],
		log: (line) => console.error(line),
	});
	// One connection at a time: the test files connect, one after the other.
	guest.disconnect();
	project.provide("guestDirectory", guest.directory);
	return () => guest.shutdown();
}
