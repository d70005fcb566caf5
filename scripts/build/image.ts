/**
 * Puts the heap image into an executable: what its engine is after all modules have been evaluated
 * (runtime/src/image.rs).
 *
 * Two runs. The first ones trace: which blocks of the engine are alive, and which of them a few typical calls read or
 * write. The last one makes the image with its blocks in the order of that: what is written lies together at the front,
 * then shapes of objects and what is read, then the rest, and of each what the same calls touch, so that a call touches
 * few pages.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempDisposableSync, readFileSync, writeFileSync } from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

/** A call whose blocks are wanted together. It must not fail, and do the same on every machine. */
export interface Sample {
	readonly args: readonly string[];
	readonly environment: Readonly<Record<string, string>>;
	readonly stdin: string;
	/** Files below the working directory that it needs. */
	readonly files?: () => Readonly<Record<string, string>>;
}

/** The network namespace is only looked at, and files are made below the working directory. */
const ATTACHMENT = { CNI_CONTAINERID: "container", CNI_IFNAME: "net1", CNI_NETNS: "/proc/1", CNI_PATH: "/" };
const NETWORK = { cniVersion: "1.1.0", name: "network" };
const HOST_LOCAL = {
	type: "host-local",
	subnet: "10.56.217.0/24",
	routes: [{ dst: "10.56.0.0/16" }],
	dataDir: "./store",
};
const STATIC = {
	type: "static",
	addresses: [{ address: "10.56.217.2/24", gateway: "10.56.217.1" }],
	routes: [{ dst: "10.56.0.0/16" }],
};

