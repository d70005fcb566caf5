/**
 * Go programs that the tests run: pinned in a directory's go.mod, built once into the cache, static, so that they run
 * in the guest and in empty directories too.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";

interface GoTools {
	/** With go.mod and go.sum. */
	readonly directory: string;
	/** Of the cache's directory. */
	readonly name: string;
	/** What the linker is told (`-X package.variable=value`). */
	readonly linkerFlags: readonly string[];
}

/** Arguments: directory, flags of the linker, packages. */
const SCRIPT = `set -eu
directory=$1 flags=$2
shift 2
mkdir -p "$directory"
for package in "$@"; do
	name=\${package##*/}
	[ ! -e "$directory/$name" ] || continue
	go build -trimpath -ldflags "$flags" -o "$directory/.$name.new" "$package"
	mv "$directory/.$name.new" "$directory/$name"
done`;

/** The packages' executables are in the directory that it resolves to. Two processes at once: the second waits. */
export async function buildGoTools(tools: GoTools, packages: readonly string[]): Promise<string> {
	const flags = ["-s", "-w", ...tools.linkerFlags].join(" ");
	const hash = createHash("sha256").update(SCRIPT).update(flags);
	// Programs of the directory's own are "./NAME".
	const own = packages.filter((path) => path.startsWith("./"));
	const sources = own.flatMap((path) => globSync(`${path}/*.go`, { cwd: tools.directory })).sort();
	for (const file of ["go.mod", "go.sum", ...sources]) {
		hash.update(readFileSync(join(tools.directory, file)));
	}
	const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "berth", tools.name);
	const directory = join(cache, hash.digest("hex").slice(0, 12));
	if (!packages.every((path) => existsSync(join(directory, basename(path))))) {
		mkdirSync(cache, { recursive: true });
		const command = ["--exclusive", `${directory}.lock`, "sh", "-c", SCRIPT, "sh", directory, flags, ...packages];
		const options = { cwd: tools.directory, env: { ...process.env, CGO_ENABLED: "0" } };
		try {
			await promisify(execFile)("flock", command, options);
		} catch (error) {
			throw new Error(`building ${tools.name} failed:\n${(error as { stderr?: string }).stderr ?? error}`);
		}
	}
	return directory;
}
