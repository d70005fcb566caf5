/**
 * How a node comes to know its block: from the NodeSlicePool, once in a boot.
 */
import { CniError } from "../../lib/cni/error.ts";
import type { JsonObject } from "../../lib/cni/types.ts";
import { type Cidr, contains, formatCidr, networkOf, parseCidr } from "../../lib/ip/cidr.ts";
import { requireLock } from "../../lib/plugin/verb-lock.ts";
import { formatOwner, isAllocated, parseOwner } from "../../lib/store/owner.ts";
import { Store } from "../../lib/store/store.ts";
import { bootId } from "../../lib/sys/boot.ts";
import type { Whereabouts } from "./config.ts";
import * as blocks from "./node-block.ts";
import { type NodeName, nodeName } from "./node-name.ts";
import { poolsPath, type Slice, slicePoolsPath, slicesOf, slicingOf } from "./objects.ts";
import { allocationsOf } from "./pool-object.ts";
import { addressOfOffset } from "./ranges.ts";
import { Records, TAKEN_OVER } from "./record.ts";
import type { Session, Trouble } from "./session.ts";
import type { Slicing } from "./slicing.ts";

/**
 * Asks which block this node has, and puts it on record. What the pool of the block holds goes into the node's store,
 * where that has not been done before: the Go plugin made it, or the state directory is new. Throws CniError
 * `code` where the node has none.
 */
export function learnBlock(session: Session, config: Whereabouts, slicing: Slicing, code: Trouble) {
	const { dataDir } = config;
	const node = nodeName(config.nodeNameFiles);
	const { pool, networkName, network, prefix } = slicing;
	const { client, namespace, kubeconfig } = session;
	using _lock = requireLock(blocks.lockOf(dataDir, pool), `the block of ${pool}`, client.leftMs);
	const known = blocks.knownBlock(dataDir, slicing);
	// Somebody was quicker.
	if (known?.lost === "") return known;
	const object = client.get(`${slicePoolsPath(namespace)}/${pool}`);
	if (object === undefined) {
		throw new CniError(
			code,
			`there is no NodeSlicePool ${pool} in namespace ${namespace}`,
			'"whereabouts slices" makes one',
		);
	}
	const [range, sliceSize] = [formatCidr(network), `/${prefix}`];
	const there = slicingOf(object);
	if (there.range !== range || there.sliceSize !== sliceSize) {
		throw new CniError(
			code,
			`NodeSlicePool ${pool} cuts ${there.range} into ${there.sliceSize}, the configuration ${range} into ${sliceSize}`,
			"networks with one network_name must agree",
		);
	}
	const own = ownBlock(object, slicing, node, code);
	const block = parseCidr(own.range)!;
	const before = blocks.readBlock(dataDir, pool);
	const learnt: blocks.NodeBlock = {
		pool,
		namespace,
		kubeconfig,
		networkName,
		range,
		sliceSize,
		node: own.node,
		block: own.range,
		boot: bootId(),
		lost: "",
		takenOver: before?.takenOver ?? [],
	};
	if (before !== undefined && before.boot !== learnt.boot) releaseAll(dataDir, pool);
	moveOverlapping(learnt, block, dataDir);
	const source = blocks.poolOfBlock(learnt, block);
	const isNew = !learnt.takenOver.includes(source);
	if (isNew) takeOver(session, learnt, block, source, dataDir);
	const whole = isNew ? { ...learnt, takenOver: [...learnt.takenOver, source] } : learnt;
	blocks.writeBlock(dataDir, whole);
	return whole;
}

