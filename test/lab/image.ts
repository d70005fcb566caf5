/**
 * Container images without a registry: an OCI image layout in a tar, as `ctr images import` takes it.
 *
 * Formats: opencontainers/image-spec v1.1 (image-layout.md, manifest.md, config.md); POSIX ustar.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface File {
	readonly path: string;
	readonly bytes: Uint8Array;
}

const BLOCK = 512;

/** All of them executable, root's, of the epoch. */
function tar(files: readonly File[]): Buffer {
	const parts: Uint8Array[] = [];
	for (const { path, bytes } of files) {
		const header = Buffer.alloc(BLOCK);
		const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, "0")}\0`;
		header.write(path, 0);
		header.write(octal(0o755, 8) + octal(0, 8) + octal(0, 8) + octal(bytes.length, 12) + octal(0, 12), 100);
		// The checksum counts itself as blanks.
		header.write("        0", 148);
		header.write("ustar\x0000", 257);
		const sum = header.reduce((total, byte) => total + byte, 0);
		header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
		parts.push(header, bytes, Buffer.alloc(-bytes.length & (BLOCK - 1)));
	}
	return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

interface Image {
	/** With a host and a tag: `localhost/pause:1`. Without a host it would be Docker's, and pulled. */
	readonly name: string;
	readonly entrypoint: readonly string[];
	readonly files: readonly File[];
}

/** A tar of an image with one layer. */
export function imageArchive({ name, entrypoint, files }: Image): Buffer {
	const blobs = new Map<string, File>();
	const blob = (mediaType: string, content: Uint8Array | object) => {
		const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
		const hash = createHash("sha256").update(bytes).digest("hex");
		blobs.set(hash, { path: `blobs/sha256/${hash}`, bytes });
		return { mediaType, digest: `sha256:${hash}`, size: bytes.length };
	};
	const type = "application/vnd.oci.image";
	const layer = blob(`${type}.layer.v1.tar`, tar(files));
	const config = blob(`${type}.config.v1+json`, {
		...{ architecture: process.arch === "x64" ? "amd64" : process.arch, os: "linux" },
		config: { Entrypoint: entrypoint },
		rootfs: { type: "layers", diff_ids: [layer.digest] },
	});
	const content = { schemaVersion: 2, mediaType: `${type}.manifest.v1+json`, config, layers: [layer] };
	const manifest = blob(content.mediaType, content);
	const annotations = { "io.containerd.image.name": name };
	const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
	const json = (path: string, value: object): File => ({ path, bytes: Buffer.from(JSON.stringify(value)) });
	return tar([json("oci-layout", { imageLayoutVersion: "1.0.0" }), json("index.json", index), ...blobs.values()]);
}

const PAUSE = `#include <signal.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
int main(void) { signal(SIGTERM, end); signal(SIGCHLD, SIG_IGN); for (;;) pause(); }
`;

/** A static executable that does nothing until SIGTERM. */
export function pauseProgram(): Buffer {
	const directory = mkdtempSync(join(tmpdir(), "berth-pause-"));
	try {
		writeFileSync(join(directory, "pause.c"), PAUSE);
		execFileSync("gcc", ["-static", "-Os", "-s", "-o", "pause", "pause.c"], { cwd: directory });
		return readFileSync(join(directory, "pause"));
	} finally {
		rmSync(directory, { recursive: true });
	}
}

export const PAUSE_IMAGE = "localhost/pause:1";

/** Serves as a pod's sandbox, and as a container in it. */
export const pauseImage = (): Buffer =>
	imageArchive({ name: PAUSE_IMAGE, entrypoint: ["/pause"], files: [{ path: "pause", bytes: pauseProgram() }] });
