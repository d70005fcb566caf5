/**
 * The Rust host with the embedded module and its heap image: compiled by cargo, put in place under all of its names.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
	existsSync,
	globSync,
	linkSync,
	mkdirSync,
	mkdtempDisposableSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { addBytecode, addImage, type Sample } from "./image.ts";

/**
 * Runs a program to its end; throws a sentence when it cannot be run or fails, in which `what` stands for the command.
 * Returns stdout when `capture` is set.
 */
export function run(
	program: string,
	args: string[],
	options: { cwd: string; environment?: NodeJS.ProcessEnv; capture?: boolean; what?: string },
): string {
	const result = spawnSync(program, args, {
		cwd: options.cwd,
		env: { ...process.env, ...options.environment },
		stdio: ["ignore", options.capture ? "pipe" : "inherit", "inherit"],
		encoding: "utf8",
	});
	const reason = result.error as NodeJS.ErrnoException | undefined;
	if (reason?.code === "ENOENT") throw new Error(`${program} is not installed (or not in PATH)`);
	if (reason) throw reason;
	if (result.status !== 0) {
		const what = options.what ?? `${program} ${args[0]}`;
		throw new Error(`${what} failed (${result.signal ?? `exit status ${result.status}`})`);
	}
	return result.stdout ?? "";
}

/**
 * What is built for the machine that builds, such as x86_64-unknown-linux-musl; x86_64-unknown-linux-gnu where musl-gcc
 * (Debian: musl-tools) or Rust's standard library for musl (`rustup target add`) is missing. Both are linked statically
 * and do the same, but in a virtual machine glibc's start-up code alone takes 0.2 ms: each of its 43 CPUID instructions
 * is a trip to the hypervisor.
 */
export function hostTarget(root: string): string {
	const host = /^host: (.+)$/m.exec(run("rustc", ["-vV"], { cwd: root, capture: true }))?.[1];
	if (!host) throw new Error("rustc -vV names no host");
	const musl = host.replace(/-gnu$/, "-musl");
	const library = run("rustc", ["--print", "target-libdir", "--target", musl], { cwd: root, capture: true }).trim();
	const hasCompiler = spawnSync("musl-gcc", ["--version"], { stdio: "ignore" }).status === 0;
	return hasCompiler && existsSync(library) ? musl : host;
}

/** Where cargo keeps what it built; shared by all checkouts, and nothing breaks when it is removed. */
export function cargoDirectory(): string {
	return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "berth/cargo");
}

interface HostOptions {
	/** What the image is laid out for. */
	readonly samples?: readonly Sample[];
	/** Leave the image out: the executable evaluates the module at each start. */
	readonly bytecode?: boolean;
}

/**
 * Compiles the host around the module in the directory `modules`, puts the image into it, and the executable at `path`.
 * Returns whether it has an image: one for another machine, which nothing here can run, has none.
 */
export function compileHost(
	root: string,
	target: string,
	modules: string,
	path: string,
	{ samples = [], bytecode = false }: HostOptions = {},
): boolean {
	const directory = cargoDirectory();
	mkdirSync(directory, { recursive: true });
	const cargo = ["build", "--release", "--locked", "--quiet", "--target", target, ...withoutPaths(target)];
	// cargo has one place for the result of every build (of other checkouts, or of the tests): it is ours until it is
	// copied. It goes by the times of files, so a checkout whose files are older than another's build would get that
	// one's executable.
	const script = `module=$1 bytecode=$2 built=$3 path=$4 stamp=$5 sources=$6; shift 6
[ "$(cat "$stamp" 2>/dev/null)" = "$sources" ] || { rm -f "$stamp" && touch build.rs src/*.rs */src/*.rs || exit; }
cargo build --quiet --locked --package compiler && "$CARGO_TARGET_DIR/debug/compiler" "$module" "$bytecode" &&
	cargo "$@" && cp "$built" "$path" && echo "$sources" >"$stamp"`;
	const built = join(directory, target, "release/berth");
	const stamp = join(directory, `.${target}.sources`);
	using made = mkdtempDisposableSync(`${path}.parts-`);
	const part = (name: string) => join(made.path, name);
	const [code, linked, plain] = [part("bytecode"), part("linked"), part("plain")] as const;
	const words = [join(modules, "berth.js"), code, built, linked, stamp, hostFingerprint(root), ...cargo];
	run("flock", [join(directory, ".berth.lock"), "sh", "-c", script, "sh", ...words], {
		// cargo reads .cargo/config.toml of the directory that it is started in.
		cwd: join(root, "runtime"),
		environment: { ...compilers(target), CARGO_TARGET_DIR: directory },
		what: "cargo build",
	});
	addBytecode(linked, readFileSync(code), plain);
	const emulator = bytecode ? undefined : emulatorOf(target);
	if (emulator === undefined) renameSync(plain, path);
	else addImage(linked, plain, path, samples, emulator);
	return emulator !== undefined;
}

