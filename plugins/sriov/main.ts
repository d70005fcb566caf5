import { pluginMain } from "../../lib/linux/plugin-main.ts";

// No about text, as in the Go plugin: without CNI_COMMAND it answers with error code 4.
pluginMain({ name: "sriov", about: "" });
