/**
 * The native module of the Rust host (runtime/src/native/), as TypeScript sees it.
 *
 * System calls and nothing above them: no CNI, no netlink message, no policy. `lib/sys/sys.ts` is the only importer.
 * While modules are evaluated, which the build does once for all, only the functions called "pure" may be called.
 * Every function that fails throws an Error with `errno` (positive), `code` ("ENOENT"), `call` ("openat") and, where
 * there is one, `path`. All descriptors are opened close-on-exec. Times are milliseconds.
 */
declare module "native:sys" {
	/** What a failed system call throws: message "open /x: no such file or directory (ENOENT)". */
	export interface SystemError extends Error {
		readonly errno: number;
		readonly code: string;
		readonly call: string;
		readonly path?: string;
	}

	/** "ENOENT" and "no such file or directory"; for a number without a name "E250" and "error 250". Pure. */
	export function describeErrno(errno: number): [code: string, text: string];

	// --- this process
	/** argv, argv[0] included. */
	export function args(): string[];
	/** An environment variable, of two with one name the first; undefined: there is none. */
	export function variable(name: string): string | undefined;
	/** Ends the process at once (_exit): nothing is flushed, no destructor runs. */
	export function exit(status: number): never;
	export function pid(): number;
	/** The engine's version, such as "0.16.2", and whether this process started from a heap image. */
	export function engine(): { readonly version: string; readonly image: boolean };

	// --- time and random numbers
	export function monotonicMs(): number;
	/** CLOCK_BOOTTIME: as `monotonicMs`, and goes on while the machine sleeps. */
	export function boottimeMs(): number;
	export function realtimeMs(): number;
	export function sleepMs(ms: number): void;
	export function random(length: number): Uint8Array;

	// --- text (the engine has no TextEncoder). Pure.
	export function encodeUtf8(text: string): Uint8Array;
	/** Malformed sequences become U+FFFD, as in Go's encoding/json. */
	export function decodeUtf8(bytes: Uint8Array): string;

	/**
	 * Whether in an object of the JSON text `json` two keys may differ in nothing but the case of letters, which a
	 * parser does not tell: it keeps the last.
	 */
	export function mayRepeatKeys(json: Uint8Array): boolean;

	/**
	 * What JSON.stringify(value, null, indent) says of a tree of plain objects, arrays, strings, numbers, booleans and
	 * null of at most 100 levels, in a quarter of the engine's instructions. Members that are undefined are left out;
	 * what no text can be made of is a TypeError, undefined in a list, too. toJSON is not asked for.
	 */
	export function formatJson(value: object, indent: number): string;

	/**
	 * Whether `text` is an address, or an address with a prefix length, just as Go prints it. False also for IPv6
	 * with dots in it: what is not recognised may still be one (lib/ip).
	 */
	export function isCanonicalIp(text: string): boolean;
	export function isCanonicalCidr(text: string): boolean;
	/** Both, and of one family. */
	export function areCanonical(cidr: string, ip: string): boolean;
	/** The `length` bytes (4 or 16, else EINVAL) from `start` on as Go prints an address of so many bytes. */
	export function formatAddress(bytes: Uint8Array, start: number, length: number): string;
	/**
	 * Of the netlink attributes of a message, whose fixed struct begins at `start`, those that `wanted` names: pairs
	 * of a type (below 256) and what is wanted of it, 0 the number (u32), 1 the address as text, 2 where its payload
	 * begins. They lie from `skip` to `length`; these and the place count from `start`. Undefined for those that are
	 * not there; EINVAL where a payload is too short.
	 */
	export function attributeValues(
		bytes: Uint8Array,
		start: number,
		skip: number,
		length: number,
		wanted: Uint8Array,
	): (number | string | undefined)[];
	/**
	 * The same of the message whose header is at `at` and of those after it that have its type, flags, sequence
	 * number and family: for each where its fixed struct begins in `bytes`, then its values; and at the end of the
	 * list where the next header is.
	 */
	export function attributeRows(
		bytes: Uint8Array,
		at: number,
		skip: number,
		wanted: Uint8Array,
	): (number | string | undefined)[];

