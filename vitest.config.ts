import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { validatorVitePlugin } from "./scripts/build/validators.ts";

/** The tiers. `unit` is pure code; the others run programs, so they get time and run as root. */
export default defineConfig({
	test: {
		projects: [
			{
				plugins: [validatorVitePlugin()],
				// The host's native module is not there on Node: pure parts work, the rest says so (or is mocked).
				resolve: { alias: { "native:sys": fileURLToPath(new URL("test/lab/native-sys.ts", import.meta.url)) } },
				test: {
					name: "unit",
					include: ["test/unit/**/*.test.ts"],
					setupFiles: ["test/unit/setup.ts"],
					// A thousand random values take seconds where the machine is busy.
					testTimeout: 60_000,
				},
			},
			{
				// Some compare the executable with the same functions on Node.
				resolve: { alias: { "native:sys": fileURLToPath(new URL("test/lab/native-sys.ts", import.meta.url)) } },
				test: {
					name: "protocol",
					include: ["test/protocol/**/*.test.ts"],
					testTimeout: 300_000,
					hookTimeout: 600_000,
				},
			},
			{
				test: {
					name: "peers",
					include: ["test/peers/**/*.test.ts"],
					// A first run compiles the Go peers.
					testTimeout: 600_000,
					hookTimeout: 3_600_000,
				},
			},
			{
				plugins: [validatorVitePlugin()],
				// The plugins in this process, on files in a directory of their own.
				resolve: { alias: { "native:sys": fileURLToPath(new URL("test/fuzz/native-sys.ts", import.meta.url)) } },
				test: { name: "fuzz", include: ["test/fuzz/**/*.test.ts"], hookTimeout: 60_000 },
			},
			{
				test: {
					name: "kube",
					include: ["test/kube/**/*.test.ts"],
					// Each file starts an API server, and some measure.
					fileParallelism: false,
					testTimeout: 600_000,
					// A first run compiles the API server.
					hookTimeout: 3_600_000,
				},
			},
			{
				test: {
					name: "runtime",
					include: ["test/runtime/**/*.test.ts"],
					// Two kubelets on one machine would share their cgroups.
					fileParallelism: false,
					testTimeout: 900_000,
					// A first run compiles the API server and the kubelet, and makes the guest.
					hookTimeout: 3_600_000,
				},
			},
			{
				test: {
					name: "guest",
					include: ["test/guest/**/*.test.ts"],
					globalSetup: ["test/lab/guest-setup.ts"],
					// One guest, one file after the other in it.
					fileParallelism: false,
					testTimeout: 600_000,
					hookTimeout: 900_000,
				},
			},
			{
				test: {
					name: "faults",
					include: ["test/faults/**/*.test.ts"],
					globalSetup: ["test/lab/guest-setup.ts"],
					fileParallelism: false,
					// One test goes through every system call of a verb.
					testTimeout: 1_800_000,
					hookTimeout: 900_000,
				},
			},
		],
	},
});
