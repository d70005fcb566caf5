/**
 * Puts this executable into a directory of plugins. Every name has at any moment its old file or its new one, whole;
 * whoever is killed leaves temporary files at most, which the next one takes.
 */
import { attempt, throwTogether } from "../../lib/cni/failures.ts";
import { quote } from "../../lib/cni/quote.ts";
import * as files from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";
import { Executables, type Found, OWN_FILE } from "./executable.ts";
import { type InstallChoice, isLeftToOthers, type Target } from "./flags.ts";

/** Another installer may be at work: the pod of the version before. */
const LOCK_DEADLINE_MS = 30_000;
const PIECE = 1 << 20;

export interface Outcome {
	readonly target: Target;
	readonly outcome: "equal" | "installed" | "replaced" | "left alone" | "not asked for";
	/** What was there before, or is still. */
	readonly was: string;
}

/**
 * Throws an Error, and has changed nothing, where a foreign file would have to be replaced. What fails for one plugin
 * keeps no other one away.
 */
export function installFiles(choice: InstallChoice, executables: Executables): Outcome[] {
	files.makeDirectories(choice.directory, 0o755);
	return withLock(choice.directory, (directory) => {
		const found = examine(choice, executables);
		refuseForeign(found, choice);
		for (const { target } of found) removeTemporaries(target.path);
		if (found.some((each) => isToBePut(each, choice))) prepare(found[0]!, choice);
		const [berth, ...plugins] = found;
		// Without it there is nothing to link to.
		const outcomes = [put(berth!, choice)];
		const failures: unknown[] = [];
		for (const each of plugins) attempt(failures, () => outcomes.push(put(each, choice)));
		sys.fsync(directory);
		throwTogether(failures);
		return outcomes;
	});
}

/**
 * Other versions in the directory that an installation passes by, since nobody asks for them: of a -rename or a plugin
 * that was dropped. A network may still name them.
 */
export function notAskedFor({ directory, targets }: InstallChoice, executables: Executables): Outcome[] {
	const names = files.listIfPresent(directory) ?? [];
	return names.flatMap((name): Outcome[] => {
		const target = { applet: "", name, path: `${directory}/${name}` };
		if (targets.some(({ path }) => path === target.path)) return [];
		const found = executables.at(target.path);
		return found.kind === "berth" && found.version !== ""
			? [{ target, outcome: "not asked for", was: describe(found) }]
			: [];
	});
}

interface FoundTarget {
	readonly target: Target;
	readonly found: Found;
}

/**
 * Others write into the file that is there: cp -f, as in the images of sriov-cni, rdma-cni and whereabouts. It would be
 * written into all names that are links to it, so those which they have, too (-replace), are files of their own.
 */
function examine({ targets, replace }: InstallChoice, executables: Executables): FoundTarget[] {
	const [berth, ...plugins] = targets.map((target) => ({ target, found: executables.at(target.path) }));
	const isLink = ({ found }: FoundTarget): boolean => found === berth!.found;
	// Nobody else has a file that is called berth and like a plugin: it is Berth's, written into.
	const isDamaged = berth!.found.kind === "foreign" && plugins.some(isLink);
	return [berth!, ...plugins].map((each): FoundTarget => {
		const { target, found } = each;
		if (isDamaged && isLink(each)) return { target, found: { kind: "berth", sha256: "", version: "" } };
		const isToPart = isLink(each) && target.applet !== "berth" && replace.has(target.applet);
		return isToPart && found.kind === "equal" ? { target, found: { ...found, kind: "berth" } } : each;
	});
}

function refuseForeign(all: readonly FoundTarget[], choice: InstallChoice): void {
	const refused = all.flatMap(({ target, found }) => {
		if (found.kind !== "foreign" || (found.isFile && choice.replace.has(target.applet))) return [];
		return isLeftToOthers(target, choice) ? [] : [`${target.path} (${found.what})`];
	});
	if (refused.length === 0) return;
	throw new Error(
		`these are not Berth's, and nothing was changed: ${refused.join(", ")}. ` +
			"-replace=NAMES puts Berth in their place and keeps them as NAME.prev, -keep-foreign leaves them, " +
			"-rename NAME=NEW goes beside them, -only NAMES installs others",
	);
}

const isToBePut = ({ target: { applet }, found }: FoundTarget, { replace }: InstallChoice): boolean =>
	found.kind === "absent" || found.kind === "berth" || (found.kind === "foreign" && replace.has(applet));

function put(each: FoundTarget, choice: InstallChoice): Outcome {
	const { target, found } = each;
	const was = describe(found);
	if (found.kind === "equal") return { target, outcome: "equal", was };
	if (!isToBePut(each, choice)) return { target, outcome: "left alone", was };
	const temporary = files.temporaryOf(target.path);
	if (found.kind === "foreign") keep(target.path);
	// The first of the targets is berth itself, which is prepared, and which others are links to.
	if (target.applet !== "berth") {
		const isLink = !choice.replace.has(target.applet) && linked(choice.targets[0]!.path, temporary);
		if (!isLink) copy(OWN_FILE, temporary);
	}
	putInPlace(target.path, temporary);
	return { target, outcome: found.kind === "absent" ? "installed" : "replaced", was };
}

export function describe(found: Found): string {
	if (found.kind === "absent") return "";
	if (found.kind === "foreign") return found.what;
	return found.version === "" ? "a damaged file" : `Berth ${found.version}`;
}

