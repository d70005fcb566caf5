/**
 * A fresh Debian with podman in a directory, entered with a mount namespace of its own: what a node has that nobody has
 * prepared. In memory, since nothing of it is to last.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmdirSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";

/** podman runs containers by crun; netavark is what it wants to find, though no container of ours has a network. */
const PACKAGES = ["podman", "crun", "netavark", "ca-certificates"];

/** Where this machine gets its packages from. */
function mirror(): string {
	const targets = execFileSync("apt-get", ["indextargets", "--format", "$(SITE) $(RELEASE)"], { encoding: "utf8" });
	const site = /^(\S+) bookworm$/m.exec(targets)?.[1];
	if (site === undefined) throw new Error("apt has no package lists of bookworm: apt-get update");
	return site;
}

export class Debian {
	readonly root: string;

	private constructor(root: string) {
		this.root = root;
	}

	/** Half a minute, and what the packages take to come, the first time. */
	static async make(): Promise<Debian> {
		const root = mkdtempSync(join(tmpdir(), "berth-debian-"));
		execFileSync("mount", ["-t", "tmpfs", "-o", "size=2g,mode=755", "debian", root]);
		const debian = new Debian(root);
		const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "berth/debian");
		mkdirSync(cache, { recursive: true });
		const options = ["--variant=minbase", `--include=${PACKAGES.join(",")}`, `--cache-dir=${cache}`];
		const { exitCode, stdout } = await execa("debootstrap", [...options, "bookworm", root, mirror()], {
			reject: false,
			timeout: 500_000,
		});
		if (exitCode !== 0) {
			debian.remove();
			throw new Error(
				`debootstrap failed: ${stdout
					.split("\n")
					.slice(-5)
					.join("\n")
					.replace(/\/\/[^/ ]+/g, "//...")}`,
			);
		}
		return debian;
	}

	/** Runs shell commands as its root, with /proc, /sys, /dev, and an empty /run and /tmp. */
	async run(script: string): Promise<{ status: number | undefined; stdout: string; stderr: string }> {
		// podman looks at cgroups even where it makes none, and takes those of one kind only.
		const enter = `mount --bind "$1" "$1"; mount -t proc proc "$1/proc"; mount --rbind /sys "$1/sys"
			if mountpoint -q "$1/sys/fs/cgroup"; then umount -R "$1/sys/fs/cgroup"; fi
			mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"; mount --rbind /dev "$1/dev"
			exec chroot "$1" sh -euc "$2"`;
		const { exitCode, stdout, stderr } = await execa(
			"unshare",
			["-m", "--propagation", "private", "sh", "-euc", enter, "sh", this.root, script],
			{
				env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", STORAGE_DRIVER: "vfs", HOME: "/root" },
				extendEnv: false,
				reject: false,
				timeout: 120_000,
			},
		);
		return { status: exitCode, stdout, stderr };
	}

	remove(): void {
		spawnSync("umount", ["-R", this.root]);
		rmdirSync(this.root);
	}
}
