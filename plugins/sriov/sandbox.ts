/**
 * The pod's side: its network namespace and a route netlink socket in it, opened once per verb.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { Netns } from "../../lib/linux/netns.ts";
import * as sys from "../../lib/linux/sys.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../lib/netlink/socket.ts";

const SOL_SOCKET = 1;
/** asm-generic/socket.h: the same number on x86-64 and arm64. */
const SO_NETNS_COOKIE = 71;

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

	/**
	 * Which namespace it is, whatever its path: a dead sandbox's path may be used again, and so may its inode number. The kernel's
	 * cookie is unique until the next boot. "" before Linux 5.14, which has none.
	 */
	get identity(): string {
		try {
			const cookie = sys.getSocketOption(this.route.fd, SOL_SOCKET, SO_NETNS_COOKIE, 8);
			return Array.from(cookie, (byte) => byte.toString(16).padStart(2, "0")).join("");
		} catch (error) {
			if (sys.isSystemError(error, "ENOPROTOOPT")) return "";
			throw error;
		}
	}

	[Symbol.dispose](): void {
		this.route[Symbol.dispose]();
		this.netns[Symbol.dispose]();
	}
}