	// --- files. `flags`, `mode`, `whence` are the numbers of fcntl.h; `dir` is a directory descriptor or AT_FDCWD
	// (-100).
	export interface FileStatus {
		readonly dev: number;
		readonly ino: number;
		readonly mode: number;
		readonly size: number;
		readonly mtimeMs: number;
		readonly ctimeMs: number;
	}
	export function openat(dir: number, path: string, flags: number, mode: number): number;
	export function close(fd: number): void;
	// Reads and writes wait for stdin and stdout where they are non-blocking.
	/** At most `max` bytes; an empty array is end of file. */
	export function read(fd: number, max: number): Uint8Array;
	/** Reads up to end of file; more than `max` bytes: EFBIG. */
	export function readAll(fd: number, max: number): Uint8Array;
	/**
	 * Opens, reads to end of file and closes, and never waits. More than `max` bytes: EFBIG; a FIFO or a socket:
	 * ENXIO.
	 */
	export function readFile(path: string, max: number): Uint8Array;
	/**
	 * The same; undefined where there is no such file (ENOENT, ENOTDIR), for a fraction of what an exception costs.
	 */
	export function readFileIfPresent(path: string, max: number): Uint8Array | undefined;
	/** Writes all of it (loops over short writes). */
	export function write(fd: number, data: Uint8Array | string): void;
	/** How many columns the terminal behind `fd` has; 0 for what is no terminal. */
	export function terminalColumns(fd: number): number;
	export function fsync(fd: number): void;
	export function fchmod(fd: number, mode: number): void;
	export function fstat(fd: number): FileStatus;
	/** SHA-256 of a file's content, in hexadecimal. */
	export function sha256(path: string): string;
	/** Undefined where there is nothing (ENOENT, ENOTDIR). */
	export function statat(dir: number, path: string, followLinks: boolean): FileStatus | undefined;
	/** Whether two open files, or files at a path, are one; false where there is none at a path (ENOENT, ENOTDIR). */
	export function isSameFile(first: number | string, second: number | string): boolean;
	/**
	 * Sets the time of the last change of a file or directory, whole milliseconds; the time of the last access stays.
	 */
	export function setModified(dir: number, path: string, mtimeMs: number): void;
	export function renameat(fromDir: number, from: string, toDir: number, to: string): void;
	/** Never replaces a file: false where `to` is there (renameat2(2), RENAME_NOREPLACE). */
	export function renameNew(fromDir: number, from: string, toDir: number, to: string): boolean;
	export function linkat(fromDir: number, from: string, toDir: number, to: string): void;
	/**
	 * Gives the open file `fd` another name, if it has one still (ENOENT). False where `path` is there: it is never
	 * replaced.
	 */
	export function linkFd(fd: number, dir: number, path: string): boolean;
	/** False where there was nothing (ENOENT). */
	export function unlinkat(dir: number, path: string, flags: number): boolean;
	export function mkdirat(dir: number, path: string, mode: number): void;
	export function readlinkat(dir: number, path: string): string;
	/** The same; undefined where there is none (ENOENT, ENOTDIR). */
	export function readlinkIfPresent(dir: number, path: string): string | undefined;
	/** Names without "." and "..", in the kernel's order. */
	export function readDirectory(path: string): string[];
	/** The same; undefined where there is no such directory (ENOENT, ENOTDIR). */
	export function readDirectoryIfPresent(path: string): string[] | undefined;
	/** `statfs(2)` f_type, e.g. NSFS_MAGIC 0x6e736673. */
	export function fileSystemType(fd: number): number;
	/**
	 * Blocking flock(2) that gives up after `deadlineMs` (a timer interrupts the wait, so that we queue in the kernel
	 * like everyone else instead of polling). `deadlineMs` 0 tries once. False: not had within the deadline.
	 */
	export function flock(fd: number, operation: number, deadlineMs: number): boolean;

	// --- namespaces
	/** setns(2) of this (only) thread. */
	export function setns(fd: number, kind: number): void;
	export function unshare(flags: number): void;

