/**
 * "native:sys" by Node's means, for fuzzing in this process: files for real, in a directory that looks like "/" and
 * that no path leads out of. One process at a time: a lock is had at once.
 */
import * as fs from "node:fs";
import { constants } from "node:os";
import { posix } from "node:path";

export * from "../lab/native-sys.ts";

let root = "/nonexistent";
/** Sets the directory that paths are looked up in. */
export function setRoot(directory: string): void {
	root = directory;
}

const within = (path: string): string => root + posix.normalize(`/${path}`);

/** Runs `work`; what it throws gets the form of the host's errors. */
function attempt<T>(call: string, path: string | undefined, work: () => T): T {
	try {
		if (path?.includes("\0")) throw Object.assign(new Error("invalid argument"), { code: "EINVAL" });
		return work();
	} catch (error) {
		const { code = "EIO" } = error as NodeJS.ErrnoException;
		const errno = constants.errno[code as keyof typeof constants.errno];
		if (errno === undefined) throw error;
		const message = `${call} ${path ?? ""}: ${code}`;
		throw Object.assign(new Error(message), { errno, code, call, ...(path !== undefined && { path }) });
	}
}

/** Of this process; what a call is given goes another way. */
export const variable = (_name: string): string | undefined => undefined;
export const openat = (_: number, path: string, flags: number, mode: number): number =>
	attempt("openat", path, () => fs.openSync(within(path), flags, mode));
export const close = (fd: number): void => attempt("close", undefined, () => fs.closeSync(fd));
/** What goes to stderr is not looked at. */
export const write = (fd: number, data: Uint8Array | string): void =>
	attempt(
		"write",
		undefined,
		() => void (fd !== 2 && fs.writeSync(fd, typeof data === "string" ? Buffer.from(data) : data)),
	);
export const fsync = (): void => {};
export const terminalColumns = (): number => 0;
export const fstat = (fd: number) => attempt("fstat", undefined, () => fs.fstatSync(fd));
export const readFile = (path: string, max: number): Uint8Array =>
	attempt("open", path, () => {
		const bytes = fs.readFileSync(within(path));
		if (bytes.length > max) throw Object.assign(new Error("too large"), { code: "EFBIG" });
		return bytes;
	});
export const readFileIfPresent = (path: string, max: number): Uint8Array | undefined =>
	fs.existsSync(within(path)) ? readFile(path, max) : undefined;
export const statat = (_: number, path: string, follow: boolean) =>
	attempt("statat", path, () => (follow ? fs.statSync : fs.lstatSync)(within(path), { throwIfNoEntry: false }));
export const isSameFile = (...files: [number | string, number | string]): boolean => {
	const [first, second] = files.map((file) => (typeof file === "string" ? statat(0, file, true) : fstat(file)));
	return first !== undefined && first.dev === second?.dev && first.ino === second.ino;
};
export const setModified = (_: number, path: string, mtimeMs: number): void =>
	attempt("utimensat", path, () => fs.utimesSync(within(path), new Date(), new Date(mtimeMs)));
export const renameat = (_: number, from: string, __: number, to: string): void =>
	attempt("renameat", from, () => fs.renameSync(within(from), within(to)));
export const renameNew = (_: number, from: string, __: number, to: string): boolean =>
	attempt("renameat2", from, () => {
		if (fs.existsSync(within(to))) return false;
		fs.renameSync(within(from), within(to));
		return true;
	});
export const linkFd = (fd: number, _: number, path: string): boolean =>
	attempt("linkat", path, () => {
		if (fs.existsSync(within(path))) return false;
		fs.linkSync(`/proc/self/fd/${fd}`, within(path));
		return true;
	});
export const unlinkat = (_: number, path: string, flags: number): boolean =>
	attempt("unlinkat", path, () => {
		if (fs.lstatSync(within(path), { throwIfNoEntry: false }) === undefined) return false;
		(flags === 0 ? fs.unlinkSync : fs.rmdirSync)(within(path));
		return true;
	});
export const mkdirat = (_: number, path: string, mode: number): void =>
	attempt("mkdirat", path, () => void fs.mkdirSync(within(path), mode));
export const readDirectory = (path: string): string[] => attempt("open", path, () => fs.readdirSync(within(path)));
export const readDirectoryIfPresent = (path: string): string[] | undefined =>
	fs.existsSync(within(path)) ? readDirectory(path) : undefined;
export const flock = (): boolean => true;
