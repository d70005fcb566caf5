/**
 * What of a lease outlives the daemon: its record, and the interface that has the address.
 */
import type { CniResult } from "../../../lib/cni/types.ts";
import { type Mac, parseMac } from "../../../lib/ip/mac.ts";
import type { Loop } from "../../../lib/loop/loop.ts";
import type { Link } from "../../../lib/netlink/link.ts";
import type { Log } from "../../../lib/plugin/log.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import type { Binding, Journal, LeaseRecord } from "./journal.ts";
import { findLink, findSandbox, replaceOnInterface } from "./place.ts";

/** Times in milliseconds. */
interface Settings {
	/** Before every path of a sandbox. */
	readonly hostPrefix: string;
	readonly broadcast: boolean;
	/** For a carrier, and for the answer to a REQUEST. */
	readonly timeoutMs: number;
	/** Longest pause between repetitions. */
	readonly resendMaxMs: number;
	/** For all of an ADD. */
	readonly resendTimeoutMs: number;
}

/** What a lease needs of the daemon. */
export interface Surroundings {
	readonly settings: Settings;
	readonly loop: Loop;
	readonly journal: Journal;
	readonly log: Log;
	/** Hears from now on when an interface leaves this sandbox. */
	watch(sandbox: Sandbox): void;
	malformed(): void;
	/** The lease has come to its end. */
	forget(lease: KeptLease): void;
}

export abstract class KeptLease {
	readonly record: LeaseRecord;
	protected readonly file: number;
	protected readonly around: Surroundings;

	constructor(around: Surroundings, file: number, record: LeaseRecord) {
		this.around = around;
		this.file = file;
		this.record = record;
	}

	protected get mac(): Mac {
		return parseMac(this.record.place.mac)!;
	}

	/** The result that the lease makes; undefined while there is no address. */
	result(): CniResult | undefined {
		const { binding } = this.record;
		return binding && this.resultOf(binding);
	}

	protected abstract resultOf(binding: Binding): CniResult;

	protected write(): void {
		this.around.journal.write(this.file, this.record);
	}

	/** `before`: what is to be taken off the interface; its address with prefix where the routes are not known. */
	protected replace(
		sandbox: Sandbox,
		link: Link,
		before: CniResult | string | undefined,
		after: CniResult | undefined,
	): void {
		replaceOnInterface(sandbox, link, before, after, (reason) =>
			this.log(`the interface does not take what ${this.record.binding?.server} gives: ${reason}`),
		);
		this.record.replaces = undefined;
		this.write();
	}

	/** Whether the interface is still where it was. */
	isInPlace(): boolean {
		return this.inPlace(() => undefined);
	}

	/** Runs `work` with the interface in its namespace; false where one of them is gone. */
	protected inPlace(work: (sandbox: Sandbox, link: Link) => void): boolean {
		const { spec, place } = this.record;
		using sandbox = findSandbox(this.around.settings.hostPrefix + spec.netns, place);
		const link = sandbox && findLink(sandbox, place);
		if (sandbox === undefined || link === undefined) return false;
		work(sandbox, link);
		return true;
	}

	log(what: string, fields: Record<string, string | undefined> = {}): void {
		const { containerId, network, ifName } = this.record.spec;
		this.around.log.info(what, { containerID: containerId, network, ifName, ...fields });
	}
}
