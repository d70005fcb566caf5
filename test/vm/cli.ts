/** `test/vm/guest run|boot|exec`: see there for the options. */
import { parseArgs } from "node:util";
import { Guest, type GuestOptions } from "../lab/guest.ts";
import { createRdmaDevices, createVfs } from "../lab/sriov.ts";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		pfs: { type: "string", default: "2" },
		vfs: { type: "string", default: "0" },
		rdma: { type: "boolean", default: false },
		"rdma-shared": { type: "boolean", default: false },
		"no-iommu": { type: "boolean", default: false },
		memory: { type: "string", default: "2048" },
		module: { type: "string", multiple: true, default: [] },
	},
});

async function boot(): Promise<Guest> {
	const options: GuestOptions = {
		pfs: Number(values.pfs),
		rdmaShared: values["rdma-shared"],
		iommu: !values["no-iommu"],
		memoryMb: Number(values.memory),
		modules: values.module,
		log: (line) => console.error(line),
	};
	const guest = await Guest.boot(options);
	for (let pf = 0; Number(values.vfs) > 0 && pf < Number(values.pfs); pf++) {
		const vfs = await createVfs(guest, `eth${pf}`, Number(values.vfs));
		if (values.rdma) {
			await createRdmaDevices(guest, vfs, `mlx5_${pf * 10}`);
		}
	}
	return guest;
}

/** Runs the command here: its output as it comes, its exit status, 128 + N for signal N as in a shell. */
async function runHere(guest: Guest, argv: readonly string[]): Promise<void> {
	if (argv.length === 0) {
		throw new Error("no command given");
	}
	const { PWD: _, ...environment } = process.env as Record<string, string>;
	const result = await guest.run(argv, {
		env: environment,
		ok: false,
		timeoutMs: 0,
		onStdout: (bytes) => process.stdout.write(bytes),
		onStderr: (bytes) => process.stderr.write(bytes),
	});
	process.exitCode = result.status ?? 128;
}

async function keep(guest: Guest): Promise<void> {
	guest.disconnect();
	console.log(guest.directory);
	console.error("guest: running until Ctrl-C");
	await new Promise((resolve) => {
		process.once("SIGINT", resolve);
		process.once("SIGTERM", resolve);
		process.stdin.once("end", resolve).resume();
	});
	process.stdin.destroy();
}

async function main(): Promise<void> {
	const [verb, ...rest] = positionals;
	if (verb === "exec") {
		const [directory = "", ...argv] = rest;
		await using guest = await Guest.connect(directory);
		await guest.refresh();
		await runHere(guest, argv);
		return;
	}
	await using guest = await boot();
	await (verb === "run" ? runHere(guest, rest) : keep(guest));
}

try {
	await main();
} catch (error) {
	console.error(`guest: ${(error as Error).message}`);
	process.exitCode = 1;
}
