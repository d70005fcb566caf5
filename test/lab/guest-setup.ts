/**
 * vitest's global set-up of the tier `guest`: boots the one guest that its files share.
 *
 * With BERTH_GUEST set to the directory of a guest that runs already (`test/vm/guest boot` prints it), that one is
 * used.
 */
import type { TestProject } from "vitest/node";
import { Guest } from "./guest.ts";
import { cardArguments } from "./guest-cards.ts";

declare module "vitest" {
	export interface ProvidedContext {
		guestDirectory: string;
	}
}

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
		qemuArguments: cardArguments,
		modules: ["virtio_net"],
		log: (line) => console.error(line),
	});
	// One connection at a time: the test files connect, one after the other.
	guest.disconnect();
	project.provide("guestDirectory", guest.directory);
	return () => guest.shutdown();
}
