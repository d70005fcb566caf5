/**
 * When addresses were released, for `reuseDelaySeconds`: a file in the private state directory with a line
 * "milliseconds address boot" for each, by the clock that begins at the boot: nobody sets it.
 *
 * The Go plugin does not know of it: what it releases is free at once, and it hands out what it likes.
 */
import { formatIp, type Ip } from "../ip/address.ts";
import { bootId } from "../sys/boot.ts";
import { makeDirectories, readTextIfPresent, writeAtomic } from "../sys/files.ts";
import * as sys from "../sys/sys.ts";
import { privateDirectory, writing } from "./address-files.ts";

/** The file is written anew when this many of its lines are of no more use. */
const MANY = 100;

/** What an allocation asks of it. */
export type Released = Pick<Cooldown, "remaining" | "first" | "note">;

const NOTHING: Released = { remaining: () => 0, first: () => undefined, note: () => {} };

/** The cooldown of the store in `directory`; without `reuseDelaySeconds` there is none. */
export function cooldownOf(directory: string, reuseDelayMs: number): Released {
	return reuseDelayMs === 0 ? NOTHING : new Cooldown(directory, reuseDelayMs);
}

/** Addresses that were released less than the delay ago. The store is locked while this is used. */
class Cooldown {
	readonly #directory: string;
	readonly #delayMs: number;
	readonly #now = sys.boottimeMs();
	readonly #boot = bootId();
	/** When addresses are free again, by their text. Undefined until somebody asks. */
	#freeAt: Map<string, number> | undefined;

	constructor(store: string, delayMs: number) {
		this.#directory = privateDirectory(store);
		this.#delayMs = delayMs;
	}

	/** Milliseconds until the address may be handed out again: 0 is now. Throws SystemError. */
	remaining(ip: Ip): number {
		this.#freeAt ??= this.#read();
		return Math.max(0, (this.#freeAt.get(formatIp(ip)) ?? 0) - this.#now);
	}

	/**
	 * The address of those that `within` accepts that is free first, and in how many milliseconds that is. Throws
	 * SystemError.
	 */
	first(within: (name: string) => boolean): { name: string; inMs: number; count: number } | undefined {
		this.#freeAt ??= this.#read();
		const cooling = [...this.#freeAt].filter(([name, at]) => at > this.#now && within(name));
		const [name, at] = cooling.reduce((a, b) => (b[1] < a[1] ? b : a), cooling[0] ?? ["", 0]);
		return cooling.length === 0 ? undefined : { name, inMs: at - this.#now, count: cooling.length };
	}

	/**
	 * Notes that these are released now. To be called before they are: who is killed in between has only delayed them.
	 * Throws SystemError.
	 */
	note(names: readonly string[]): void {
		makeDirectories(this.#directory, 0o700);
		const lines = names.map((name) => this.#line(this.#now, name));
		writing(this.#path(), sys.O_APPEND, (fd) => sys.write(fd, lines.join("")));
	}

	#path(): string {
		return `${this.#directory}/released`;
	}

	#line(released: number, name: string): string {
		return `${Math.ceil(released)} ${name} ${this.#boot}\n`;
	}

	#read(): Map<string, number> {
		const freeAt = new Map<string, number>();
		const text = readTextIfPresent(this.#path()) ?? "";
		let lines = 0;
		let isOdd = false;
		for (const line of text.split("\n")) {
			const [time = "", name, boot] = line.split(" ");
			const released = Number(time);
			if (!name || !(released > 0)) continue;
			lines++;
			// Of an earlier boot: its end is the latest that it can be. Without a boot it is an older version's, of
			// another clock, and ahead of ours one of who knows what: then it counts from now.
			const isKnown = boot !== undefined && (boot !== this.#boot || released <= this.#now);
			if (!isKnown) isOdd = true;
			const since = isKnown ? (boot === this.#boot ? released : 0) : this.#now;
			const at = since + this.#delayMs;
			if (at > this.#now) freeAt.set(name, at);
		}
		if (lines > 2 * freeAt.size + MANY || isOdd) this.#rewrite(freeAt);
		return freeAt;
	}

	#rewrite(freeAt: ReadonlyMap<string, number>): void {
		// A time of 0 would not be read again.
		const lines = [...freeAt].map(([name, at]) => this.#line(Math.max(1, at - this.#delayMs), name));
		writeAtomic(this.#path(), lines.join(""), 0o600);
	}
}
