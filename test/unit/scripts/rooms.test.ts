import { describe, expect, it } from "vitest";
import { cycles, directoryCycles, fileCycles, findImports, violations } from "../../../scripts/rooms.ts";

const file = (from: string, to: string) => ({ from, to, isFile: true });
const outside = (from: string, to: string) => ({ from, to, isFile: false });

describe("the floor plan", () => {
	it("holds for this tree", () => {
		const imports = findImports(".");
		expect(imports).toContainEqual(file("lib/ip/cidr.ts", "lib/ip/address.ts"));
		expect(imports).toContainEqual(outside("lib/sys/sys.ts", "native:sys"));
		expect([violations(imports), directoryCycles(imports), fileCycles(imports)]).toEqual([[], [], []]);
	});

	it("allows what is on a lower storey, in the same directory, and no more", () => {
		expect(
			violations([
				file("plugins/sriov/add.ts", "lib/cni/error.ts"),
				file("plugins/sriov/add.ts", "plugins/sriov/del.ts"),
				file("lib/plugin/applets.ts", "package.json"),
				file("lib/sys/lock.ts", "lib/cni/error.ts"),
				file("plugins/sriov/add.ts", "plugins/rdma/del.ts"),
				file("lib/new/thing.ts", "lib/sys/sys.ts"),
				outside("lib/sys/files.ts", "native:sys"),
				outside("plugins/sriov/add.ts", "zod"),
				outside("lib/cni/json.ts", "node:fs"),
			]),
		).toEqual([
			"lib/sys/lock.ts: lib/sys may not import lib/cni/error.ts",
			"plugins/sriov/add.ts: plugins/sriov may not import plugins/rdma/del.ts",
			"lib/new/thing.ts: there is no room lib/new in docs/architecture.md",
			"lib/sys/files.ts may not import native:sys",
			"plugins/sriov/add.ts may not import zod",
			"lib/cni/json.ts: lib/cni may not import node:fs",
		]);
	});

	it("finds cycles of any length, each once", () => {
		const edges = ["ab", "bc", "ca", "cd", "de", "ed", "ff", "xa"].map((edge) => [edge[0]!, edge[1]!] as const);
		expect(cycles(edges)).toEqual([
			["a", "b", "c"],
			["d", "e"],
		]);
	});
});
