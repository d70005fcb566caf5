import { posix } from "node:path";
import { expect, it } from "vitest";
import { joinPath } from "../../../lib/cni/path.ts";

it.each([
	"/",
	"//",
	"/a",
	"/a//b///",
	"/a/./b/.",
	"/a/../b",
	"/..",
	"/a/../../b",
	"a",
	"./",
	"a/..",
	"../a",
	"../../a/../..",
	"a/../../b",
	"/a/...",
])("joins %s as Go does (Node's join has the same rules)", (directory) => {
	expect(joinPath(directory, "net")).toBe(posix.join(directory, "net"));
});
