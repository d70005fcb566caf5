/**
 * What the plugins' functions are called with where no runtime calls.
 */
import type { Request } from "../lib/cni/types.ts";
import { encodeUtf8 } from "../lib/sys/sys.ts";
import { plugins } from "./plugins.ts";

/** A call of nobody's attachment, of no network. `path` is where plugins are: CNI_PATH. */
export const callOfNobody = (path: string): Request => ({
	verb: "GC",
	cniVersion: "1.1.0",
	network: "",
	config: {},
	containerId: "",
	ifName: "",
	netns: "",
	args: "",
	path,
	stdin: encodeUtf8("{}"),
	plugins,
});
