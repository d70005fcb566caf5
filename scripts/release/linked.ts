/**
 * What is linked into the executable: packages of npm, crates, and what comes with compilers, each with version,
 * licence, and the checksum that a lock file has.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { run } from "../build/host.ts";

/** A part of the executable that others have made. */
export interface Part {
	readonly name: string;
	readonly version: string;
	/** An expression of SPDX. */
	readonly licence: string;
	/** https://github.com/package-url/purl-spec */
	readonly purl: string;
	readonly description?: string;
	readonly checksum?: { readonly algorithm: "SHA-256" | "SHA-512"; readonly hex: string };
	/** Whether it is used by our own code. */
	readonly isDirect: boolean;
	/** Purls of what it uses itself. */
	readonly uses: readonly string[];
	/** Where its licence's text is, and its authors' names; undefined for what compilers bring along without. */
	readonly directory?: string;
}

const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8"));

/** The packages that `files` (paths from the root, of those that esbuild has put into the module) belong to. */
export function npmPackages(root: string, files: readonly string[]): Part[] {
	const names = files.flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []);
	const locked: Record<string, { version: string; integrity: string; license: string } | undefined> = readJson(
		join(root, "package-lock.json"),
	).packages;
	return [...new Set(names)].map((name) => {
		const entry = locked[`node_modules/${name}`];
		const [, hash] = /^sha512-(\S+)$/.exec(entry?.integrity ?? "") ?? [];
		if (entry === undefined || hash === undefined) throw new Error(`package-lock.json has no checksum of ${name}`);
		return {
			name,
			version: entry.version,
			licence: entry.license,
			purl: `pkg:npm/${name.replace("@", "%40")}@${entry.version}`,
			checksum: { algorithm: "SHA-512", hex: Buffer.from(hash, "base64").toString("hex") },
			isDirect: true,
			uses: [],
			directory: join(root, "node_modules", name),
		};
	});
}

/** The crates that are linked for `target`, and the engine inside of one of them. */
export function crates(root: string, target: string): Part[] {
	const cwd = join(root, "runtime");
	const options = `--locked --target ${target} --edges normal,no-proc-macro --prefix depth --no-dedupe`;
	const tree = run("cargo", ["tree", ...options.split(" "), "--format", "{p}|{l}"], { cwd, capture: true });
	const checksums = lockedChecksums(readFileSync(join(cwd, "Cargo.lock"), "utf8"));
	const found = new Map<string, { part: Omit<Part, "isDirect" | "uses">; uses: Set<string> }>();
	const direct = new Set<string>();
	// What the crate at each depth uses, from the root to the line before; ours count as one.
	const above: Set<string>[] = [];
	for (const line of tree.trimEnd().split("\n")) {
		const [, depth, name, version, own, licence] = /^(\d+)(\S+) v(\S+)( \(.*\))?\|(.*)$/.exec(line) ?? [];
		if (name === undefined || version === undefined) throw new Error(`cargo tree says ${line}`);
		above.length = Number(depth);
		if (own !== undefined) {
			above.push(direct);
			continue;
		}
		const purl = `pkg:cargo/${name}@${version}`;
		const hex = checksums.get(`${name} ${version}`);
		if (hex === undefined) throw new Error(`Cargo.lock has no checksum of ${name} ${version}`);
		const checksum = { algorithm: "SHA-256", hex } as const;
		// Older crates write "MIT/Apache-2.0".
		const part = { name, version, licence: licence!.replaceAll("/", " OR "), purl, checksum };
		const known = found.get(purl) ?? { part, uses: new Set<string>() };
		found.set(purl, known);
		above.at(-1)?.add(purl);
		above.push(known.uses);
	}
	const directories = crateDirectories(cwd);
	const linked = [...found.values()].map(({ part, uses }) => ({
		...part,
		isDirect: direct.has(part.purl),
		uses: [...uses].sort(),
		directory: directories.get(`${part.name} ${part.version}`)!,
	}));
	const wrapper = linked.find(({ name }) => name === "rquickjs-sys");
	if (wrapper === undefined) throw new Error("cargo tree has no rquickjs-sys");
	const engine = quickjs(join(wrapper.directory, "quickjs"));
	wrapper.uses.push(engine.purl);
	return [...linked, engine];
}

function lockedChecksums(lock: string): Map<string, string> {
	const entries = lock.matchAll(/^name = "(.+)"\nversion = "(.+)"\nsource = .*\nchecksum = "(.+)"$/gm);
	return new Map([...entries].map(([, name, version, checksum]) => [`${name} ${version}`, checksum!]));
}

/** Where cargo has the sources of a crate, by "NAME VERSION". */
function crateDirectories(cwd: string): Map<string, string> {
	const metadata: { packages: { name: string; version: string; manifest_path: string }[] } = JSON.parse(
		run("cargo", ["metadata", "--locked", "--format-version", "1"], { cwd, capture: true }),
	);
	return new Map(
		metadata.packages.map(({ name, version, manifest_path }) => [`${name} ${version}`, dirname(manifest_path)]),
	);
}

function quickjs(directory: string): Part {
	const header = readFileSync(join(directory, "quickjs.h"), "utf8");
	const version = ["MAJOR", "MINOR", "PATCH"]
		.map((part) => new RegExp(`^#define QJS_VERSION_${part} (\\d+)$`, "m").exec(header)?.[1])
		.join(".");
	return {
		name: "quickjs-ng",
		version,
		licence: "MIT",
		purl: `pkg:github/quickjs-ng/quickjs@v${version}`,
		description: "The JavaScript engine; its sources are in rquickjs-sys.",
		isDirect: false,
		uses: [],
		directory,
	};
}

/** What the compilers bring along: Rust's library and the C library. */
export function libraries(root: string, target: string): Part[] {
	const rustc = (...args: string[]) => run("rustc", args, { cwd: root, capture: true });
	const release = /^release: (\S+)$/m.exec(rustc("-vV"))?.[1];
	if (release === undefined) throw new Error("rustc -vV names no release");
	const generic = (name: string, version: string, licence: string, description: string): Part => ({
		name,
		version,
		licence,
		purl: `pkg:generic/${name}@${version}`,
		description,
		isDirect: true,
		uses: [],
	});
	const rust = generic("rust-std", release, "MIT OR Apache-2.0", "Rust's standard library, with what it is made of.");
	if (target.endsWith("-musl")) {
		const directory = join(rustc("--print", "target-libdir", "--target", target).trim(), "self-contained");
		return [
			rust,
			generic("musl", muslVersion(join(directory, "libc.a")), "MIT", "The C library, as Rust brings it along."),
		];
	}
	const gcc = `${target.split("-")[0]}-linux-gnu-gcc`;
	const archive = run(gcc, ["-print-file-name=libc.a"], { cwd: root, capture: true }).trim();
	const banner = /GNU C Library \(([^)]*)\) stable release version (\d+\.\d+)/.exec(readFileSync(archive, "latin1"));
	if (banner === null) throw new Error(`the libc.a of ${gcc} does not say which version it is`);
	return [rust, generic("glibc", banner[2]!, "LGPL-2.1-or-later", `The C library: ${banner[1]}.`)];
}

/** The archive has its version as a string of its own. */
function muslVersion(archive: string): string {
	const versions = new Set(
		[...readFileSync(archive, "latin1").matchAll(/\0(1\.\d+\.\d+)\0/g)].map(([, version]) => version!),
	);
	const [version, ...more] = versions;
	if (version === undefined || more.length > 0) throw new Error(`${archive} does not say which version of musl it is`);
	return version;
}
