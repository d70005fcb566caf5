import { pluginMain } from "../../lib/linux/plugin-main.ts";
import * as sys from "../../lib/linux/sys.ts";
import { version } from "../../package.json";

// The Go plugin's flag, in each spelling that Go's flag package takes. Go's release builds fill in commit and date.
if (["-v", "--v", "-version", "--version"].includes(sys.args().at(-1) ?? "")) {
	sys.write(1, `rdma-cni cni version:${version}, commit:unknown commit, date:unknown date\n`);
	sys.exit(0);
}
// No about text, as in the Go plugin: without CNI_COMMAND it answers with error code 4.
pluginMain({ name: "rdma", about: "" });
