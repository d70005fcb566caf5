/**
 * `whereabouts slices`: which node has which block of a NodeSlicePool. Does what the Go project's
 * node-slice-controller does, in one run: makes the object, gives nodes their blocks, and takes those of nodes that
 * are gone.
 */
import type { JsonObject } from "../../lib/cni/types.ts";
import { type Cidr, formatCidr, networkOf, parseCidr } from "../../lib/ip/cidr.ts";
import { type Command, print, printAnswer } from "../../lib/plugin/command.ts";
import { FlagError, parseFlags } from "../../lib/plugin/flags.ts";
import { formatTable } from "../../lib/plugin/table.ts";
import { CLUSTER_FLAGS, HELP_OF_CLUSTER, withCluster } from "./cluster.ts";
import { metadataOf, type Slice, slicePoolObject, slicePoolsPath, slicesOf, slicingOf } from "./objects.ts";
import type { Session } from "./session.ts";
import { blocksOf, ETCD_LIMIT, readSliceSize } from "./slicing.ts";

export const slices: Command = {
	about: "gives nodes blocks of a range, for node_slice_size",
	synopsis: "[-name NAME -range CIDR -size PREFIX] [--dry-run] [--json] [-kubeconfig PATH] [-namespace NAME]",
	help: `Lets every NodeSlicePool of the namespace have a block for each node of the cluster, and none for nodes that are
gone, then prints who has which. With -name it makes that pool where it is missing. One run, for a CronJob; where the Go
project's node-slice-controller runs, it does the same. Exit status 1 where there are more nodes than blocks.

  -name NAME        of the NodeSlicePool: network_name of the configuration, or else its name
  -range CIDR       what is cut into blocks
  -size PREFIX      their size, such as /26
  --dry-run         prints what would be, and changes nothing
  --json            prints JSON
${HELP_OF_CLUSTER}`,
	run: assign,
};

function assign(args: readonly string[]): number {
	const flags = parseFlags(args, { ...CLUSTER_FLAGS, name: "", range: "", size: "", "dry-run": false, json: false });
	const wanted = flags.name === "" ? undefined : readPool(flags.name, flags.range, flags.size);
	if (wanted === undefined && (flags.range !== "" || flags.size !== "")) {
		throw new FlagError("-range and -size need -name");
	}
	const { nodes, assigned } = withCluster(flags, (session) => assignAll(session, wanted, flags["dry-run"]));
	const rows = assigned.flatMap(({ name, slices }) =>
		slices.filter(({ node }) => node !== "").map(({ node, range }) => ({ pool: name, block: range, node })),
	);
	printAnswer(flags.json, assigned.map(listed), () => formatTable(["pool", "block", "node"], rows));
	const without = assigned.flatMap(({ name, slices }) =>
		nodes.filter((node) => !slices.some((slice) => slice.node === node)).map((node) => `${node} of ${name}`),
	);
	if (without.length === 0) return 0;
	print(`no block is left for ${without.join(", ")}\n`);
	return 1;
}

/** The cluster's nodes, and every pool as it is then; or as it would be. */
function assignAll(session: Session, wanted: SlicePool | undefined, isDryRun: boolean) {
	const nodes = [...session.client.list("/api/v1/nodes")].map((each) => metadataOf(each).name).sort();
	const pools = [...session.client.list(slicePoolsPath(session.namespace))].map(poolOf);
	if (wanted !== undefined && !pools.some(({ name }) => name === wanted.name)) pools.push(wanted);
	const assigned = pools.map((pool) => {
		requireSame(pool, wanted);
		return isDryRun ? assignNodes(pool, nodes) : writeAssigned(session, pool, nodes);
	});
	return { nodes, assigned };
}

type SlicePool = Readonly<ReturnType<typeof readPool>>;

const listed = ({ name, range, sliceSize, slices }: SlicePool) => ({ pool: name, range, sliceSize, blocks: slices });

