import { pluginMain } from "../../lib/linux/plugin-main.ts";
import { version } from "../../package.json";

pluginMain({ name: "static", about: `CNI static plugin v${version}` });
