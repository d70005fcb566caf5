/**
 * The Go plugins that ours must agree with, and `cnitool`, a client of the real libcni: pinned in test/tools/go.mod, built
 * once into the cache, static, so that they run in the guest and in empty folders too.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export type Peer = "host-local" | "static" | "dhcp" | "bridge" | "macvlan" | "cnitool";

const tools = fileURLToPath(new URL("../tools/", import.meta.url));

/** Also what the plugins' about texts say: "CNI host-local plugin v1.9.1". */
export const pluginsVersion = /containernetworking\/plugins (v[\d.]+)/.exec(
	readFileSync(join(tools, "go.mod"), "utf8"),
)![1]!;

const script = `set -eu
[ ! -e "$1" ] || exit 0
temporary="$1.new"
rm -rf "$temporary"
mkdir -p "$temporary"
go build -trimpath -ldflags "-s -w -X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=$2" -o "$temporary/" tool
mv "$temporary" "$1"`;

let building: Promise<string> | undefined;

/** Folder with all peers, fit for CNI_PATH. Two processes at once: the second waits for the first. */
export function peersDirectory(): Promise<string> {
	building ??= build();
	return building;
}

/** Path of one peer's executable. */
export async function peer(name: Peer): Promise<string> {
	return join(await peersDirectory(), name);
}

async function build(): Promise<string> {
	const hash = createHash("sha256").update(script);
	for (const file of ["go.mod", "go.sum"]) {
		hash.update(readFileSync(join(tools, file)));
	}
	const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "berth", "peers");
	const directory = join(cache, hash.digest("hex").slice(0, 12));
	if (!existsSync(directory)) {
		mkdirSync(cache, { recursive: true });
		const command = ["--exclusive", `${directory}.lock`, "sh", "-c", script, "sh", directory, pluginsVersion];
		const options = { cwd: tools, env: { ...process.env, CGO_ENABLED: "0" } };
		try {
			await promisify(execFile)("flock", command, options);
		} catch (error) {
			throw new Error(`building the Go peers failed:\n${(error as { stderr?: string }).stderr ?? error}`);
		}
	}
	return directory;
}
