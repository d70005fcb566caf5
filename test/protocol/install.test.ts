/**
 * `berth install`, `uninstall`, `verify` and `version` on directories of a test.
 */
import { createHash } from "node:crypto";
import {
	chmodSync,
	chownSync,
	copyFileSync,
	existsSync,
	linkSync,
	lstatSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	readlinkSync,
	renameSync,
	rmSync,
	statSync,
	symlinkSync,
	unlinkSync,
	writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { describe, expect, onTestFinished, test } from "vitest";
import { binaries } from "../lab/executables.ts";
import { call, scratchDirectory } from "../lab/ipam.ts";
import { until } from "../lab/until.ts";

const PLUGINS = ["dhcp", "host-local", "rdma", "sriov", "static", "whereabouts"];
const NAMES = ["berth", ...PLUGINS];
const own = join(binaries, "berth");

async function berth(args: readonly string[], executable = own, env: Record<string, string> = {}) {
	const end = await execa(executable, args, { reject: false, env, extendEnv: false, timeout: 50_000 });
	return { status: end.exitCode, stdout: end.stdout, stderr: end.stderr };
}

/** Rows of `--json`, by plugin. */
// biome-ignore lint/suspicious/noExplicitAny: whatever JSON it is.
const rowsOf = ({ stdout }: { stdout: string }): Record<string, any> =>
	// biome-ignore lint/suspicious/noExplicitAny: as above.
	Object.fromEntries(JSON.parse(stdout).map((row: any) => [row.plugin, row]));

/** A directory of plugins in a scratch directory, and how to install into it. */
function place() {
	const root = scratchDirectory();
	const directory = join(root, "bin");
	mkdirSync(directory);
	return { root, directory, to: ["--cni-bin-dir", directory] };
}

/** Another Berth: the same with another number in its ELF note, which is how versions are told apart. */
function otherVersion(root: string, version: string): string {
	const bytes = readFileSync(own);
	const note = bytes.indexOf("Berth\0\0\0");
	bytes.write(version, note + 8, "latin1");
	const path = join(root, `berth-${version}`);
	writeFileSync(path, bytes, { mode: 0o755 });
	return path;
}

const hash = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
const FOREIGN = "#!/bin/sh\necho foreign\n";

function foreign(path: string): void {
	writeFileSync(path, FOREIGN, { mode: 0o755 });
}

describe("install", () => {
	test("makes one file with a name for each plugin, and a second run writes nothing", async () => {
		const { directory, to } = place();
		expect((await berth(["install", ...to])).status).toBe(0);
		expect(readdirSync(directory).sort()).toEqual(NAMES);
		expect(hash(join(directory, "sriov"))).toBe(hash(own));
		expect(new Set(NAMES.map((name) => statSync(join(directory, name)).ino)).size).toBe(1);
		expect(statSync(join(directory, "sriov")).mode & 0o7777).toBe(0o755);
		const before = statSync(directory).mtimeMs;
		const second = await berth(["install", ...to, "--json"]);
		expect(Object.values(rowsOf(second)).map(({ outcome }) => outcome)).toEqual(NAMES.map(() => "equal"));
		expect(statSync(directory).mtimeMs).toBe(before);
		const answer = await call(join(directory, "static"), "VERSION", { config: "" });
		expect(answer.json.supportedVersions).toContain("1.1.0");
	});

	test("replaces another version and a damaged file, without a word of foreign files", async () => {
		const { root, directory, to } = place();
		await berth(["install", ...to], otherVersion(root, "9.9.9"));
		unlinkSync(join(directory, "rdma"));
		writeFileSync(join(directory, "rdma"), "");
		unlinkSync(join(directory, "static"));
		const cut = join(directory, "dhcp");
		unlinkSync(cut);
		writeFileSync(cut, readFileSync(own).subarray(0, 100_000), { mode: 0o755 });
		const rows = rowsOf(await berth(["install", ...to, "--json"]));
		expect(rows.sriov).toMatchObject({ outcome: "replaced", was: "Berth 9.9.9" });
		expect(rows.rdma).toMatchObject({ outcome: "replaced", was: "a damaged file" });
		expect(rows.static).toMatchObject({ outcome: "installed", was: "" });
		expect(rows.dhcp).toMatchObject({ outcome: "replaced", was: "Berth 0.1.0" });
		expect((await berth(["verify", ...to])).status).toBe(0);
	});

	test("a file that is not executable is none", async () => {
		const { directory, to } = place();
		await berth(["install", ...to]);
		chmodSync(join(directory, "berth"), 0o644);
		expect((await berth(["verify", ...to])).status).toBe(1);
		expect((await berth(["install", ...to])).status).toBe(0);
		expect((await berth(["verify", ...to])).status).toBe(0);
	});

	test("changes nothing where a foreign file would have to go, and says what can be done", async () => {
		const { directory, to } = place();
		foreign(join(directory, "host-local"));
		const { status, stderr } = await berth(["install", ...to]);
		expect(status).toBe(1);
		expect(stderr).toMatch(/host-local \(another program\).*-replace=NAMES.*-keep-foreign.*-rename/);
		expect(readdirSync(directory)).toEqual(["host-local"]);
	});

	test("--replace keeps it as NAME.prev, and uninstall puts it back", async () => {
		const { directory, to } = place();
		foreign(join(directory, "host-local"));
		symlinkSync("host-local", join(directory, "static"));
		expect((await berth(["install", ...to, "--replace=host-local,static"])).status).toBe(0);
		expect(readFileSync(join(directory, "host-local.prev"), "utf8")).toBe(FOREIGN);
		expect(readlinkSync(join(directory, "static.prev"))).toBe("host-local");
		expect(lstatSync(join(directory, "static")).isSymbolicLink()).toBe(false);
		expect((await berth(["verify", ...to])).status).toBe(0);
		const rows = rowsOf(await berth(["uninstall", ...to, "--json"]));
		expect(rows["host-local"]).toMatchObject({ outcome: "put back", is: "another program" });
		expect(rows.sriov).toMatchObject({ outcome: "removed" });
		expect(readdirSync(directory).sort()).toEqual(["host-local", "static"]);
		expect(readFileSync(join(directory, "host-local"), "utf8")).toBe(FOREIGN);
	});

	test("uninstall puts back what was replaced also where somebody has removed Berth's file", async () => {
		const { directory, to } = place();
		foreign(join(directory, "sriov"));
		await berth(["install", ...to, "--replace=sriov"]);
		unlinkSync(join(directory, "sriov"));
		const rows = rowsOf(await berth(["uninstall", ...to, "--json"]));
		expect(rows.sriov).toMatchObject({ outcome: "put back", is: "another program" });
		expect(readdirSync(directory)).toEqual(["sriov"]);
	});

	test("--keep-foreign leaves it, verify says so, and uninstall leaves it too", async () => {
		const { directory, to } = place();
		foreign(join(directory, "dhcp"));
		foreign(join(directory, "sriov"));
		const flags = [...to, "--keep-foreign", "--replace=sriov"];
		const rows = rowsOf(await berth(["install", ...flags, "--json"]));
		expect(rows.dhcp).toMatchObject({ outcome: "left alone", was: "another program" });
		expect(rows.sriov).toMatchObject({ outcome: "replaced" });
		const verified = await berth(["verify", ...flags, "--json"]);
		expect(verified.status).toBe(0);
		expect(rowsOf(verified).dhcp.state).toBe("another's: another program");
		// Who wants it replaced is not content with that.
		expect((await berth(["verify", ...to, "--replace=all"])).status).toBe(1);
		await berth(["uninstall", ...to]);
		expect(readdirSync(directory).sort()).toEqual(["dhcp", "sriov"]);
	});

	test("a plugin that cannot be put there keeps no other one away", async () => {
		const { root, directory, to } = place();
		await berth(["install", ...to], otherVersion(root, "0.0.1"));
		const held = join(directory, "dhcp");
		unlinkSync(held);
		foreign(held);
		mkdirSync(join(directory, "dhcp.prev"));
		const { status, stderr } = await berth(["install", ...to, "--replace=all"]);
		expect(status).toBe(1);
		expect(stderr).toContain("dhcp.prev");
		expect(readFileSync(held, "utf8")).toBe(FOREIGN);
		const rows = rowsOf(await berth(["verify", ...to, "--json"]));
		expect(NAMES.filter((name) => rows[name].state !== "ok")).toEqual(["dhcp"]);
		expect(readdirSync(directory).sort()).toEqual([...NAMES, "dhcp.prev"].sort());
		expect((await berth(["uninstall", ...to])).status).toBe(0);
		expect(readdirSync(directory).sort()).toEqual(["dhcp", "dhcp.prev"]);
	});

	test("somebody who writes into a name that is a link (cp -f) has written into all: all are mended", async () => {
		const { directory, to } = place();
		foreign(join(directory, "static"));
		const flags = [...to, "--replace=sriov", "--keep-foreign"];
		await berth(["install", ...flags]);
		await execa("cp", ["-f", join(directory, "static"), join(directory, "rdma")]);
		expect(readFileSync(join(directory, "host-local"), "utf8")).toBe(FOREIGN);
		expect((await berth(["verify", ...flags])).status).toBe(1);
		const rows = rowsOf(await berth(["install", ...flags, "--json"]));
		expect(rows["host-local"]).toMatchObject({ outcome: "replaced", was: "a damaged file" });
		expect(rows.static).toMatchObject({ outcome: "left alone" });
		expect((await berth(["verify", ...flags])).status).toBe(0);
		expect(readdirSync(directory).sort()).toEqual(NAMES);
	});

	test("images of sriov-cni and rdma-cni (cp -f) after ours, also ones that made links: each name has its own", async () => {
		const { root, directory, to } = place();
		await berth(["install", ...to, "--only=sriov,rdma"]);
		await berth(["install", ...to, "--only=sriov", "--replace=sriov"]);
		await berth(["install", ...to, "--only=rdma", "--replace=rdma"]);
		for (const name of ["sriov", "rdma"]) {
			writeFileSync(join(root, name), name);
			await execa("cp", ["-f", join(root, name), join(directory, name)]);
		}
		const texts = ["sriov", "rdma"].map((name) => readFileSync(join(directory, name), "utf8"));
		expect(texts).toEqual(["sriov", "rdma"]);
		expect(hash(join(directory, "berth"))).toBe(hash(own));
	});

	test("a foreign file that may not be read is one like any other", async () => {
		const { directory, to } = place();
		foreign(join(directory, "dhcp"));
		chmodSync(join(directory, "dhcp"), 0o700);
		chownSync(join(directory, "dhcp"), 65_534, 65_534);
		// As in the pod of the manifests: root, and nothing more.
		const bare = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", own, "install", ...to, "--keep-foreign"];
		const { exitCode, stdout } = await execa("setpriv", [...bare, "--json"], { reject: false });
		expect(exitCode).toBe(0);
		expect(rowsOf({ stdout }).dhcp).toMatchObject({ outcome: "left alone", was: "another program" });
		expect(rowsOf({ stdout }).sriov).toMatchObject({ outcome: "installed" });
	});

	test("a directory in the place of a plugin is refused, whatever is asked for", async () => {
		const { directory, to } = place();
		mkdirSync(join(directory, "rdma"));
		const { status, stderr } = await berth(["install", ...to, "--replace=all"]);
		expect(status).toBe(1);
		expect(stderr).toContain("rdma (a directory)");
		expect(readdirSync(directory)).toEqual(["rdma"]);
	});

	test("--only and --rename choose plugins and names", async () => {
		const { directory, to } = place();
		const flags = [...to, "--only=sriov,host-local", "--rename", "host-local=berth-host-local"];
		expect((await berth(["install", ...flags])).status).toBe(0);
		expect(readdirSync(directory).sort()).toEqual(["berth", "berth-host-local", "sriov"]);
		expect((await berth(["verify", ...flags])).status).toBe(0);
		const added = await call(join(directory, "berth-host-local"), "STATUS", {
			config: {
				cniVersion: "1.1.0",
				name: "n",
				ipam: { type: "berth-host-local", subnet: "10.0.0.0/24", dataDir: directory },
			},
		});
		expect(added).toMatchObject({ status: 0 });
		await berth(["uninstall", ...flags]);
		expect(readdirSync(directory).filter((name) => NAMES.some((each) => name.endsWith(each)))).toEqual([]);
	});

	test("says which names of an older version nobody asks for any more, and leaves them", async () => {
		const { root, directory, to } = place();
		await berth(["install", ...to, "--rename=dhcp=berth-dhcp"], otherVersion(root, "0.0.1"));
		foreign(join(directory, "bridge"));
		const installed = await berth(["install", ...to, "--only=sriov", "--json"]);
		const passed = JSON.parse(installed.stdout).filter(
			({ outcome }: { outcome: string }) => outcome === "not asked for",
		);
		expect(passed.map(({ path, was }: { path: string; was: string }) => [path, was])).toEqual(
			["berth-dhcp", "host-local", "rdma", "static", "whereabouts"].map((name) => [
				join(directory, name),
				"Berth 0.0.1",
			]),
		);
	});

	test("the flags of the peers' entry points", async () => {
		const { directory, to } = place();
		const flags = [...to, "--sriov-bin-file=/usr/bin/sriov", "--no-sleep"];
		expect((await berth(["install", "--stay", ...flags])).status).toBe(0);
		expect(readdirSync(directory).sort()).toEqual(["berth", "sriov"]);
	});

	test.each([
		[["--only=bridge"], "there is no"],
		[["--replace=bridge"], "there is no"],
		[["--rename=host-local=../x"], "NAME=NEW"],
		[["--rename=host-local=static"], "two of them"],
		[["--whereabouts-conf=/x"], "-whereabouts-kubeconfig is missing"],
		[["--whereabouts-kubeconfig=x"], "must be absolute"],
		[["--ib-sriov-cni-bin-file=x"], "not defined"],
	])("a wrong call: %j", async (flags, reason) => {
		const { directory, to } = place();
		const { status, stderr } = await berth(["install", ...to, ...flags]);
		expect({ status, files: readdirSync(directory) }).toEqual({ status: 2, files: [] });
		expect(stderr).toContain(reason);
	});

	test("links where it can, copies where it cannot", async () => {
		const { root, directory, to } = place();
		// As a file system without hard links (vfat) answers.
		const trace = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=linkat:error=EPERM", own, "install", ...to];
		expect((await execa("strace", trace, { reject: false })).exitCode).toBe(0);
		expect(new Set(NAMES.map((name) => statSync(join(directory, name)).ino)).size).toBe(NAMES.length);
		expect((await berth(["verify", ...to])).status).toBe(0);
		expect(readdirSync(root)).toEqual(["bin"]);
	});

	test("killed at any system call that changes something, the next one finishes the work and nothing stays", async () => {
		const { root, directory, to } = place();
		const old = otherVersion(root, "0.0.1");
		const whole = [hash(own), hash(old), createHash("sha256").update(FOREIGN).digest("hex")];
		for (const kind of ["openat", "write", "fchmod", "fsync", "linkat", "renameat", "unlinkat"]) {
			for (let at = 1; ; at++) {
				await berth(["install", ...to, "--replace=static"], old);
				unlinkSync(join(directory, "static"));
				foreign(join(directory, "static"));
				const inject = `inject=${kind}:signal=KILL:when=${at}`;
				const trace = ["-f", "-qq", "-o", "/dev/null", "-e", inject, own, "install", ...to, "--replace=static"];
				const { exitCode } = await execa("strace", trace, { reject: false });
				for (const name of NAMES) {
					const path = join(directory, name);
					expect(whole, `${kind} ${at}: ${name}`).toContain(hash(path));
				}
				expect((await berth(["install", ...to, "--replace=static"])).status, `${kind} ${at}`).toBe(0);
				expect(readdirSync(directory).sort(), `${kind} ${at}`).toEqual([...NAMES, "static.prev"].sort());
				expect(readFileSync(join(directory, "static.prev"), "utf8")).toBe(FOREIGN);
				unlinkSync(join(directory, "static.prev"));
				if (exitCode === 0) break;
			}
		}
	}, 600_000);

	test("nothing is changed where the new file does not run there, or there is no room", async () => {
		for (const options of ["size=1m", "noexec"]) {
			const script = `mount -t tmpfs -o ${options} tmpfs "$1"; printf x >"$1/other"; status=0
				"$2" install --cni-bin-dir "$1" || status=$?; ls -A "$1"; exit $status`;
			const { directory } = place();
			const { exitCode, stdout, stderr } = await execa("unshare", ["-m", "sh", "-euc", script, "sh", directory, own], {
				reject: false,
			});
			expect({ exitCode, stdout }, options).toEqual({ exitCode: 1, stdout: "other" });
			expect(stderr).toMatch(options === "noexec" ? /does not run in .*EACCES.*nothing was changed/ : /ENOSPC/);
		}
	});

	test("50 ADDs at once all through twenty upgrades: none fails", async () => {
		const { root, directory, to } = place();
		const versions = [own, otherVersion(root, "0.2.0")];
		await berth(["install", ...to]);
		const config = {
			...{ cniVersion: "1.1.0", name: "net", type: "sriov" },
			ipam: { type: "static", addresses: [{ address: "10.1.1.1/24" }] },
		};
		let isDone = false;
		let count = 0;
		const failures: unknown[] = [];
		const worker = async () => {
			while (!isDone) {
				const answer = await call(join(directory, "static"), "ADD", { config }).catch((error) => ({
					status: -1,
					error,
				}));
				if (answer.status !== 0) failures.push(answer);
				count++;
			}
		};
		const workers = Array.from({ length: 50 }, worker);
		for (let round = 1; round <= 20; round++) {
			const { status } = await berth(["install", ...to], versions[round % 2]);
			expect(status).toBe(0);
		}
		isDone = true;
		await Promise.all(workers);
		expect(failures).toEqual([]);
		expect(count).toBeGreaterThan(50);
	}, 600_000);
});

test("uninstall where nothing was ever installed is no error, and makes nothing", async () => {
	const { root } = place();
	const { status, stdout } = await berth(["uninstall", "--cni-bin-dir", join(root, "none"), "--json"]);
	expect({ status, made: existsSync(join(root, "none")) }).toEqual({ status: 0, made: false });
	expect(JSON.parse(stdout)).toHaveLength(NAMES.length);
});

describe("where", () => {
	/** A node's file system with these files. */
	function node(files: Record<string, string>): string {
		const host = scratchDirectory();
		for (const [path, text] of Object.entries(files)) {
			mkdirSync(dirname(join(host, path)), { recursive: true });
			writeFileSync(join(host, path), text);
		}
		return host;
	}
	const containerd = (version: 2 | 3, line: string) =>
		`version = ${version}\n[plugins]\n[plugins.${version === 2 ? '"io.containerd.grpc.v1.cri"' : "'io.containerd.cri.v1.runtime'"}.cni]\n${line}\n`;

	test.each<[string, Record<string, string>, string]>([
		["a node without any configuration", {}, "/opt/cni/bin"],
		["containerd that says nothing", { "etc/containerd/config.toml": "version = 2\n" }, "/opt/cni/bin"],
		[
			"containerd, version 2",
			{ "etc/containerd/config.toml": containerd(2, 'bin_dir = "/usr/lib/cni/"') },
			"/usr/lib/cni",
		],
		["containerd, version 3", { "etc/containerd/config.toml": containerd(3, "bin_dirs = ['/a/bin', '/b']") }, "/a/bin"],
		[
			"containerd's imports",
			{
				"etc/containerd/config.toml": `imports = ["conf.d/*.toml"]\n${containerd(3, 'bin_dirs = ["/a"]')}`,
				"etc/containerd/conf.d/10.toml": containerd(3, 'bin_dirs = ["/b"]'),
				"etc/containerd/conf.d/20.toml": containerd(3, 'bin_dirs = [\n  "/c", # first\n  "/d",\n]'),
			},
			"/c",
		],
		[
			"imports of imports, in a circle",
			{
				"etc/containerd/config.toml": 'version = 2\nimports = ["a.toml"]\n',
				"etc/containerd/a.toml": 'version = 2\nimports = ["/etc/b.toml", "config.toml"]\n',
				"etc/b.toml": containerd(2, 'bin_dir = "/b"'),
			},
			"/b",
		],
		[
			"k3s beside docker's containerd, which serves no kubelet",
			{
				"etc/containerd/config.toml": 'disabled_plugins = ["cri"]\n',
				"var/lib/rancher/k3s/agent/etc/containerd/config.toml": containerd(
					3,
					'bin_dirs = ["/var/lib/rancher/k3s/data/cni"]',
				),
			},
			"/var/lib/rancher/k3s/data/cni",
		],
		[
			"k3s",
			{
				"var/lib/rancher/k3s/agent/etc/containerd/config.toml": containerd(
					3,
					'bin_dirs = ["/var/lib/rancher/k3s/data/cni"]',
				),
			},
			"/var/lib/rancher/k3s/data/cni",
		],
		[
			"k3s that still names a version's own",
			{
				"var/lib/rancher/k3s/agent/etc/containerd/config.toml": containerd(
					2,
					'bin_dir = "/var/lib/rancher/k3s/data/current/bin"',
				),
				"var/lib/rancher/k3s/data/cni/x": "",
			},
			"/var/lib/rancher/k3s/data/cni",
		],
		[
			"CRI-O of OpenShift",
			{
				"etc/crio/crio.conf": '[crio.network]\nplugin_dirs = ["/opt/cni/bin/"]\n',
				"etc/crio/crio.conf.d/directory/file": "no TOML",
				"etc/crio/crio.conf.d/00-default": '[crio.network]\nplugin_dirs = ["/var/lib/cni/bin", "/usr/libexec/cni"]\n',
			},
			"/var/lib/cni/bin",
		],
	])("%s", async (_, files, directory) => {
		const host = node(files);
		const { status, stderr } = await berth(["install", "--host", host]);
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		expect(existsSync(join(host, directory, "sriov"))).toBe(true);
	});

	test.each<[string, Record<string, string>, RegExp]>([
		[
			"two runtimes that differ",
			{
				"etc/containerd/config.toml": "version = 2\n",
				"etc/crio/crio.conf": '[crio.network]\nplugin_dirs = ["/var/lib/cni/bin"]\n',
			},
			/\/opt\/cni\/bin \(.*\) and \/var\/lib\/cni\/bin \(.*-cni-bin-dir/,
		],
		[
			"an old k3s",
			{
				"var/lib/rancher/k3s/agent/etc/containerd/config.toml": containerd(
					2,
					'bin_dir = "/var/lib/rancher/k3s/data/current/bin"',
				),
			},
			/the next version of k3s replaces/,
		],
		["what is no TOML", { "etc/containerd/config.toml": "version = \n" }, /is not TOML/],
	])("%s: refused", async (_, files, reason) => {
		const host = node(files);
		const { status, stderr } = await berth(["install", "--host", host]);
		expect({ status, made: existsSync(join(host, "opt")) }).toEqual({ status: 1, made: false });
		expect(stderr).toMatch(reason);
	});
});

describe("--stay", () => {
	function staying(flags: readonly string[]) {
		const child = execa(own, ["install", "--stay", "--interval=100ms", ...flags], { reject: false });
		onTestFinished(() => void child.kill("SIGKILL"));
		return child;
	}
	const isWhole = async (flags: readonly string[]) => (await berth(["verify", ...flags])).status === 0;

	test("puts back what goes, leaves what another puts there, and SIGTERM removes nothing", async () => {
		const { root, directory, to } = place();
		const flags = [...to, "--keep-foreign"];
		const child = staying(flags);
		await until("the files are there", () => isWhole(flags));
		unlinkSync(join(directory, "sriov"));
		rmSync(join(directory, "berth"));
		await until("they are back", () => isWhole(flags));
		// At once: between a removal and a new file its own would be put back.
		foreign(join(root, "foreign"));
		renameSync(join(root, "foreign"), join(directory, "rdma"));
		unlinkSync(join(directory, "dhcp"));
		await until("the next look is over", () => existsSync(join(directory, "dhcp")));
		expect(readFileSync(join(directory, "rdma"), "utf8")).toBe(FOREIGN);
		child.kill("SIGTERM");
		const { exitCode, stderr } = await child;
		expect(exitCode).toBe(0);
		expect(stderr).toContain(`${directory}/sriov was gone: it is back`);
		expect(readdirSync(directory).sort()).toEqual(NAMES);
	});

	test("waits for a directory that cannot be written, says so once, and goes on", async () => {
		const { directory, to } = place();
		foreign(join(directory, "static"));
		const child = staying(to);
		let said = "";
		child.stderr.on("data", (data) => {
			said += data;
		});
		await until("it says what is wrong", () => said.includes("not Berth's"));
		unlinkSync(join(directory, "static"));
		await until("the files are there", () => isWhole(to));
		child.kill("SIGTERM");
		expect((await child).stderr.match(/not Berth's/g)).toHaveLength(1);
	});
});

describe("verify", () => {
	test("finds what is missing, differs, is another's or does not run", async () => {
		const { root, directory, to } = place();
		await berth(["install", ...to]);
		unlinkSync(join(directory, "dhcp"));
		unlinkSync(join(directory, "static"));
		foreign(join(directory, "static"));
		unlinkSync(join(directory, "rdma"));
		copyFileSync(otherVersion(root, "7.7.7"), join(directory, "rdma"));
		const answer = await berth(["verify", ...to, "--json"]);
		expect(answer.status).toBe(1);
		const rows = rowsOf(answer);
		expect(rows.dhcp.state).toBe("missing");
		expect(rows.static.state).toBe("another's: another program");
		expect(rows.rdma.state).toBe("differs: Berth 7.7.7");
		expect(rows.sriov).toMatchObject({ state: "ok", sha256: hash(own) });
	});
});

test("version tells what it is", async () => {
	const told = JSON.parse((await berth(["version", "--json"])).stdout);
	expect(told).toMatchObject({ version: "0.1.0", sha256: hash(own), plugins: PLUGINS });
	expect((await berth(["version"])).stdout).toContain(`sha256   ${hash(own)}`);
});

test("a hard link elsewhere is as good as a copy", async () => {
	const { root, directory, to } = place();
	linkSync(otherVersion(root, "1.1.1"), join(directory, "berth"));
	expect((await berth(["install", ...to], join(root, "berth-1.1.1"))).status).toBe(0);
	expect((await berth(["verify", ...to], join(root, "berth-1.1.1"))).status).toBe(0);
});
