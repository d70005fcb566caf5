/**
 * What plugin and daemon say to each other: one JSON line each way over the daemon's socket, with the protocol's
 * version in it.
 */
import type { CniResult } from "../../../lib/cni/types.ts";
import type { Family } from "../../../lib/ip/address.ts";
import { concatenate } from "../../../lib/sys/bytes.ts";
import * as sys from "../../../lib/sys/sys.ts";

const NEWLINE = 10;

/** A line that comes in pieces. */
export class Line {
	#parts: Uint8Array[] = [];
	/** In bytes, so far. */
	length = 0;

	/** All of it, once the newline has come. */
	add(data: Uint8Array): string | undefined {
		this.#parts.push(data);
		this.length += data.length;
		if (!data.includes(NEWLINE)) return undefined;
		const bytes = concatenate(this.#parts.splice(0));
		return sys.decodeUtf8(bytes.subarray(0, bytes.indexOf(NEWLINE)));
	}
}

/** Another number is another language: both sides must be of the same release, or of one that says otherwise. */
export const PROTOCOL = 1;

/** Go's, so that nobody has to change anything. */
export const DEFAULT_SOCKET = "/run/cni/dhcp.sock";

/**
 * The directory of the daemon's state, next to its socket: what is in it does not outlive the boot, as `/run` does not.
 */
export const stateDirectory = (socketPath: string): string => `${socketPath}.d`;
/** Attachments whose DEL came while no daemon was there: a file for each. */
export const releasedDirectory = (socketPath: string): string => `${stateDirectory(socketPath)}/released`;

export interface Attachment {
	readonly containerId: string;
	readonly network: string;
	readonly ifName: string;
}

export const attachmentOf = ({ containerId, network, ifName }: Attachment): Attachment => ({
	containerId,
	network,
	ifName,
});

export const leaseKey = ({ containerId, network, ifName }: Attachment, family: Family = 4): string =>
	`${containerId}/${network}/${ifName}/${family}`;

/** What ADD asks for. */
export interface LeaseSpec extends Attachment {
	/** Absent: 4. An attachment may have a lease of each. */
	readonly family?: 6;
	/** Absolute path of the sandbox, as the plugin sees it. */
	readonly netns: string;
	/** Hex digits, or "mac": hardware type and MAC of the interface. */
	readonly clientId: string;
	/** Numbers of the options to ask for, in order. */
	readonly request: readonly number[];
	/** Options to send: number and value in hex digits. */
	readonly provide: readonly (readonly [number, string])[];
	readonly broadcast: boolean;
	/** Metric of all routes; 0: none. */
	readonly priority: number;
}

export type Question =
	| { readonly method: "add"; readonly spec: LeaseSpec }
	| { readonly method: "del"; readonly attachment: Attachment }
	| { readonly method: "check"; readonly attachment: Attachment; readonly family?: 6 }
	| { readonly method: "gc"; readonly network: string; readonly valid: readonly string[] }
	| { readonly method: "status" }
	| { readonly method: "list" };

export type Answer =
	| { readonly result: unknown }
	| { readonly error: { readonly code: number; readonly message: string; readonly details: string } };

/** What "list" tells of a lease. */
export interface ListedLease extends Attachment {
	readonly netns: string;
	readonly state: string;
	readonly mac: string;
	readonly address?: string;
	readonly server?: string;
	/** Seconds from now; null: never. */
	readonly renewSeconds?: number | null;
	readonly rebindSeconds?: number | null;
	readonly expireSeconds?: number | null;
	readonly result?: CniResult;
}

export interface Listing {
	readonly leases: readonly ListedLease[];
	/** Packets that were no DHCP, or of no sense, since the daemon started. */
	readonly malformedPackets: number;
}
