/**
 * Addresses that were handed out before the last boot, as far as the index of a store tells: no sandbox outlives a
 * boot. Of the others the store says no more than a container's name, and nobody can tell from that whether it lives;
 * those of VFs go back with the VF.
 */
import { formatIp } from "../../lib/ip/address.ts";
import type { Orphan } from "../../lib/state/orphan.ts";
import { hasPrivateDirectory } from "../../lib/store/private-directory.ts";
import { Store } from "../../lib/store/store.ts";
import { listIfPresent } from "../../lib/sys/files.ts";

export function findOrphans(dataDir: string): Orphan[] {
	const networks = (listIfPresent(dataDir) ?? []).filter((name) => !name.startsWith("."));
	return networks.flatMap((network): Orphan[] => {
		const directory = `${dataDir}/${network}`;
		if (!hasPrivateDirectory(directory)) return [];
		using store = Store.openIfPresent(directory);
		const addresses = (store?.allocatedEarlier() ?? []).map(formatIp);
		if (addresses.length === 0) return [];
		const reclaim = (): boolean => {
			using again = Store.openIfPresent(directory);
			again?.releaseEarlier();
			return true;
		};
		return [
			{
				...{ kind: "address", name: addresses.join(" "), containerId: "", ifName: "", network },
				why: "from before the last boot",
				reclaim,
			},
		];
	});
}
