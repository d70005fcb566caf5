/**
 * Log lines of a plugin, as the Go sriov plugin writes them: `time="..." level="info" msg="..." cniName="sriov" ...`,
 * to stderr or to `logFile`, never both. The file is opened with the first line that is written.
 */
import * as sys from "../sys/sys.ts";

const LEVELS = ["panic", "error", "warning", "info", "debug"] as const;
type LogLevel = (typeof LEVELS)[number];
type LogFields = Record<string, string | number | undefined>;

export class Log {
	readonly #threshold: number;
	readonly #file: string | undefined;
	readonly #fields: LogFields;
	#fd: number | undefined;

	/** An unknown `level` means info, as in the Go plugin. `fields` stand in every line. */
	constructor(options: { level: string | undefined; file: string | undefined; fields: LogFields }) {
		const level = LEVELS.indexOf((options.level || "info") as LogLevel);
		this.#threshold = level < 0 ? LEVELS.indexOf("info") : level;
		this.#file = options.file || undefined;
		this.#fields = options.fields;
	}

	error(message: string, fields?: LogFields): void {
		this.#write("error", message, fields);
	}
	warning(message: string, fields?: LogFields): void {
		this.#write("warning", message, fields);
	}
	info(message: string, fields?: LogFields): void {
		this.#write("info", message, fields);
	}
	debug(message: string, fields?: LogFields): void {
		this.#write("debug", message, fields);
	}

	#write(level: LogLevel, message: string, fields: LogFields = {}): void {
		if (LEVELS.indexOf(level) > this.#threshold) return;
		let line = `time="${timestamp(sys.realtimeMs())}" level="${level}" msg=${JSON.stringify(message)}`;
		for (const [key, value] of Object.entries({ ...this.#fields, ...fields })) {
			if (value !== undefined) line += ` ${key}=${JSON.stringify(String(value))}`;
		}
		this.#put(`${line}\n`);
	}

	/**
	 * One write per line, so that lines of concurrent plugins do not mix. A log that cannot be written never fails a
	 * verb.
	 */
	#put(line: string): void {
		try {
			this.#fd ??= this.#open();
			sys.write(this.#fd, line);
		} catch (error) {
			if (this.#fd === 2) return; // nobody reads stderr any more
			this.#fd = 2;
			this.#put(`cannot write to log file: ${error instanceof Error ? error.message : error}\n${line}`);
		}
	}

	/** Regular files only: a pipe that nobody reads would hold up the verb, and stdout is for the answer. */
	#open(): number {
		if (this.#file === undefined) return 2;
		const flags = sys.O_WRONLY | sys.O_CREAT | sys.O_APPEND | sys.O_NONBLOCK;
		const fd = sys.openat(sys.AT_FDCWD, this.#file, flags, 0o600);
		if (sys.isRegular(sys.fstat(fd).mode)) return fd;
		sys.close(fd);
		throw new Error(`${this.#file} is not a regular file`);
	}
}

/**
 * RFC 3339 in UTC with milliseconds. The engine is built without Date: this is the only place that needs a calendar.
 */
function timestamp(ms: number): string {
	const days = Math.floor(ms / 86_400_000);
	const rest = Math.floor(ms - days * 86_400_000);
	// Days to a date of the proleptic Gregorian calendar, with years that begin in March (so that the leap day comes
	// last).
	const shifted = days + 719_468;
	const era = Math.floor(shifted / 146_097);
	const dayOfEra = shifted - era * 146_097;
	const yearOfEra = Math.floor(
		(dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
	);
	const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
	const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
	const day = dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1;
	const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
	const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
	const two = (value: number): string => String(value).padStart(2, "0");
	const time = `${two(Math.floor(rest / 3_600_000))}:${two(Math.floor(rest / 60_000) % 60)}:${two(Math.floor(rest / 1000) % 60)}`;
	return `${year}-${two(month)}-${two(day)}T${time}.${String(rest % 1000).padStart(3, "0")}Z`;
}
