import { pluginMain } from "../../lib/linux/plugin-main.ts";

pluginMain({ name: "static", about: "CNI static plugin" });
