/**
 * Requests to a real TLS server: lib/http and the runtime's TLS against Node's.
 */
import { once } from "node:events";
import type { RequestListener } from "node:http";
import { createServer, type Server, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { get, HttpFixture } from "../fixtures/http/run.ts";
import { Authority } from "../lab/certificates.ts";

let fixture: HttpFixture;
let authority: Authority;
beforeAll(async () => {
	fixture = await HttpFixture.build();
	authority = new Authority();
});
afterAll(() => authority[Symbol.dispose]());

const GOOD = { usage: "serverAuth", names: "DNS:localhost,IP:127.0.0.1,IP:::1" };

class Listening implements AsyncDisposable {
	readonly server: Server;
	readonly port: number;
	/** Connections that came. */
	connections = 0;

	private constructor(server: Server) {
		this.server = server;
		this.port = (server.address() as AddressInfo).port;
		server.on("connection", () => this.connections++);
	}

	static async start(options: ServerOptions, answer: RequestListener): Promise<Listening> {
		const server = createServer(options, answer);
		server.listen(0, "::");
		await once(server, "listening");
		return new Listening(server);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.server.closeAllConnections();
		this.server.close();
	}
}

const serving = (answer: RequestListener, options: ServerOptions = {}): Promise<Listening> => {
	const { certificate, key } = authority.make(GOOD);
	return Listening.start({ cert: certificate, key, ...options }, answer);
};

test.each(["localhost", "127.0.0.1", "::1"])("GET from %s", async (host) => {
	await using listening = await serving((request, response) =>
		response.end(`${request.url} for ${request.headers.host}`),
	);
	const endpoint = { host, port: listening.port, ca: authority.ca };
	const [outcome] = await fixture.run(endpoint, [{ method: "GET", path: "/path?query=1" }]);
	const name = host === "::1" ? "[::1]" : host;
	expect(outcome).toMatchObject({ reply: { status: 200, body: `/path?query=1 for ${name}:${listening.port}` } });
});

test("a body goes there and comes back, headers too; one connection serves many requests", async () => {
	await using listening = await serving((request, response) => {
		response.statusCode = 201;
		response.setHeader("X-Token", request.headers.authorization ?? "");
		request.pipe(response);
	});
	const post = { method: "POST", path: "/", headers: { Authorization: "Bearer secret" }, body: "Grüße" };
	const outcomes = await fixture.run({ host: "127.0.0.1", port: listening.port, ca: authority.ca }, [post, post, get]);
	expect(outcomes[1]!.reply).toMatchObject({ status: 201, body: "Grüße" });
	expect(outcomes[1]!.reply!.headers).toMatchObject({ "x-token": "Bearer secret" });
	expect(outcomes[2]!.reply).toMatchObject({ status: 201, body: "" });
	expect(listening.connections).toBe(1);
});