/** As on a node that knows its block: the API server is not asked. */
const BLOCK = { range: "10.56.0.0/16", sliceSize: "/24", block: "10.56.217.0/24", node: "node", pool: "network" };
const WHEREABOUTS = {
	type: "whereabouts",
	range: BLOCK.range,
	node_slice_size: BLOCK.sliceSize,
	kubernetes: { kubeconfig: "/kubeconfig" },
	dataDir: "/proc/self/cwd/whereabouts",
};
const blockFile = () => {
	const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
	return { "whereabouts/blocks/network.json": JSON.stringify({ ...BLOCK, boot }) };
};
const POD = { CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod" };

const verb = (plugin: string, command: string, ipam: object, more: object = {}): Sample => ({
	args: [plugin],
	environment: { CNI_COMMAND: command, ...ATTACHMENT, ...POD },
	stdin: JSON.stringify({ ...NETWORK, type: "bridge", ipam, ...more }),
});

const PREVIOUS = { cniVersion: "1.1.0", ips: [{ address: "10.56.217.2/24", gateway: "10.56.217.1" }] };

/**
 * VERSION is what runtimes ask most, and the first. ADD, CHECK and DEL of IPAM stand for all verbs: configuration,
 * result, files.
 */
export const SAMPLES: readonly Sample[] = [
	{ args: ["sriov"], environment: { CNI_COMMAND: "VERSION" }, stdin: JSON.stringify({ cniVersion: "1.1.0" }) },
	verb("host-local", "ADD", HOST_LOCAL),
	verb("host-local", "CHECK", HOST_LOCAL, { prevResult: PREVIOUS }),
	verb("host-local", "DEL", HOST_LOCAL),
	verb("static", "ADD", STATIC),
	{ ...verb("whereabouts", "ADD", WHEREABOUTS), files: blockFile },
	verb("whereabouts", "DEL", WHEREABOUTS),
];

/**
 * Blocks that sriov and rdma touch, which need a card: the trace of an earlier build in the test guest, written by
 * `npm run bench:guest -- --update`. It fits the blocks of today as far as the code is still the same.
 */
export const PROFILE = join(import.meta.dirname, "profile.gz");

/** In a trace: see runtime/src/image.rs. */
const ALIVE = 1;
const READ = 2;
const WRITTEN = 4;
const DEAD = 0xffffffff;

interface Block {
	readonly size: number;
	readonly isAlive: boolean;
	/** Which calls touch it, a bit for each: see `bitOf`. A writer reads, too. */
	readers: number;
	writers: number;
	/**
	 * A shape of objects, or written to when their table grows. The engine finds shapes by addresses, so which ones a
	 * call looks at is the layout's doing.
	 */
	isShape: boolean;
}

/** Behind the head: BYTECODE of runtime/src/memory.rs. */
const BYTECODE_OFFSET = 4096;

/**
 * Puts bytecode into the linked host: an executable that evaluates it at each start, written to `path`.
 */
export function addBytecode(linked: string, bytecode: Buffer, path: string): void {
	const head = Buffer.alloc(BYTECODE_OFFSET);
	head.writeBigUInt64LE(BigInt(bytecode.length), 8);
	embed(linked, Buffer.concat([head, bytecode]), path);
}

/**
 * Makes the image of `executable`, which evaluates bytecode, and puts it into the linked host instead of that: an
 * executable with image, written to `path`. `emulator` runs it where this machine cannot. Without samples only shapes
 * are moved.
 */
export function addImage(
	linked: string,
	executable: string,
	path: string,
	samples: readonly Sample[],
	emulator: readonly string[],
): void {
	using made = mkdtempDisposableSync(join(tmpdir(), "berth-image-"));
	const directory = made.path;
	const [program = executable, ...first] = [...emulator, executable];
	const run = (args: readonly string[], { environment, stdin }: Sample) => {
		const options = { cwd: directory, env: environment, input: stdin, encoding: "utf8" } as const;
		const { error, status, signal, stdout, stderr } = spawnSync(program, [...first, ...args], options);
		if (error) throw error;
		if (status === 0) return;
		throw new Error(`${executable} ${args[0]}: ${signal ?? `exit status ${status}`}: ${stdout}${stderr}`);
	};
	const trace = join(directory, "trace");
	const blocks: Block[] = [];
	const nothing: Sample = { args: [], environment: {}, stdin: "" };
	for (const [number, sample] of [nothing, ...samples].entries()) {
		for (const [name, text] of Object.entries(sample.files?.() ?? {})) {
			mkdirSync(dirname(join(directory, name)), { recursive: true });
			writeFileSync(join(directory, name), text);
		}
		run(["--image-trace", trace, ...sample.args], sample);
		readTrace(readFileSync(trace), number - 1, blocks);
	}
	if (samples.length > 0) applyProfile(parseTrace(gunzipSync(readFileSync(PROFILE))), blocks);
	const plan = join(directory, "plan");
	writeFileSync(plan, makePlan(blocks));
	const image = join(directory, "image");
	run(["--image", plan, image], nothing);
	const content = readFileSync(image);
	requireAnonymous(content, readFileSync(executable));
	embed(linked, content, path);
}

interface Traced {
	readonly size: number;
	readonly flags: number;
}

function parseTrace(trace: Buffer): Traced[] {
	const blocks: Traced[] = [];
	for (let at = 0; at < trace.length && trace.readUInt32LE(at) !== 0; at += 8) {
		blocks.push({ size: trace.readUInt32LE(at), flags: trace.readUInt32LE(at + 4) });
	}
	return blocks;
}

/** Notes what the sample of this number touches; -1: there is none, and only shapes are written to. */
function readTrace(trace: Buffer, sample: number, blocks: Block[]): void {
	const traced = parseTrace(trace);
	if (blocks.length > 0 && traced.length !== blocks.length)
		throw new Error(`the engine was made of ${blocks.length} blocks, then of ${traced.length}`);
	for (const [number, { size, flags }] of traced.entries()) {
		const isAlive = (flags & ALIVE) !== 0;
		blocks[number] ??= { size, isAlive, readers: 0, writers: 0, isShape: (flags & WRITTEN) !== 0 };
		const block = blocks[number]!;
		if (block.size !== size || block.isAlive !== isAlive)
			throw new Error(`block ${number} of the engine is not always the same`);
		if (sample < 0) continue;
		if ((flags & READ) !== 0) block.readers |= bitOf(sample);
		if ((flags & WRITTEN) !== 0) block.writers |= bitOf(sample);
	}
}

/** In a profile, the flags of a block are 16 bits for the calls that read it, and 16 for those that write to it. */
const PROFILE_WRITERS = 16;

/** The first sample, then the calls of the profile, then the other samples: lower bits matter more in the layout. */
const bitOf = (sample: number): number => 1 << (sample === 0 ? 0 : PROFILE_WRITERS + sample);
const FIRST_OF_PROFILE = 1;

/** The profile of an executable: traces of it in one. */
export function joinTraces(traces: readonly Buffer[]): Buffer {
	const calls = traces.map(parseTrace);
	const joined = Buffer.alloc(calls[0]!.length * 8);
	for (const [number, { size }] of calls[0]!.entries()) {
		const bits = (flag: number) =>
			calls.reduce((all, blocks, call) => all | ((blocks[number]!.flags & flag) === 0 ? 0 : 1 << call), 0);
		joined.writeUInt32LE(size, number * 8);
		joined.writeUInt16LE(bits(READ), number * 8 + 4);
		joined.writeUInt16LE(bits(WRITTEN), number * 8 + 6);
	}
	return gzipSync(joined, { level: 9 });
}

/** So many equal sizes in a row are the same blocks. */
const ALIKE = 12;
/** How far apart in the two they are looked for. */
const MOST_CHANGED = 2000;

/** Blocks have no names; they are recognized by their sizes in the order in which they are made. */
function applyProfile(profile: readonly Traced[], blocks: readonly Block[]): void {
	const isAlike = (then: number, now: number, length: number) => {
		for (let i = 0; i < length; i++) if (profile[then + i]?.size !== blocks[now + i]?.size) return false;
		return true;
	};
	const findAlike = (then: number, now: number): [number, number] | undefined => {
		for (let changed = 1; changed <= MOST_CHANGED; changed++) {
			for (let added = 0; added <= changed; added++) {
				const [after, behind] = [then + changed - added, now + added];
				if (isAlike(after, behind, ALIKE)) return [after, behind];
			}
		}
		return undefined;
	};
	for (let then = 0, now = 0; then < profile.length && now < blocks.length; then++, now++) {
		if (!isAlike(then, now, 1)) {
			const found = findAlike(then, now);
			if (found === undefined) return;
			[then, now] = found;
		}
		const { flags } = profile[then]!;
		const block = blocks[now]!;
		block.readers |= (flags & ((1 << PROFILE_WRITERS) - 1)) << FIRST_OF_PROFILE;
		block.writers |= (flags >>> PROFILE_WRITERS) << FIRST_OF_PROFILE;
	}
}

/**
 * Whether `a` comes before `b`: negative, or not: positive. 0: both are the same to all calls. What is written comes
 * first, then shapes, then what is read; of each all that the first call touches, then what is left of the second's,
 * and so on: the earlier a call, the fewer the pieces that it finds its blocks in.
 */
function compare(a: Block, b: Block): number {
	const kind = ({ readers, writers, isShape }: Block) => (writers !== 0 ? 0 : isShape ? 1 : readers !== 0 ? 2 : 3);
	if (kind(a) !== kind(b)) return kind(a) - kind(b);
	const [of, other] = kind(a) === 0 ? [a.writers, b.writers] : [a.readers, b.readers];
	const different = of ^ other;
	if (different === 0) return 0;
	return (of & different & -different) !== 0 ? -1 : 1;
}

/** Where each block goes: an offset and its size, 32 bits each; at the end, the image's length. */
function makePlan(blocks: readonly Block[]): Buffer {
	const plan = Buffer.alloc((blocks.length + 1) * 8);
	let offset = 0;
	const numbers = blocks.map((_, number) => number).sort((a, b) => compare(blocks[a]!, blocks[b]!) || a - b);
	for (const number of numbers) {
		const { size, isAlive } = blocks[number]!;
		plan.writeUInt32LE(isAlive ? offset : DEAD, number * 8);
		plan.writeUInt32LE(size, number * 8 + 4);
		if (isAlive) offset += size;
	}
	plan.writeUInt32LE(offset, blocks.length * 8);
	return plan;
}

/** Nothing of who built it and where may be in an image: two builds would differ, and the world need not know. */
function requireAnonymous(image: Buffer, executable: Buffer): void {
	const words = [process.cwd(), tmpdir(), hostname(), userInfo().homedir, ...Object.values(process.env)];
	for (const word of new Set(words)) {
		// Shorter ones, such as "C" or "xterm", and a word that the executable has anyway ("host-local"), tell nothing.
		if (word === undefined || word.length < 8 || executable.includes(word)) continue;
		if (image.includes(word) || image.includes(Buffer.from(word, "utf16le"))) {
			throw new Error(`the image has ${JSON.stringify(word)} in it, which is this machine's`);
		}
	}
}

/** ELF, 64 bits, little-endian: <elf.h>. */
const EHDR = { phoff: 32, shoff: 40, phentsize: 54, phnum: 56, shentsize: 58, shnum: 60, shstrndx: 62 };
const PHDR = { type: 0, offset: 8, vaddr: 16, filesz: 32, memsz: 40 };
const SHDR = { name: 0, addr: 16, offset: 24 };
const PT_LOAD = 1;

/**
 * Writes to `path` the linked host with `content` where its section `.sbss.arena` starts. The kernel makes zeros of
 * what its segment has beyond the file.
 */
function embed(linked: string, content: Buffer, path: string): void {
	const file = readFileSync(linked);
	const number = (at: number) => Number(file.readBigUInt64LE(at));
	const start = addressOf(file, ".sbss.arena");
	for (let index = 0; index < file.readUInt16LE(EHDR.phnum); index++) {
		const header = number(EHDR.phoff) + index * file.readUInt16LE(EHDR.phentsize);
		const address = number(header + PHDR.vaddr);
		if (file.readUInt32LE(header + PHDR.type) !== PT_LOAD) continue;
		if (start < address || start >= address + number(header + PHDR.memsz)) continue;
		const offset = number(header + PHDR.offset);
		const end = number(header + PHDR.filesz);
		// What the linker has put behind the segment, sections and their names, only linkers and debuggers need.
		file.writeBigUInt64LE(BigInt(start - address + content.length), header + PHDR.filesz);
		file.writeBigUInt64LE(0n, EHDR.shoff);
		file.writeUInt16LE(0, EHDR.shnum);
		file.writeUInt16LE(0, EHDR.shstrndx);
		writeFileSync(path, Buffer.concat([file.subarray(0, offset + end), Buffer.alloc(start - address - end), content]));
		chmodSync(path, 0o755);
		return;
	}
	throw new Error("no segment of the executable has the section .sbss.arena");
}

function addressOf(file: Buffer, wanted: string): number {
	const number = (at: number) => Number(file.readBigUInt64LE(at));
	const section = (index: number) => number(EHDR.shoff) + index * file.readUInt16LE(EHDR.shentsize);
	const names = number(section(file.readUInt16LE(EHDR.shstrndx)) + SHDR.offset);
	for (let index = 0; index < file.readUInt16LE(EHDR.shnum); index++) {
		const name = names + file.readUInt32LE(section(index) + SHDR.name);
		if (file.toString("latin1", name, file.indexOf(0, name)) === wanted) return number(section(index) + SHDR.addr);
	}
	throw new Error(`the executable has no section ${wanted}`);
}