/** What an uninstallation puts back. */
const previousOf = (path: string): string => `${path}.prev`;

/** The newest of what others have put there counts. */
function keep(path: string): void {
	const temporary = files.temporaryOf(previousOf(path));
	if (!linked(path, temporary)) copy(path, temporary);
	putInPlace(previousOf(path), temporary);
}

/** False on a file system that has no hard links, or for a file that has as many as it takes. */
function linked(path: string, name: string): boolean {
	const link = (): void => sys.linkat(sys.AT_FDCWD, path, sys.AT_FDCWD, name);
	return sys.failureOf(link, "EPERM", "EXDEV", "EMLINK", "EOPNOTSUPP", "ENOSYS") === undefined;
}

/** In the directory where it stays: so it gets the security label (SELinux) of that. */
function copy(from: string, to: string): void {
	const source = sys.openat(sys.AT_FDCWD, from, sys.O_RDONLY, 0);
	try {
		const copied = sys.openat(sys.AT_FDCWD, to, sys.O_WRONLY | sys.O_CREAT | sys.O_EXCL, 0o700);
		try {
			for (let piece = sys.read(source, PIECE); piece.length > 0; piece = sys.read(source, PIECE)) {
				sys.write(copied, piece);
			}
			sys.fchmod(copied, 0o755);
			sys.fsync(copied);
		} finally {
			sys.close(copied);
		}
	} catch (error) {
		files.removeIfPresent(to);
		throw error;
	} finally {
		sys.discard(source);
	}
}

/**
 * Makes the file that becomes `berth`, and runs it before anything has its place: the directory may be one that nothing
 * can be run in (noexec), or the file may have come out wrong.
 */
function prepare(berth: FoundTarget, choice: InstallChoice): void {
	const { target } = berth;
	const isNew = isToBePut(berth, choice);
	const path = isNew ? files.temporaryOf(target.path) : target.path;
	if (isNew) copy(OWN_FILE, path);
	const failure = failureOf(path, "static");
	if (failure === undefined) return;
	if (isNew) files.removeIfPresent(path);
	throw new Error(`Berth does not run in ${choice.directory}: ${failure}; nothing was changed`);
}

/** What is wrong with an executable that is called by the name of a plugin and asked for VERSION. */
export function failureOf(path: string, name: string): string | undefined {
	try {
		const { status, signal, stdout, timedOut } = sys.spawn({
			path,
			args: [name],
			variables: { CNI_COMMAND: "VERSION" },
			stdin: new Uint8Array(0),
			deadlineMs: 10_000,
			maxOutput: PIECE,
		});
		if (timedOut) return "no answer to VERSION within 10 s";
		if (signal !== null) return `killed by signal ${signal}`;
		if (status !== 0) return `VERSION ends with ${status}: ${quote(sys.decodeUtf8(stdout))}`;
		return sys.decodeUtf8(stdout).includes('"supportedVersions"')
			? undefined
			: "its answer to VERSION is no such thing";
	} catch (error) {
		if (sys.isSystemError(error)) return error.message;
		throw error;
	}
}

/** Removes what is ours and puts back what it had replaced. */
export function uninstallFiles(directory: string, targets: readonly Target[]): Removal[] {
	if (files.statIfPresent(directory) === undefined) {
		return targets.map((target) => ({ target, outcome: "absent", is: "" }));
	}
	return withLock(directory, (fd) => {
		const executables = new Executables();
		const removals: Removal[] = [];
		const failures: unknown[] = [];
		// Berth itself goes last: it is what can be called again.
		for (const target of [...targets].reverse()) attempt(failures, () => removals.push(remove(target, executables)));
		sys.fsync(fd);
		throwTogether(failures);
		return removals;
	});
}

function remove(target: Target, executables: Executables): Removal {
	removeTemporaries(target.path);
	const found = executables.at(target.path);
	if (found.kind === "foreign") return { target, outcome: "left alone", is: found.what };
	const previous = executables.at(previousOf(target.path));
	if (previous.kind === "foreign" && previous.isFile) {
		sys.renameat(sys.AT_FDCWD, previousOf(target.path), sys.AT_FDCWD, target.path);
		return { target, outcome: "put back", is: describe(executables.at(target.path)) };
	}
	if (found.kind === "absent") return { target, outcome: "absent", is: "" };
	files.removeIfPresent(target.path);
	return { target, outcome: "removed", is: "" };
}

export interface Removal {
	readonly target: Target;
	readonly outcome: "removed" | "put back" | "left alone" | "absent";
	readonly is: string;
}

function putInPlace(path: string, temporary: string): void {
	try {
		sys.renameat(sys.AT_FDCWD, temporary, sys.AT_FDCWD, path);
	} finally {
		// rename(2) does nothing where both are names of one file.
		files.removeIfPresent(temporary);
	}
}

function removeTemporaries(path: string): void {
	for (const each of [path, previousOf(path)]) files.removeTemporary(each);
}

/** The lock is the directory's own: there is no file of it. */
function withLock<T>(directory: string, work: (fd: number) => T): T {
	const fd = sys.openat(sys.AT_FDCWD, directory, sys.O_RDONLY, 0);
	try {
		if (!sys.flock(fd, sys.LOCK_EX, LOCK_DEADLINE_MS)) {
			throw new Error(`another berth install or uninstall has been at work in ${directory} for 30 s`);
		}
		return work(fd);
	} finally {
		sys.discard(fd);
	}
}