/** The block of `node`. Throws CniError `code` where there is none, or one that cannot be. */
function ownBlock(object: JsonObject, { pool, network, prefix }: Slicing, node: NodeName, code: Trouble): Slice {
	const none = (reason: string, details?: string): CniError => new CniError(code, reason, details);
	if (node === undefined) throw none("nothing tells what the cluster calls this node", NAME_HINT);
	const slices = slicesOf(object);
	const own = slices.find((slice) => slice.node === node.name);
	if (own === undefined) {
		const taken = slices.filter((slice) => slice.node !== "").length;
		const reason = `node ${node.name} has no block in NodeSlicePool ${pool}: ${taken} of ${slices.length} are other nodes'`;
		const isFull = taken === slices.length;
		throw none(reason, isFull ? "there are more nodes than blocks" : `the name is from ${node.source}: ${NAME_HINT}`);
	}
	const block = parseCidr(own.range);
	if (block === undefined || block.prefix !== prefix || !contains(network, block.ip) || !isNetwork(block)) {
		const wanted = `which is no /${prefix} of ${formatCidr(network)}`;
		throw none(`NodeSlicePool ${pool} gives node ${node.name} ${own.range}, ${wanted}`);
	}
	return { node: node.name, range: formatCidr(block) };
}

const NAME_HINT =
	"NODENAME in the environment, or a file nodename beside whereabouts.conf, says what the cluster calls it";

const isNetwork = (block: Cidr): boolean => formatCidr(networkOf(block)) === formatCidr(block);

/** Gives back what was handed out before the last boot: no sandbox outlives one. */
function releaseAll(dataDir: string, pool: string): void {
	for (const directory of blocks.storesOf(dataDir, pool)) {
		using store = Store.openIfPresent(directory);
		store?.releaseUnless(() => false);
	}
	const records = new Records(dataDir);
	for (const found of records.all()) {
		const { store, claims } = found.record;
		if (blocks.isStoreOf(store, pool) && claims.length === 0) records.remove(found);
	}
}

/**
 * Where a range is cut anew, the new block may have addresses of the node's old ones: what is held of them moves into
 * the new block's store, so that it is not handed out twice. May be done twice.
 */
function moveOverlapping(learnt: blocks.NodeBlock, block: Cidr, dataDir: string): void {
	const own = blocks.storeOf(dataDir, learnt);
	for (const directory of blocks.storesOf(dataDir, learnt.pool)) {
		const other = blocks.blockOfStore(directory)!;
		if (directory === own || !(contains(block, other.ip) || contains(other, block.ip))) continue;
		const name = directory.slice(directory.lastIndexOf("/") + 1);
		using store = Store.open(own);
		using before = Store.open(directory);
		const records = new Records(dataDir);
		const those = records.all().filter(({ record }) => record.store === name);
		for (const { ip, owner } of before.allocated()) {
			const { containerId, ifName = "" } = owner;
			if (!contains(block, ip)) continue;
			store.reserve(ip, { containerId, ifName }, true);
			const of = those.filter(({ record }) => record.containerId === containerId && record.ifName === ifName);
			// Before it is gone here: whoever finds it gone looks at the record once more.
			for (const { record } of of) records.write({ ...record, store: blocks.storeName(learnt) });
			before.release(ip, { containerId, ifName });
		}
	}
}

/** Puts what the pool `source` in the API holds of the block into the node's store. May be done twice. */
function takeOver(
	{ client, namespace }: Session,
	learnt: blocks.NodeBlock,
	block: Cidr,
	source: string,
	dataDir: string,
): void {
	const object = client.get(`${poolsPath(namespace)}/${source}`);
	if (object === undefined) return;
	const records = new Records(dataDir);
	using store = Store.open(blocks.storeOf(dataDir, learnt));
	for (const [offset, { id, podref, ifname }] of allocationsOf(object)) {
		const ip = addressOfOffset({ network: block }, offset);
		if (!contains(block, ip) || isAllocated(store.ownerOf(ip))) continue;
		// One that cannot be a container's is somebody's all the same.
		const isContainer =
			ifname !== "" && typeof parseOwner(formatOwner({ containerId: id, ifName: ifname })) === "object";
		const owner = isContainer
			? { containerId: id, ifName: ifname }
			: { containerId: `unknown-${offset}`, ifName: "unknown" };
		records.write({
			...owner,
			network: TAKEN_OVER,
			podRef: podref,
			kubeconfig: learnt.kubeconfig,
			namespace,
			claims: [],
			store: blocks.storeName(learnt),
			device: "",
			netns: "",
			inode: 0,
			boot: learnt.boot,
		});
		store.reserve(ip, owner, true);
	}
}
