/**
 * Addresses that were handed out before the last boot, as far as the index of a store tells: no sandbox outlives a
 * boot. Of the others the store says no more than a container's name, and nobody can tell from that whether it lives;
 * those of VFs go back with the VF.
 */
import type { Orphan } from "../../lib/state/orphan.ts";
import { glimpse } from "../../lib/store/glimpse.ts";
import type { Attachment } from "../../lib/store/owner.ts";
import { Store } from "../../lib/store/store.ts";
import { listIfPresent } from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";

/** `recorded`: attachments that another record tells more of. */
export function findOrphans(dataDir: string, recorded: readonly Attachment[]): Orphan[] {
	const networks = (listIfPresent(dataDir) ?? []).filter((name) => !name.startsWith(".")).sort();
	const known = new Set(recorded.map(({ containerId, ifName }) => `${containerId}/${ifName}`));
	return networks.flatMap((network) => orphansIn(`${dataDir}/${network}`, network, known));
}

function orphansIn(directory: string, network: string, known: ReadonlySet<string>): Orphan[] {
	// What is no directory is no store.
	const seen = sys.unlessFailed(() => glimpse(directory), "ENOENT", "ENOTDIR");
	if (seen === undefined) return [];
	const { earlier } = seen;
	const unknown = seen.others.filter(({ containerId, ifName }) => !known.has(`${containerId}/${ifName}`));
	const what = { kind: "address", containerId: "", ifName: "", network };
	const reclaim = (): true | undefined => {
		using store = Store.openIfPresent(directory);
		return (store?.releaseEarlier() ?? []).length > 0 || undefined;
	};
	const names = earlier.map(({ name }) => name).sort();
	const why = `nothing tells whether ${unknown.length === 1 ? "its container lives" : "their containers live"}`;
	return [
		...(earlier.length > 0 ? [{ ...what, name: names.join(" "), why: "from before the last boot", reclaim }] : []),
		...(unknown.length > 0 ? [{ ...what, name: `${unknown.length} in use`, why, reclaim: undefined }] : []),
	];
}
