/**
 * All leases of the daemon, and what plugins ask of them.
 */
import { CniError, Code } from "../../../lib/cni/error.ts";
import { sentence } from "../../../lib/cni/failures.ts";
import type { CniResult } from "../../../lib/cni/types.ts";
import type { Family } from "../../../lib/ip/address.ts";
import type { Loop } from "../../../lib/loop/loop.ts";
import { NETLINK_ROUTE } from "../../../lib/netlink/constants.ts";
import { getLink } from "../../../lib/netlink/link.ts";
import { assignNumber } from "../../../lib/netlink/nsid.ts";
import { NetlinkSocket } from "../../../lib/netlink/socket.ts";
import type { Log } from "../../../lib/plugin/log.ts";
import { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import type { Waiter } from "./asking-lease.ts";
import { type Journal, takeReleased } from "./journal.ts";
import type { KeptLease, Surroundings } from "./kept-lease.ts";
import type { Lease } from "./lease.ts";
import { Lease4 } from "./lease4.ts";
import { Lease6 } from "./lease6.ts";
import { inodeOf } from "./place.ts";
import { type Attachment, type LeaseSpec, type ListedLease, type Listing, leaseKey } from "./protocol.ts";

/** ARPHRD_ETHER of linux/if_arp.h. */
const ETHERNET = 1;

export class Leases implements Surroundings {
	readonly settings: Surroundings["settings"];
	readonly loop: Loop;
	readonly journal: Journal;
	readonly log: Log;
	readonly #leases = new Map<string, Lease>();
	readonly #host = NetlinkSocket.open(NETLINK_ROUTE);
	#malformed = 0;

	constructor(settings: Surroundings["settings"], loop: Loop, journal: Journal, log: Log) {
		this.settings = settings;
		this.loop = loop;
		this.journal = journal;
		this.log = log;
	}

	/** Goes on with the leases of the daemon before us. `released`: the directory of DELs that it did not hear. */
	load(released: string): void {
		this.journal.load(
			(file, record) => this.#keep(newLease(this, file, record)),
			(name, why) => this.log.warning(`the record ${name} is dropped: ${why}`),
		);
		takeReleased(released, (attachment) => this.del(attachment, "DEL while no daemon was there"));
		for (const lease of [...this.#leases.values()]) {
			try {
				lease.resume();
			} catch (error) {
				lease.log(`cannot be resumed yet: ${sentence(error)}`);
				this.loop.schedule(lease, sys.boottimeMs() + this.settings.timeoutMs);
			}
		}
		this.log.info(`${this.#leases.size} leases resumed`);
	}

	/**
	 * The lease of the attachment, which `waiter` hears of: at once where there is one. Throws CniError for an
	 * interface that cannot have one.
	 */
	add(spec: LeaseSpec, waiter: Waiter): Lease | undefined {
		using sandbox = Sandbox.open(this.settings.hostPrefix + spec.netns);
		const link = getLink(sandbox.route, spec.ifName);
		if (link === undefined) {
			throw new CniError(
				Code.invalidConfig,
				`there is no interface "${spec.ifName}" in ${spec.netns}: DHCP needs one, which a device with a userspace driver does not have`,
			);
		}
		if (link.type !== ETHERNET) {
			throw new CniError(
				Code.invalidConfig,
				`"${spec.ifName}" is no Ethernet interface (type ${link.type}): DHCP is not to be had over it`,
			);
		}
		const place = {
			netnsIdentity: sandbox.identity,
			netnsInode: inodeOf(sandbox),
			linkIndex: link.index,
			mac: link.mac,
		};
		const present = this.#leases.get(leaseKey(spec, spec.family));
		if (present !== undefined) {
			const isSame = JSON.stringify(present.record.place) === JSON.stringify(place);
			const result = isSame ? present.result() : undefined;
			if (result !== undefined && present.state !== "probing") {
				waiter.succeed(result);
				return undefined;
			}
			present.release("a new ADD", "another ADD of the same attachment came");
		}
		const lease = this.#keep(newLease(this, this.journal.newFile(), { spec, place, answered: false }));
		try {
			this.watch(sandbox);
			lease.begin(sandbox, link, waiter);
		} catch (error) {
			lease.end();
			throw error;
		}
		return lease;
	}

	/** Gives back the attachment's leases of both families; nothing where there is none. */
	del(attachment: Attachment, reason = "DEL"): void {
		for (const family of [4, 6] as const) {
			this.#leases.get(leaseKey(attachment, family))?.release(reason, `${reason} came`);
		}
	}

	/** What the lease is now. Throws CniError 102 where there is none. */
	check(attachment: Attachment, family?: Family): CniResult {
		const lease = this.#leases.get(leaseKey(attachment, family));
		const result = lease?.result();
		if (result !== undefined) return result;
		const what = lease === undefined ? "the DHCP daemon has no lease" : `the lease is gone (${lease.state})`;
		throw new CniError(Code.checkFailed, `${what} for ${attachment.ifName} of container ${attachment.containerId}`);
	}

	/** Gives back the leases of `network` whose "containerID/ifname" is not in `valid`. */
	gc(network: string, valid: readonly string[]): void {
		const known = new Set(valid);
		for (const { spec } of [...this.#leases.values()].map(({ record }) => record)) {
			if (spec.network === network && !known.has(`${spec.containerId}/${spec.ifName}`)) this.del(spec, "GC");
		}
	}

	list(): Listing {
		const now = sys.boottimeMs();
		const leases = [...this.#leases.values()].map((lease) => listed(lease, now));
		return { leases, malformedPackets: this.#malformed };
	}

	/** Interfaces with these numbers have left some namespace, or, without `links`, any may have: whose are they? */
	onGone(links?: readonly number[]): void {
		for (const lease of [...this.#leases.values()]) {
			const { linkIndex } = lease.record.place;
			if ((links === undefined || links.includes(linkIndex)) && !lease.isInPlace()) lease.vanish();
		}
	}

	watch(sandbox: Sandbox): void {
		assignNumber(this.#host, sandbox.netns.fd);
	}

	malformed(): void {
		this.#malformed++;
	}

	forget(lease: KeptLease): void {
		const { spec } = lease.record;
		const key = leaseKey(spec, spec.family);
		if (this.#leases.get(key) === lease) this.#leases.delete(key);
	}

	#keep(lease: Lease): Lease {
		const { spec } = lease.record;
		this.#leases.set(leaseKey(spec, spec.family), lease);
		return lease;
	}
}

const newLease = (...parts: ConstructorParameters<typeof Lease4>): Lease =>
	parts[2].spec.family === 6 ? new Lease6(...parts) : new Lease4(...parts);

function listed(lease: Lease, now: number): ListedLease {
	const { binding, place, spec } = lease.record;
	const { containerId, network, ifName, netns } = spec;
	const left = (ms: number | null): number | null => (ms === null ? null : Math.round((ms - now) / 1000));
	return {
		containerId,
		network,
		ifName,
		netns,
		state: lease.state,
		mac: place.mac,
		...(binding && {
			address: binding.address,
			server: binding.server,
			renewSeconds: left(binding.renewAt),
			rebindSeconds: left(binding.rebindAt),
			expireSeconds: left(binding.expireAt),
			result: lease.result()!,
		}),
	};
}
