/**
 * The pod's side: its network namespace, and netlink sockets in it, each opened once per verb.
 */
import { CniError, Code } from "../cni/error.ts";
import { Netns, NotNetnsError } from "../linux/netns.ts";
import { NETLINK_RDMA, NETLINK_ROUTE } from "../netlink/constants.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import * as sys from "../sys/sys.ts";

/** A family of netlink. */
export type Protocol = typeof NETLINK_ROUTE | typeof NETLINK_RDMA;

export class Sandbox {
	readonly path: string;
	readonly netns: Netns;
	#route: NetlinkSocket | undefined;
	#rdma: NetlinkSocket | undefined;

	private constructor(path: string, protocol: Protocol) {
		this.path = path;
		// On the one visit that shows that it is a network namespace.
		this.netns = Netns.open(path, () => {
			const socket = NetlinkSocket.open(protocol);
			if (protocol === NETLINK_RDMA) this.#rdma = socket;
			else this.#route = socket;
		});
	}

	/**
	 * `protocol` is that of the socket which the caller needs, or needs first. Throws CniError 4 where `path` is no
	 * network namespace.
	 */
	static open(path: string, protocol: Protocol = NETLINK_ROUTE): Sandbox {
		try {
			return new Sandbox(path, protocol);
		} catch (error) {
			if (!(error instanceof NotNetnsError)) throw error;
			throw new CniError(Code.invalidEnvironment, error.message);
		}
	}

	/**
	 * Undefined where the namespace is gone: no path, no file, or a file that is no namespace (its mount went, the
	 * file stayed).
	 */
	static openIfAlive(path: string, protocol: Protocol = NETLINK_ROUTE): Sandbox | undefined {
		if (path === "") return undefined;
		// Where our own namespace cannot be opened (/proc is not mounted), nothing tells that another is gone.
		Netns.host();
		// NotNetnsError is one of them.
		return sys.unlessFailed(() => new Sandbox(path, protocol), "ENOENT", "ENOTDIR", "EINVAL", "ENXIO");
	}

	/** Route netlink: talks to the pod's namespace from wherever we are. */
	get route(): NetlinkSocket {
		this.#route ??= this.netns.run(() => NetlinkSocket.open(NETLINK_ROUTE));
		return this.#route;
	}

	/** RDMA netlink in the pod's namespace. Throws SystemError (EPROTONOSUPPORT: the kernel has no RDMA). */
	get rdma(): NetlinkSocket {
		this.#rdma ??= this.netns.run(() => NetlinkSocket.open(NETLINK_RDMA));
		return this.#rdma;
	}

	/**
	 * Which namespace it is, whatever its path: a dead sandbox's path may be used again, and so may its inode number.
	 * The kernel's cookie is unique until the next boot. "" before Linux 5.14, which has none.
	 */
	get identity(): string {
		const { fd } = this.#rdma ?? this.route;
		const ask = (): Uint8Array => sys.getSocketOption(fd, sys.SOL_SOCKET, sys.SO_NETNS_COOKIE, 8);
		const cookie = sys.unlessFailed(ask, "ENOPROTOOPT");
		if (cookie === undefined) return "";
		// Byte by byte, as it stands in memory.
		return new DataView(cookie.buffer, cookie.byteOffset).getBigUint64(0).toString(16).padStart(16, "0");
	}

	[Symbol.dispose](): void {
		this.#route?.close();
		this.#rdma?.close();
		this.netns.close();
	}
}
