import { pluginMain } from "../../lib/linux/plugin-main.ts";

pluginMain({ name: "host-local", about: "CNI host-local plugin" });
