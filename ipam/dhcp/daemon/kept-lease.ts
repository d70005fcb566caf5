/**
 * What of a lease outlives the daemon: whom it is for, what its record says, and the interface that has the address.
 */
import type { CniResult } from "../../../lib/cni/types.ts";
import type { Link, LinkIndex } from "../../../lib/netlink/link.ts";
import type { Log } from "../../../lib/plugin/log.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import type { Binding, Journal, LeaseRecord, Place } from "./journal.ts";
import { findLink, findSandbox, replaceOnInterface } from "./place.ts";
import type { LeaseSpec } from "./protocol.ts";

/** An address, and whom it is of. */
export type Given = NonNullable<LeaseRecord["wanted"]>;

/** What it needs of the daemon. */
export interface Keeping {
	readonly settings: {
		/** Before every path of a sandbox. */
		readonly hostPrefix: string;
	};
	readonly journal: Journal;
	readonly log: Log;
}

export abstract class KeptLease<Around extends Keeping = Keeping> {
	readonly spec: LeaseSpec;
	readonly place: Place;
	readonly file: number;
	binding: Binding | undefined;
	protected answered: boolean;
	protected wanted: LeaseRecord["wanted"];
	protected replaces: string | undefined;
	protected readonly around: Around;

	constructor(
		around: Around,
		file: number,
		record: Pick<LeaseRecord, "spec" | "place" | "answered" | "binding" | "wanted" | "replaces">,
	) {
		this.around = around;
		this.file = file;
		this.spec = record.spec;
		this.place = record.place;
		this.binding = record.binding;
		this.answered = record.answered;
		this.wanted = record.wanted;
		this.replaces = record.replaces;
	}

	/** The result that the lease makes; undefined while there is no address. */
	result(binding = this.binding): CniResult | undefined {
		return binding && this.resultOf(binding);
	}

	protected abstract resultOf(binding: Binding): CniResult;

	protected write(): void {
		const { spec, place, binding } = this;
		this.around.journal.write(this.file, {
			spec,
			place,
			answered: this.answered,
			...(binding && { binding }),
			...(this.wanted && { wanted: this.wanted }),
			...(this.replaces !== undefined && { replaces: this.replaces }),
		});
	}

	protected replace(sandbox: Sandbox, link: Link, before: CniResult | string, after: CniResult | undefined): void {
		const refused = (reason: string): void =>
			this.log(`the interface does not take what ${this.binding?.server} gives: ${reason}`);
		replaceOnInterface(sandbox, link, before === "" ? undefined : before, after, refused);
		this.replaces = undefined;
		this.write();
	}

	/** Whether the interface is still where it was. */
	isInPlace(): boolean {
		return this.inPlace(() => undefined);
	}

	/**
	 * Runs `work` with the interface in its namespace; false where one of them is gone. A failure is `otherwise`, or
	 * the caller's.
	 */
	protected inPlace(work: (sandbox: Sandbox, link: Link) => void, otherwise?: string): boolean {
		let sandbox: Sandbox | undefined;
		try {
			sandbox = findSandbox(this.around.settings.hostPrefix + this.spec.netns, this.place);
			const link = sandbox && findLink(sandbox, this.place);
			if (sandbox === undefined || link === undefined) return false;
			work(sandbox, link);
			return true;
		} catch (error) {
			if (otherwise === undefined || !sys.isSystemError(error)) throw error;
			this.log(`${error.message}: ${otherwise}`);
			return false;
		} finally {
			// Not `using`: what esbuild makes of it is a closure that names itself, and such circles would fill a
			// daemon's memory.
			sandbox?.[Symbol.dispose]();
		}
	}

	get linkIndex(): LinkIndex {
		return this.place.linkIndex as LinkIndex;
	}

	log(what: string, fields: Record<string, string | undefined> = {}): void {
		const { containerId, network, ifName } = this.spec;
		this.around.log.info(what, { containerID: containerId, network, ifName, ...fields });
	}
}
