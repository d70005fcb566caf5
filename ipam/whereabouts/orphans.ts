/**
 * Addresses of sandboxes that no longer live, by the records of this node.
 *
 * A main plugin of ours knows better whose an address is, and gives it back with its device: these are those of others
 * (macvlan, ipvlan), whose records say in which sandbox they were.
 */
import { type Fate, fateOf, isOfEarlierBoot } from "../../lib/state/liveness.ts";
import { type Orphan, whyGone } from "../../lib/state/orphan.ts";
import { type AttachmentRecord, Records } from "./record.ts";
import { releaseAttachment } from "./release.ts";

export function findOrphans(dataDir: string): Orphan[] {
	const records = new Records(dataDir);
	return records.all().flatMap((found): Orphan[] => {
		const { containerId, ifName, network, netns, boot, claims, store } = found.record;
		const became = fate(found.record);
		if (became === "alive") return [];
		const name = claims.map(({ ip }) => ip).join(" ") || store || "?";
		const reclaim = (): true | undefined => {
			const now = records.find(found.record);
			if (now === undefined || fate(now.record) !== "gone") return undefined;
			releaseAttachment(records, now, { dataDir, reuseDelayMs: 0 });
			return true;
		};
		return [
			{
				...{ kind: "address", name, containerId, ifName, network },
				why: whyGone(netns, isOfEarlierBoot({ netns, netnsIdentity: "", bootId: boot })),
				reclaim: became === "gone" ? reclaim : undefined,
			},
		];
	});
}

const fate = ({ netns, inode, boot }: AttachmentRecord): Fate =>
	fateOf({ netns, netnsIdentity: "", bootId: boot }, netns, inode);
