/**
 * The Rust host with embedded modules: compiled by cargo, put in place under all of its names.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Runs a program to its end; throws a sentence when it cannot be run or fails. Returns stdout when `capture` is set. */
export function run(
	program: string,
	args: string[],
	options: { cwd: string; environment?: NodeJS.ProcessEnv; capture?: boolean },
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
		throw new Error(`${program} ${args[0]} failed (${result.signal ?? `exit status ${result.status}`})`);
	}
	return result.stdout ?? "";
}

/** The triple of the machine that builds, such as x86_64-unknown-linux-gnu. */
export function hostTarget(root: string): string {
	const host = /^host: (.+)$/m.exec(run("rustc", ["-vV"], { cwd: root, capture: true }))?.[1];
	if (!host) throw new Error("rustc -vV names no host");
	return host;
}

/** Where cargo keeps what it built; shared by all checkouts, and nothing breaks when it is removed. */
export function cargoFolder(): string {
	return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "berth/cargo");
}

/**
 * Compiles the host around the modules in `modules` and returns the path of the executable, which the next build replaces.
 * `features`: see runtime/Cargo.toml.
 */
export function compileHost(root: string, target: string, modules: string, features: string[] = []): string {
	const args = ["build", "--release", "--locked", "--quiet", "--target", target];
	if (features.length > 0) args.push("--features", features.join(","));
	run("cargo", args, {
		// cargo reads .cargo/config.toml of the folder that it is started in.
		cwd: join(root, "runtime"),
		environment: { BERTH_MODULES: modules, CARGO_TARGET_DIR: cargoFolder() },
	});
	return join(cargoFolder(), target, "release/berth");
}

/** Puts the executable at `folder`/berth with a hard link for each applet, and removes what else is there. */
export function install(executable: string, folder: string, applets: string[]): void {
	mkdirSync(folder, { recursive: true });
	const copy = join(folder, `.berth.${process.pid}`);
	copyFileSync(executable, copy);
	chmodSync(copy, 0o755);
	const names = ["berth", ...applets];
	for (const name of names) {
		// A new file under the old name: whoever runs the old one keeps it.
		const link = join(folder, `.${name}.${process.pid}.link`);
		linkSync(copy, link);
		renameSync(link, join(folder, name));
	}
	rmSync(copy);
	for (const name of readdirSync(folder)) {
		if (!names.includes(name)) rmSync(join(folder, name), { recursive: true });
	}
}