	// --- sockets. Addresses are raw `struct sockaddr_*` bytes, built by the caller.
	export function socket(domain: number, type: number, protocol: number): number;
	export function bind(fd: number, address: Uint8Array): void;
	export function connect(fd: number, address: Uint8Array): void;
	export function listen(fd: number, backlog: number): void;
	export function accept(fd: number): number;
	export function send(fd: number, data: Uint8Array, flags: number): number;
	export function sendTo(fd: number, data: Uint8Array, flags: number, address: Uint8Array): number;
	/** One datagram. With MSG_TRUNC in `flags`, `length` is its real length, which may exceed `data.length`. */
	export function receive(
		fd: number,
		max: number,
		flags: number,
	): { data: Uint8Array; length: number; address: Uint8Array };
	export function setSocketOption(fd: number, level: number, option: number, value: Uint8Array | number): void;
	/**
	 * SO_ATTACH_FILTER: `program` is an array of `struct sock_filter` (linux/filter.h), 8 bytes each, in the host's
	 * byte order.
	 */
	export function attachFilter(fd: number, program: Uint8Array): void;
	export function getSocketOption(fd: number, level: number, option: number, max: number): Uint8Array;
	export function socketName(fd: number): Uint8Array;
	/** poll(2): returns revents per entry; all zero on time-out. `timeoutMs` -1 waits for ever. */
	export function poll(entries: { fd: number; events: number }[], timeoutMs: number): number[];

	// --- TLS of a client (1.2 and 1.3) over a connected socket, which stays the caller's; it need not be
	// non-blocking. What takes longer than `deadlineMs` in all ends with ETIMEDOUT; a connection that ends before the
	// session does, with ECONNRESET. A server's certificate that is refused is EKEYREJECTED, what else is wrong with
	// TLS EPROTO, and what is wrong with our own texts EINVAL; the messages of these are sentences that go on after
	// the server's name ("its certificate ..."). After an error, only `tlsClose` is left.
	/**
	 * Shakes hands, and returns the session's number. `name`, a DNS name or an IP address, must be one that the
	 * server's certificate is for; `ca` has the certificates (PEM) of which one must have signed it. `certificate`
	 * and `key` are PEM, or "" both.
	 */
	export function tlsOpen(
		fd: number,
		name: string,
		ca: string,
		certificate: string,
		key: string,
		deadlineMs: number,
	): number;
	/** All of it. */
	export function tlsWrite(session: number, data: Uint8Array, deadlineMs: number): void;
	/** What has come, at most `max` bytes (up to 1 MiB), at least one; none: the server has ended the session. */
	export function tlsRead(session: number, max: number, deadlineMs: number): Uint8Array;
	/** Tells the server, without waiting. */
	export function tlsClose(session: number): void;

	// --- signals
	/** Blocks these signals for good; the descriptor (signalfd(2)) is readable once one of them has come. */
	export function signalFd(signals: number[]): number;

	// --- processes
	export interface SpawnOptions {
		readonly path: string;
		/** argv, argv[0] included. */
		readonly args: string[];
		/** Variables that differ from our own; the others go to the child to the byte. */
		readonly variables: Record<string, string>;
		readonly stdin: Uint8Array;
		/** Time for the child to close stdout and end; then it is killed (SIGKILL) and `timedOut` is set. */
		readonly deadlineMs: number;
		/** More on stdout than this: killed, EFBIG. */
		readonly maxOutput: number;
	}
	/**
	 * Runs a program to its end: stdin given, stdout captured, stderr passed through. The kernel kills it when we are
	 * killed. Throws when it cannot be started.
	 */
	export function spawn(options: SpawnOptions): {
		status: number | null;
		signal: number | null;
		stdout: Uint8Array;
		timedOut: boolean;
	};
	/**
	 * Starts this executable anew with these arguments, argv[0] included, as a process of its own: in a session of its
	 * own, with nothing on its standard descriptors. Nobody waits for it.
	 */
	export function detach(args: string[]): void;
}
