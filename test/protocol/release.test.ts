/** `npm run release`: the same bytes wherever it is made, and a list of parts that others can read. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { Ajv } from "ajv";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { version } from "../../package.json";

const ROOT = join(import.meta.dirname, "../..");
const TITLE = `berth-${version}-linux-${{ x64: "amd64", arm64: "arm64" }[process.arch as string]}`;
const TIME = 1_700_000_000;

/** Below ours, since links to node_modules must be on one disk. */
let directory: string;
let one: string;
let other: string;

/** This checkout's files in a directory of their own. */
async function checkout(name: string): Promise<string> {
	const path = join(directory, name);
	const listed = await execa("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: ROOT });
	for (const file of listed.stdout.split("\0").filter(Boolean)) {
		if (statSync(join(ROOT, file), { throwIfNoEntry: false }) === undefined) continue;
		mkdirSync(dirname(join(path, file)), { recursive: true });
		cpSync(join(ROOT, file), join(path, file));
	}
	await execa("cp", ["-al", join(ROOT, "node_modules"), path]);
	return path;
}

/** Makes a release there; returns its directory. */
async function release(root: string, umask: string, env: Record<string, string>): Promise<string> {
	const shell = `umask ${umask} && exec "$0" scripts/release.ts`;
	const SOURCE_DATE_EPOCH = String(TIME);
	await execa("sh", ["-c", shell, process.execPath], { cwd: root, env: { ...env, SOURCE_DATE_EPOCH } });
	return join(root, "dist/release");
}

beforeAll(async () => {
	mkdirSync(join(ROOT, "build"), { recursive: true });
	directory = mkdtempSync(join(ROOT, "build/release-test-"));
	one = await release(await checkout("one"), "022", { TZ: "UTC" });
	const surroundings = { TZ: "Asia/Tokyo", LC_ALL: "C.UTF-8", TAR_OPTIONS: "--owner=somebody" };
	other = await release(await checkout("a-directory-with-a-longer-name"), "077", surroundings);
}, 900_000);
afterAll(() => rmSync(directory, { recursive: true }));

test("two releases in different directories and environments are equal to the byte", () => {
	const files = readdirSync(one).sort();
	expect(files).toEqual(["SHA256SUMS", `${TITLE}.cdx.json`, `${TITLE}.tar.gz`]);
	expect(readdirSync(other).sort()).toEqual(files);
	for (const file of files)
		expect(readFileSync(join(one, file)).equals(readFileSync(join(other, file))), file).toBe(true);
});

test("SHA256SUMS is what sha256sum checks", () => {
	const checked = spawnSync("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: one, encoding: "utf8" });
	expect(checked.stdout).toBe(`${TITLE}.cdx.json: OK\n${TITLE}.tar.gz: OK\n`);
});

test("the tarball has one executable under all names, of root, readable by all, and it runs", async () => {
	const unpacked = join(directory, "unpacked");
	mkdirSync(unpacked);
	const listed = await execa("tar", ["-tvzf", join(one, `${TITLE}.tar.gz`)]);
	for (const line of listed.stdout.split("\n")) expect(line).toMatch(/^([-h]rw[-x]r-[-x]r-[-x]|drwxr-xr-x) 0\/0 /);
	await execa("tar", ["-xzf", join(one, `${TITLE}.tar.gz`), "-C", unpacked]);
	const top = join(unpacked, TITLE);
	expect(readFileSync(join(top, "LICENSE"), "utf8")).toContain("Apache License");
	const notices = readFileSync(join(top, "THIRD-PARTY-LICENSES"), "utf8");
	for (const whose of ["Fabrice Bellard", "Vitaly Puzrin", "Squirrel Chat", "Rich Felker", "rustls"]) {
		expect(notices).toContain(whose);
	}
	const bin = join(top, "bin");
	const names = readdirSync(bin).sort();
	expect(names).toEqual(["berth", "dhcp", "host-local", "rdma", "sriov", "static", "whereabouts"]);
	expect(new Set(names.map((name) => statSync(join(bin, name)).ino)).size).toBe(1);
	expect(Math.floor(statSync(join(bin, "berth")).mtimeMs / 1000)).toBe(TIME);
	const answer = await execa(join(bin, "host-local"), [], { env: { CNI_COMMAND: "VERSION" }, extendEnv: false });
	expect(JSON.parse(answer.stdout).supportedVersions).toContain("1.1.0");
});

test("the list of parts is CycloneDX 1.6, and has what is linked in", () => {
	const bill = JSON.parse(readFileSync(join(one, `${TITLE}.cdx.json`), "utf8"));
	const schemas = join(ROOT, "node_modules/@cyclonedx/cyclonedx-library/res/schema");
	const schema = (name: string) => JSON.parse(readFileSync(join(schemas, `${name}.SNAPSHOT.schema.json`), "utf8"));
	const ajv = new Ajv({ strict: false, validateFormats: false });
	for (const name of ["spdx", "jsf-0.82", "cryptography-defs"])
		ajv.addSchema(schema(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
	const check = ajv.compile(schema("bom-1.6"));
	check(bill);
	expect(check.errors).toBe(null);

	const parts: { name: string; version: string; purl: string; hashes?: unknown[] }[] = bill.components;
	const names = parts.map(({ name }) => name);
	expect(names).toEqual(
		expect.arrayContaining(["js-yaml", "ring", "rustls", "rquickjs-sys", "quickjs-ng", "rust-std"]),
	);
	// Neither what only builds, nor what only tests.
	for (const absent of ["zod", "esbuild", "ajv", "cc", "syn", "arena"]) expect(names).not.toContain(absent);
	expect(bill.metadata.timestamp).toBe("2023-11-14T22:13:20.000Z");
	const engine = parts.find(({ name }) => name === "quickjs-ng")!;
	const berth = spawnSync(join(directory, "unpacked", TITLE, "bin/berth"), ["--version"], { encoding: "utf8" });
	expect(berth.stdout).toContain(`QuickJS-ng ${engine.version}`);
	const refs = new Set([bill.metadata.component["bom-ref"], ...parts.map(({ purl }) => purl)]);
	for (const { ref, dependsOn } of bill.dependencies as { ref: string; dependsOn: string[] }[])
		for (const each of [ref, ...dependsOn]) expect(refs, each).toContain(each);
	for (const { purl, hashes } of parts) if (/^pkg:(npm|cargo)/.test(purl)) expect(hashes, purl).toHaveLength(1);
});
