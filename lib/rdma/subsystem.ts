/**
 * The RDMA subsystem of this node.
 */
import { CniError, Code } from "../cni/error.ts";
import { NETLINK_RDMA } from "../netlink/constants.ts";
import { getRdmaNetnsMode } from "../netlink/rdma.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import * as sys from "../sys/sys.ts";
import type { RdmaFields } from "./schema.ts";

/** A socket to it in our own namespace. Throws code 100 where there is no RDMA. */
function openRdma(): NetlinkSocket {
	try {
		return NetlinkSocket.open(NETLINK_RDMA);
	} catch (error) {
		if (!sys.isSystemError(error, "EPROTONOSUPPORT")) throw error;
		throw new CniError(
			Code.device,
			"this node has no RDMA subsystem: the kernel module ib_core is not loaded",
			"load the driver of the card (mlx5_ib, irdma, ...) or take rdma out of the network",
		);
	}
}

/**
 * The same where devices belong to one namespace each. Undefined: they do not, and the configuration says that this is
 * all right. Else throws.
 */
export function openExclusive({ sharedMode }: Pick<RdmaFields, "sharedMode">): NetlinkSocket | undefined {
	const host = openRdma();
	let isExclusive = false;
	try {
		isExclusive = requireExclusive(host, sharedMode);
	} finally {
		if (!isExclusive) host.close();
	}
	return isExclusive ? host : undefined;
}

function requireExclusive(host: NetlinkSocket, sharedMode: RdmaFields["sharedMode"]): boolean {
	const mode = getRdmaNetnsMode(host);
	if (mode === "exclusive") return true;
	if (sharedMode === "skip") return false;
	throw new CniError(
		Code.device,
		`RDMA subsystem namespace awareness mode is set to ${mode ?? "shared, the only one of kernels before 5.3"}, expecting it to be set to exclusive, invalid system configurations`,
		'set it at boot, before there is any network namespace: "options ib_core netns_mode=0" in /etc/modprobe.d, or `rdma system set netns exclusive`; where RDMA devices are meant to be shared, take rdma out of the network or say "sharedMode": "skip"',
	);
}