/** The pool that the flags say. Throws FlagError, and CniError for a slicing that cannot be. */
function readPool(name: string, rangeText: string, size: string) {
	const range = parseCidr(rangeText);
	if (range === undefined) throw new FlagError(`-range ${rangeText} is no CIDR`);
	const network = networkOf(range);
	const prefix = readSliceSize(size, network);
	const slices = freeSlices(network, prefix);
	// The version is "" where there is no such object yet.
	return { name, range: formatCidr(network), sliceSize: `/${prefix}`, resourceVersion: "", slices };
}

function poolOf(object: JsonObject): SlicePool {
	const { name, resourceVersion } = metadataOf(object);
	const { range, sliceSize } = slicingOf(object);
	return { name, range, sliceSize, resourceVersion, slices: slicesIn(object, range, sliceSize) };
}

/** Its blocks; all there are, free, of one that somebody has made without a status. Throws CniError as `readPool`. */
function slicesIn(object: JsonObject, range: string, sliceSize: string): readonly Slice[] {
	const listed = slicesOf(object);
	const network = parseCidr(range);
	return listed.length > 0 || network === undefined ? listed : freeSlices(network, readSliceSize(sliceSize, network));
}

const freeSlices = (network: Cidr, prefix: number): readonly Slice[] =>
	[...blocksOf(network, prefix)].map((block) => ({ node: "", range: formatCidr(block) }));

/** Cut anew, blocks would have other owners. */
function requireSame(there: SlicePool, wanted: SlicePool | undefined): void {
	if (wanted?.name !== there.name || (there.range === wanted.range && there.sliceSize === wanted.sliceSize)) return;
	throw new Error(
		`NodeSlicePool ${there.name} cuts ${there.range} into ${there.sliceSize}: to have ${wanted.range} cut into ${wanted.sliceSize}, delete it first, when no pod has an address of it`,
	);
}

/**
 * Nodes keep what they have; those that have none take the first that are free. A block whose node has just gone is
 * given away last: its pods may still run, or the node come back.
 */
function assignNodes(pool: SlicePool, nodes: readonly string[]): SlicePool {
	const waiting = nodes.filter((node) => !pool.slices.some((slice) => slice.node === node));
	const given = pool.slices.map((slice) => (slice.node === "" ? { ...slice, node: waiting.shift() ?? "" } : slice));
	const isGone = ({ node }: Slice): boolean => node !== "" && !nodes.includes(node);
	return {
		...pool,
		slices: given.map((slice) => (isGone(slice) ? { ...slice, node: waiting.shift() ?? "" } : slice)),
	};
}

function writeAssigned({ client, namespace }: Session, before: SlicePool, nodes: readonly string[]): SlicePool {
	const path = `${slicePoolsPath(namespace)}/${before.name}`;
	for (let pool = before; ; ) {
		const assigned = assignNodes(pool, nodes);
		const { name, range, sliceSize, resourceVersion, slices } = assigned;
		const object = slicePoolObject(name, range, sliceSize, slices);
		const bytes = JSON.stringify(object).length;
		if (bytes > ETCD_LIMIT)
			throw new Error(`NodeSlicePool ${name} would have ${bytes} bytes: etcd takes ${ETCD_LIMIT}`);
		const isSame = slices.every(({ node }, index) => node === pool.slices[index]!.node);
		if (resourceVersion === "" ? client.create(slicePoolsPath(namespace), object) : isSame) return assigned;
		if (resourceVersion !== "") {
			const steps = [
				{ op: "test" as const, path: "/metadata/resourceVersion", value: resourceVersion },
				{ op: "add" as const, path: "/status", value: object.status! },
			];
			if (typeof client.patch(path, steps) === "object") return assigned;
		}
		const there = client.get(path);
		pool = there === undefined ? { ...before, resourceVersion: "" } : poolOf(there);
		requireSame(pool, before);
	}
}
