/**
 * The Go plugins that ours must agree with, and `cnitool`, a client of the real libcni: pinned in test/tools/go.mod,
 * built once into the cache, static, so that they run in the guest and in empty directories too.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const peers = ["host-local", "static", "dhcp", "bridge", "macvlan", "sbr", "tuning", "vrf", "cnitool"] as const;
export type Peer = (typeof peers)[number];

const tools = fileURLToPath(new URL("../tools/", import.meta.url));

const goMod = readFileSync(join(tools, "go.mod"), "utf8");

/** Also what the plugins' about texts say: "CNI host-local plugin v1.9.1". */
export const pluginsVersion = /containernetworking\/plugins (v[\d.]+)/.exec(goMod)![1]!;

/** Its path among the tools of go.mod. */
function packageOf(peer: Peer): string {
	return new RegExp(`^\\s*(\\S+/${peer})$`, "m").exec(goMod)![1]!;
}

/** Arguments: directory, version, packages. */
const script = `set -eu
directory=$1 version=$2
shift 2
mkdir -p "$directory"
for package in "$@"; do
	name=\${package##*/}
	[ ! -e "$directory/$name" ] || continue
	go build -trimpath -ldflags "-s -w -X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=$version" \\
		-o "$directory/.$name.new" "$package"
	mv "$directory/.$name.new" "$directory/$name"
done`;

const built = new Map<Peer, Promise<string>>();

/** Path of one peer's executable. Two processes at once: the second waits for the first. */
export function peer(name: Peer): Promise<string> {
	const path = built.get(name) ?? build([name]).then((directory) => join(directory, name));
	built.set(name, path);
	return path;
}

/** Directory with all peers, fit for CNI_PATH. */
export function peersDirectory(): Promise<string> {
	return build(peers);
}

async function build(names: readonly Peer[]): Promise<string> {
	const hash = createHash("sha256").update(script);
	for (const file of ["go.mod", "go.sum"]) {
		hash.update(readFileSync(join(tools, file)));
	}
	const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "berth", "peers");
	const directory = join(cache, hash.digest("hex").slice(0, 12));
	if (!names.every((name) => existsSync(join(directory, name)))) {
		mkdirSync(cache, { recursive: true });
		const command = [
			"--exclusive",
			`${directory}.lock`,
			"sh",
			"-c",
			script,
			"sh",
			directory,
			pluginsVersion,
			...names.map(packageOf),
		];
		const options = { cwd: tools, env: { ...process.env, CGO_ENABLED: "0" } };
		try {
			await promisify(execFile)("flock", command, options);
		} catch (error) {
			throw new Error(`building the Go peers failed:\n${(error as { stderr?: string }).stderr ?? error}`);
		}
	}
	return directory;
}