/**
 * Panics name files: those of the registry without this machine's directory, so that every build gives the same bytes.
 * Ours are relative.
 */
function withoutPaths(target: string): string[] {
	const home = process.env.CARGO_HOME || join(homedir(), ".cargo");
	const flags = [`--remap-path-prefix=${home}=/cargo`];
	// Added to those of .cargo/config.toml, which the variable RUSTFLAGS would replace.
	return ["--config", `target.${target}.rustflags=${JSON.stringify(flags)}`];
}

/**
 * What runs an executable for `target` here: nothing where it is our own machine, QEMU's user mode for another.
 * Undefined: nothing can.
 */
function emulatorOf(target: string): string[] | undefined {
	const [machine = ""] = target.split("-");
	if (machine === ownMachine()) return [];
	const emulator = `qemu-${machine}-static`;
	return spawnSync(emulator, ["--version"], { stdio: "ignore" }).status === 0 ? [emulator] : undefined;
}

const ownMachine = (): string | undefined => ({ x64: "x86_64", arm64: "aarch64" })[process.arch as string];

/** Tells the host's sources from those of another checkout. */
export function hostFingerprint(root: string): string {
	const sources = globSync(["{,arena/,compiler/}{,src/**/}*.rs", "{,arena/,compiler/}Cargo.*", ".cargo/*", "*.ld"], {
		cwd: join(root, "runtime"),
	});
	const hash = createHash("sha256");
	for (const file of sources.sort()) hash.update(`${file}\0`).update(readFileSync(join(root, "runtime", file)));
	return hash.digest("hex");
}

/**
 * For musl: its compiler under its Debian name. For another machine: the cross linker, likewise. Unless the caller
 * chose one.
 */
function compilers(target: string): NodeJS.ProcessEnv {
	const [machine] = target.split("-");
	const name = target.replaceAll("-", "_");
	const unlessChosen = (variable: string, program: string) => (process.env[variable] ? {} : { [variable]: program });
	if (machine !== ownMachine()) {
		return unlessChosen(`CARGO_TARGET_${name.toUpperCase()}_LINKER`, `${machine}-linux-gnu-gcc`);
	}
	// On x86-64 the build finds it by itself.
	return target.endsWith("-musl") && machine !== "x86_64" ? unlessChosen(`CC_${name}`, "musl-gcc") : {};
}

/**
 * Gives the executable `made` in `directory` the name berth and a hard link for each applet; removes what else is
 * there.
 */
export function install(made: string, directory: string, applets: readonly string[]): void {
	const names = ["berth", ...applets];
	for (const name of names) {
		// A new file under the old name: whoever runs the old one keeps it.
		const link = join(directory, `.${name}.${process.pid}.link`);
		linkSync(made, link);
		renameSync(link, join(directory, name));
	}
	rmSync(made);
	for (const name of readdirSync(directory)) {
		if (!names.includes(name)) rmSync(join(directory, name), { recursive: true });
	}
}
