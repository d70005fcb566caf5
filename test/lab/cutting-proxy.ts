/** A TCP proxy that cuts some of its connections, as a network that fails does. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { randomNumbers } from "./random.ts";

/** More than a TLS handshake, so that cuts fall before, in and after a request. */
const LONGEST_BYTES = 6_000;

interface CuttingProxy extends AsyncDisposable {
	readonly port: number;
	/** How many connections there were, and how many of them were cut. */
	readonly connections: number;
	readonly cut: number;
}

/** Of a thousand connections, `perMille` end after some bytes of the server's answers. */
export async function cuttingProxy(
	target: number,
	perMille: number,
	random: ReturnType<typeof randomNumbers>,
): Promise<CuttingProxy> {
	const open = new Set<Socket>();
	let [connections, cut] = [0, 0];
	const server = createServer((client) => {
		connections++;
		const upstream = connect(target, "127.0.0.1");
		const both = [client, upstream];
		const end = (): void => {
			for (const socket of both) socket.destroy();
		};
		for (const socket of both) {
			open.add(socket);
			socket.on("error", end).on("close", () => open.delete(socket));
		}
		if (random(1000) < perMille) {
			cut++;
			const limit = random(LONGEST_BYTES);
			let bytes = 0;
			upstream.on("data", (data) => {
				bytes += data.length;
				if (bytes > limit) end();
			});
		}
		client.pipe(upstream);
		upstream.pipe(client);
	});
	await once(server.listen(0, "127.0.0.1"), "listening");
	return {
		port: (server.address() as AddressInfo).port,
		get connections() {
			return connections;
		},
		get cut() {
			return cut;
		},
		async [Symbol.asyncDispose]() {
			for (const socket of open) socket.destroy();
			await once(server.close(), "close");
		},
	};
}
