/**
 * The pod's side: its network namespace and a route netlink socket in it, opened once per verb.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { Netns } from "../../lib/linux/netns.ts";
import * as sys from "../../lib/linux/sys.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../lib/netlink/socket.ts";

export class Sandbox {
	readonly path: string;
	readonly netns: Netns;
	/** Talks to the pod's namespace from wherever we are. */
	readonly route: NetlinkSocket;

	private constructor(path: string, netns: Netns, route: NetlinkSocket) {
		this.path = path;
		this.netns = netns;
		this.route = route;
	}

	/** Throws CniError 4 where `path` is no network namespace. */
	static open(path: string): Sandbox {
		const netns = Netns.open(path);
		try {
			return new Sandbox(
				path,
				netns,
				netns.run(() => NetlinkSocket.open(NETLINK_ROUTE)),
			);
		} catch (error) {
			netns[Symbol.dispose]();
			throw error;
		}
	}

	/** Undefined where the namespace is gone: no path, no file, or a file that is no namespace (its mount went, the file stayed). */
	static openIfAlive(path: string): Sandbox | undefined {
		if (path === "") return undefined;
		try {
			return Sandbox.open(path);
		} catch (error) {
			if (error instanceof CniError && error.code === Code.invalidEnvironment) return undefined;
			if (sys.isSystemError(error, "ENOENT", "ENOTDIR", "EINVAL", "ENXIO")) return undefined;
			throw error;
		}
	}

	[Symbol.dispose](): void {
		this.route[Symbol.dispose]();
		this.netns[Symbol.dispose]();
	}
}
