/**
 * The heap image: what may not be in it, and that a process that starts from it does what one without it does.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundle } from "../../scripts/build/bundle.ts";
import { compileHost, hostTarget } from "../../scripts/build/host.ts";
import { SAMPLES } from "../../scripts/build/image.ts";
import { compileC } from "../lab/fixture-executable.ts";
import { SEED } from "../lab/random.ts";

const ROOT = join(import.meta.dirname, "../..");
const BYTECODE = join(ROOT, "dist/bytecode");

/** As many as a test run has time for; `BERTH_STARTS=100000 npm run test:protocol -- image` for more. */
const STARTS = process.env.BERTH_STARTS ?? "2000";

let directory: string;

beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), "berth-image-test-"));
	execFileSync(process.execPath, [join(ROOT, "scripts/build.ts"), "--fast", "--bytecode"], { stdio: "ignore" });
});
afterAll(() => rmSync(directory, { recursive: true }));

/** The image of the linked executable, made in a directory and an environment of its own. */
function makeImage(name: string, environment: Record<string, string>): Buffer {
	const temporary = join(directory, name);
	mkdirSync(temporary);
	const before = { ...process.env };
	const path = join(temporary, "berth");
	try {
		Object.assign(process.env, environment, { TMPDIR: temporary });
		compileHost(ROOT, hostTarget(ROOT), join(ROOT, "build/modules"), path, { samples: SAMPLES });
	} finally {
		for (const key of Object.keys(process.env)) if (!(key in before)) delete process.env[key];
		Object.assign(process.env, before);
		if (before.TMPDIR === undefined) delete process.env.TMPDIR;
	}
	return readFileSync(path);
}

describe("an image", () => {
	test("is the same to the byte wherever it is made, whatever the environment", () => {
		const [one, other] = [
			makeImage("one", {}),
			makeImage("a-much-longer-name", { LANG: "C", SECRET: "x".repeat(9000) }),
		];
		expect(one.equals(other)).toBe(true);
		expect(one.length).toBeGreaterThan(readFileSync(join(BYTECODE, "berth")).length);
	});

	test.each([
		["pid", "sys.pid()"],
		["variable", 'sys.variable("PATH")'],
		["realtimeMs", "sys.realtimeMs()"],
		["readFile", 'sys.readFile("/etc/hostname", 99)'],
	])(
		"cannot be made of a module that calls %s while it is evaluated",
		async (name, expression) => {
			const entry = join(directory, `${name}.js`);
			writeFileSync(
				entry,
				`import * as sys from "native:sys";\nexport const seen = ${expression};\nexport function main() {}\n`,
			);
			const modules = join(directory, `modules-${name}`);
			await bundle("/", entry, modules);
			expect(() => compileHost(ROOT, hostTarget(ROOT), modules, join(directory, name))).toThrow(
				`${name} is called while modules are evaluated: it must be in a function`,
			);
		},
		300_000,
	);

	test("can be made where the engine keeps addresses of what it has freed, which it does not follow", async () => {
		// A shape of one object alone keeps the link to the next one in the table of shapes that it was taken out of.
		const entry = join(directory, "shapes.js");
		writeFileSync(
			entry,
			`const objects = Array.from({ length: 500 }, (_, index) => {
	const object = { [\`a\${index}\`]: 1, [\`b\${index}\`]: 2 };
	delete object[\`a\${index}\`];
	return object;
});
export function main() {
	if (objects.some((object, index) => Object.keys({ ...object, more: 1 }).join() !== \`b\${index},more\`)) throw Error();
}
`,
		);
		const modules = join(directory, "modules-shapes");
		await bundle("/", entry, modules);
		const made = join(directory, "shapes");
		compileHost(ROOT, hostTarget(ROOT), modules, made);
		expect(spawnSync(made)).toMatchObject({ status: 0 });
	}, 300_000);

	test("has no Math.random: its numbers would be the same in every process", () => {
		expect(readFileSync(join(ROOT, "build/modules/berth.js"), "utf8")).not.toContain("Math.random");
	});
});

test(`${STARTS} starts in random surroundings: environment, limits of stack and memory, closed descriptors: each as without an image`, () => {
	const starts = compileC("test/fixtures/image/starts.c");
	// In directories whose names are equally long: the name of a program counts where the kernel limits its
	// environment.
	const directories = ["image", "bytes"].map((name) => join(directory, name));
	for (const [index, source] of [join(ROOT, "dist/bin"), BYTECODE].entries())
		cpSync(source, directories[index]!, { recursive: true, filter: (path) => !basename(path).startsWith(".") });
	const ended = spawnSync(starts, [STARTS, String(SEED), ...directories], { encoding: "utf8" });
	console.log(`seed ${SEED}: ${ended.stdout.trimEnd()}`);
	expect(ended.stdout).toMatch(/ 0 different\n$/);
	expect(ended.status).toBe(0);
	// It was about something: nearly all did start.
	expect(Number(/(\d+) answered alike/.exec(ended.stdout)?.[1])).toBeGreaterThan(Number(STARTS) * 0.8);
}, 7_200_000);
