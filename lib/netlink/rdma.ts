/**
 * RDMA devices: in which network namespace they are, and under which name.
 *
 * Wire format: rdma/rdma_netlink.h, client RDMA_NL_NLDEV. Messages have no fixed struct, attributes follow the header
 * at once. The kernel tells and changes only devices of the namespace that the socket was opened in (in exclusive mode;
 * in shared mode all are in all).
 */
import { unlessFailed } from "../sys/sys.ts";
import * as nl from "./constants.ts";
import { type Message, MessageWriter } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

/** Number of a device, unique on this machine; the same in every namespace, for as long as its driver is bound. */
export type RdmaIndex = number & { readonly brand: "RdmaIndex" };

export interface RdmaDevice {
	readonly index: RdmaIndex;
	/** Unique on this machine, whatever the namespace: "mlx5_0". */
	readonly name: string;
}

/**
 * Whether a device belongs to one namespace ("exclusive") or is seen in all ("shared"); undefined for a kernel without
 * the distinction (before 5.3), which is as good as shared. Equivalent: `rdma system`. Throws NetlinkError.
 */
export function getRdmaNetnsMode(socket: NetlinkSocket): "exclusive" | "shared" | undefined {
	const message = new MessageWriter(nl.RDMA_NLDEV_CMD_SYS_GET, 0);
	const answer = socket.get(message, { request: "RDMA_NLDEV_CMD_SYS_GET", subject: "" });
	const mode = answer.place(nl.RDMA_NLDEV_SYS_ATTR_NETNS_MODE);
	if (mode === undefined) return undefined;
	return answer.u8(mode) === 0 ? "exclusive" : "shared";
}

/**
 * Lets each device belong to one network namespace, from now on. Equivalent: `rdma system set netns exclusive`. Throws
 * NetlinkError (EBUSY: there are other namespaces).
 */
export function setRdmaExclusive(socket: NetlinkSocket): void {
	const message = new MessageWriter(nl.RDMA_NLDEV_CMD_SYS_SET, nl.NLM_F_ACK);
	message.attributeBytes(nl.RDMA_NLDEV_SYS_ATTR_NETNS_MODE, new Uint8Array([0]));
	socket.change(message, { request: "RDMA_NLDEV_CMD_SYS_SET", subject: "" });
}

/** The devices of the socket's namespace, by index. Equivalent: `rdma dev`. Throws NetlinkError. */
export function listRdmaDevices(socket: NetlinkSocket): RdmaDevice[] {
	const message = new MessageWriter(nl.RDMA_NLDEV_CMD_GET, nl.NLM_F_DUMP);
	return socket.dump(message, { request: "RDMA_NLDEV_CMD_GET", subject: "" }, parseDevice);
}

/** The device with this index in the socket's namespace, or undefined. Throws NetlinkError. */
function getRdmaDevice(socket: NetlinkSocket, index: RdmaIndex): RdmaDevice | undefined {
	const message = new MessageWriter(nl.RDMA_NLDEV_CMD_GET, 0).attributeU32(nl.RDMA_NLDEV_ATTR_DEV_INDEX, index);
	const name = { request: "RDMA_NLDEV_CMD_GET", subject: `device ${index}` };
	// What the kernel says of an index that nobody in this namespace has.
	return unlessFailed(() => parseDevice(socket.get(message, name)), "EINVAL", "ENODEV");
}

/**
 * The device in the socket's namespace that has one of these names. The kernel finds devices by their index alone, and
 * lists them one to a datagram. `likely` is where to look first: its last known index, or the number of its node
 * uverbsN, since both count devices in the order in which they came, until some have gone.
 */
export function findRdmaDevice(
	socket: NetlinkSocket,
	names: readonly string[],
	likely: number | undefined,
): RdmaDevice | undefined {
	const guess = likely === undefined ? undefined : getRdmaDevice(socket, likely as RdmaIndex);
	if (guess !== undefined && names.includes(guess.name)) return guess;
	return listRdmaDevices(socket).find(({ name }) => names.includes(name));
}

function parseDevice(answer: Message): RdmaDevice | undefined {
	const index = answer.place(nl.RDMA_NLDEV_ATTR_DEV_INDEX);
	const name = answer.place(nl.RDMA_NLDEV_ATTR_DEV_NAME);
	if (index === undefined || name === undefined) return undefined;
	const length = answer.u16(name - nl.NLA_HDRLEN) - nl.NLA_HDRLEN;
	return { index: answer.u32(index) as RdmaIndex, name: answer.text(name, length) };
}

/**
 * Equivalent: `rdma dev set DEV name NAME`. Throws NetlinkError (EEXIST: the name is taken, in whichever namespace).
 */
export function renameRdmaDevice(socket: NetlinkSocket, device: RdmaDevice, name: string): void {
	change(socket, device, changeOf(device).attributeText(nl.RDMA_NLDEV_ATTR_DEV_NAME, name));
}

/**
 * Moves a device of the socket's namespace to that of `netnsFd`. This thread must be in the socket's namespace, too:
 * the kernel looks at both (rdma_dev_change_netns). Not together with a rename, of which the kernel would do only that.
 * What programs do with the device ends. Equivalent: `rdma dev set DEV netns NS`. Throws NetlinkError (EOPNOTSUPP:
 * shared mode, or a driver that cannot; ENODEV: it, or this thread, is not in the namespace).
 */
export function moveRdmaDevice(socket: NetlinkSocket, device: RdmaDevice, netnsFd: number): void {
	change(socket, device, changeOf(device).attributeU32(nl.RDMA_NLDEV_NET_NS_FD, netnsFd));
}

const changeOf = ({ index }: RdmaDevice): MessageWriter =>
	new MessageWriter(nl.RDMA_NLDEV_CMD_SET, nl.NLM_F_ACK).attributeU32(nl.RDMA_NLDEV_ATTR_DEV_INDEX, index);

function change(socket: NetlinkSocket, { name }: RdmaDevice, message: MessageWriter): void {
	socket.change(message, { request: "RDMA_NLDEV_CMD_SET", subject: `"${name}"` });
}
