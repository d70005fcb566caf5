/**
 * An event loop over poll(2): descriptors that become readable or writable, and tasks that become due.
 *
 * Times are milliseconds of CLOCK_BOOTTIME.
 */
import * as sys from "../sys/sys.ts";

interface Source {
	readonly fd: number;
	/** POLLIN, POLLOUT; may change at any time. */
	events: number;
	/** `events` are those that came (poll(2): errors and hang-ups too). */
	onReady(events: number): void;
}

interface Task {
	/** When it is due; Infinity: never. Written by `Loop.schedule` alone. */
	dueMs: number;
	onDue(): void;
}

/** poll(2) does not count the time in which the machine sleeps: no wait is longer than this. */
const LONGEST_WAIT_MS = 60_000;

export class Loop {
	readonly #sources = new Map<number, Source>();
	/** What is due first is the last. */
	readonly #tasks: Task[] = [];
	readonly #report: (error: unknown) => void;
	#entries: Source[] | undefined;
	#running = false;

	/** `report` gets what a source or a task throws; the loop goes on. */
	constructor(report: (error: unknown) => void) {
		this.#report = report;
	}

	watch(source: Source): void {
		this.#sources.set(source.fd, source);
		this.#entries = undefined;
	}

	forget(source: Source): void {
		if (this.#sources.get(source.fd) !== source) return;
		this.#sources.delete(source.fd);
		this.#entries = undefined;
	}

	/** `task` becomes due at `at`, and not before; Infinity: never. */
	schedule(task: Task, at: number): void {
		const before = this.#tasks.indexOf(task);
		if (before >= 0) this.#tasks.splice(before, 1);
		task.dueMs = at;
		if (at !== Infinity) this.#tasks.splice(this.#tasks.findLastIndex(({ dueMs }) => dueMs > at) + 1, 0, task);
	}

	stop(): void {
		this.#running = false;
	}

	/** Until `stop`. */
	run(): void {
		this.#running = true;
		while (this.#running) {
			const wait = this.#runDue();
			if (!this.#running) return;
			this.#entries ??= [...this.#sources.values()];
			const entries = this.#entries;
			const ready = sys.poll(entries, wait);
			for (let index = 0; index < entries.length; index++) {
				const source = entries[index]!;
				// One that was forgotten meanwhile: its number may be another's by now.
				if (ready[index] === 0 || this.#sources.get(source.fd) !== source) continue;
				this.#attempt(() => source.onReady(ready[index]!));
			}
		}
	}

	#attempt(work: () => void): void {
		try {
			work();
		} catch (error) {
			this.#report(error);
		}
	}

	/** Runs what is due, and returns how long there is to wait for the next. */
	#runDue(): number {
		for (;;) {
			const first = this.#tasks.at(-1);
			if (first === undefined) return LONGEST_WAIT_MS;
			const left = first.dueMs - sys.boottimeMs();
			if (left > 0) return Math.min(Math.ceil(left), LONGEST_WAIT_MS);
			this.schedule(first, Infinity);
			this.#attempt(() => first.onDue());
		}
	}
}
