/** The Go plugins that ours must agree with, and `cnitool`, a client of the real libcni: see test/tools/go.mod. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildGoTools } from "./go-tools.ts";

const peers = ["host-local", "static", "dhcp", "bridge", "macvlan", "sbr", "tuning", "vrf", "cnitool"] as const;
export type Peer = (typeof peers)[number];

const directory = fileURLToPath(new URL("../tools/", import.meta.url));

const goMod = readFileSync(join(directory, "go.mod"), "utf8");

/** Also what the plugins' about texts say: "CNI host-local plugin v1.9.1". */
export const pluginsVersion = /containernetworking\/plugins (v[\d.]+)/.exec(goMod)![1]!;

const VERSION_VARIABLE = "github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion";

/** Its path among the tools of go.mod. */
function packageOf(peer: Peer): string {
	return new RegExp(`^\\s*(\\S+/${peer})$`, "m").exec(goMod)![1]!;
}

const built = new Map<Peer, Promise<string>>();

/** Path of one peer's executable. */
export function peer(name: Peer): Promise<string> {
	const path = built.get(name) ?? build([name]).then((made) => join(made, name));
	built.set(name, path);
	return path;
}

/** Directory with all peers, fit for CNI_PATH. */
export function peersDirectory(): Promise<string> {
	return build(peers);
}

/** Path of the stand-in for the SR-IOV DRA driver: test/tools/driver. */
export async function draDriver(): Promise<string> {
	return join(await buildGoTools({ directory, name: "dra-driver", linkerFlags: [] }, ["./driver"]), "driver");
}

function build(names: readonly Peer[]): Promise<string> {
	const linkerFlags = [`-X ${VERSION_VARIABLE}=${pluginsVersion}`];
	return buildGoTools({ directory, name: "peers", linkerFlags }, names.map(packageOf));
}
