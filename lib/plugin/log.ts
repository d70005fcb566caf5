/**
 * Log lines of a plugin, as the Go sriov plugin writes them: `time="..." level="info" msg="..." cniName="sriov" ...`,
 * to stderr or to `logFile`, never both. The file is opened with the first line that is written.
 */
import * as sys from "../sys/sys.ts";

const LEVELS = ["panic", "error", "warning", "info", "debug"] as const;
type LogLevel = (typeof LEVELS)[number];
type LogFields = Record<string, string | number | undefined>;

interface LogOptions {
	/** None, or an unknown one, means info, as in the Go plugin. */
	readonly level?: string | undefined;
	readonly file?: string | undefined;
	/** These stand in every line. */
	readonly fields: LogFields;
}

/**
 * The trace that a caller's TRACEPARENT names ("00-TRACE-PARENT-FLAGS", W3C Trace Context, section 3.2); undefined
 * where it names none, or is not valid. A later version may have more behind the flags.
 */
function traceIdOf(traceparent: string | undefined): string | undefined {
	const parts = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/s.exec(
		traceparent ?? "",
	);
	return parts?.[1] === "00" && parts[3] !== undefined ? undefined : parts?.[2];
}

export class Log {
	readonly #options: LogOptions;
	#fd: number | undefined;

	constructor(options: LogOptions) {
		this.#options = options;
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
		const threshold = LEVELS.indexOf((this.#options.level || "info") as LogLevel);
		if (LEVELS.indexOf(level) > (threshold < 0 ? LEVELS.indexOf("info") : threshold)) return;
		let line = `time="${new Date(sys.realtimeMs()).toISOString()}" level="${level}" msg=${JSON.stringify(message)}`;
		const traceId = traceIdOf(sys.variable("TRACEPARENT"));
		for (const [key, value] of Object.entries({ ...this.#options.fields, ...fields, traceId })) {
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
		const { file } = this.#options;
		if (!file) return 2;
		const flags = sys.O_WRONLY | sys.O_CREAT | sys.O_APPEND | sys.O_NONBLOCK;
		const fd = sys.openat(sys.AT_FDCWD, file, flags, 0o600);
		if (sys.isRegular(sys.fstat(fd).mode)) return fd;
		sys.close(fd);
		throw new Error(`${file} is not a regular file`);
	}
}
