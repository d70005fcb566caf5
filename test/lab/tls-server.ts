/**
 * TLS servers of a test, in its own process, on a port of their own of every loopback address.
 */
import { once } from "node:events";
import type { RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";

export class TestServer implements AsyncDisposable {
	readonly port: number;
	readonly #server: Server;
	readonly #sockets = new Set<Socket>();
	/** Connections that came. */
	connections = 0;

	private constructor(server: Server) {
		this.#server = server;
		this.port = (server.address() as AddressInfo).port;
		server.on("connection", (socket: Socket) => {
			this.connections++;
			this.#sockets.add(socket);
			// What a client that was refused does to its connection is its own business.
			socket.on("error", () => {});
		});
	}

	static async #listen(server: Server): Promise<TestServer> {
		server.listen(0, "::");
		await once(server, "listening");
		return new TestServer(server);
	}

	static https(options: TlsOptions, answer: RequestListener): Promise<TestServer> {
		return TestServer.#listen(createHttpsServer(options, answer));
	}

	static tls(options: TlsOptions, serve: (socket: TLSSocket) => void): Promise<TestServer> {
		const server = createTlsServer(options, (socket) => {
			socket.on("error", () => {});
			serve(socket);
		});
		server.on("tlsClientError", () => {});
		return TestServer.#listen(server);
	}

	static tcp(serve: (socket: Socket) => void): Promise<TestServer> {
		return TestServer.#listen(createTcpServer(serve));
	}

	/** Ends all connections, and no TLS session before. */
	cut(): void {
		for (const socket of this.#sockets) socket.destroy();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.cut();
		this.#server.close();
	}
}
