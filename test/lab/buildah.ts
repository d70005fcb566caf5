/**
 * Images of the Dockerfile, built by buildah. There is no registry here, so the stage `build` is an executable that is
 * there already; what it would run is the build that every tier begins with.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../../", import.meta.url));

/** `using buildah = new Buildah()`: with a store of its own. */
export class Buildah {
	readonly #directory = mkdtempSync(join(tmpdir(), "berth-buildah-"));

	/** Builds a stage ("berth"), and writes it as `image` ("localhost/berth:0.1.0") to a tar at `path`. */
	build(stage: string, executable: Uint8Array, image: string, path: string): void {
		mkdirSync(join(this.#directory, "build"), { recursive: true });
		writeFileSync(join(this.#directory, "build/berth"), executable, { mode: 0o755 });
		const context = `--build-context=build=${this.#directory}/build`;
		// Layers are kept by what the Dockerfile says, and not by what the context has.
		this.#run("bud", "--quiet", "--no-cache", context, `--target=${stage}`, `--tag=${image}`, project);
		this.#run("push", "--quiet", image, `docker-archive:${path}:${image}`);
	}

	#run(...args: string[]): void {
		const store = [`--root=${this.#directory}/root`, `--runroot=${this.#directory}/run`, "--storage-driver=vfs"];
		execFileSync("buildah", [...store, ...args], { stdio: ["ignore", "pipe", "pipe"] });
	}

	[Symbol.dispose](): void {
		rmSync(this.#directory, { recursive: true, force: true });
	}
}
