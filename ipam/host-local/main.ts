import { pluginMain } from "../../lib/linux/plugin-main.ts";
import { version } from "../../package.json";

pluginMain({ name: "host-local", about: `CNI host-local plugin v${version}` });
