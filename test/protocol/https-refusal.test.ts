/**
 * Servers that are not to be trusted, or do not answer: each is refused in a sentence, and is not sent a byte.
 */
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { get, HttpFixture, type Outcome } from "../fixtures/http/run.ts";
import { Authority, type Identity } from "../lab/certificates.ts";
import { TestServer } from "../lab/tls-server.ts";

const fixture = await HttpFixture.build();
let authority: Authority;
let stranger: Authority;
let namesake: Authority;
beforeAll(() => {
	authority = new Authority();
	stranger = new Authority("other CA");
	namesake = new Authority();
});
afterAll(() => {
	authority[Symbol.dispose]();
	stranger[Symbol.dispose]();
	namesake[Symbol.dispose]();
});

const NAMES = "DNS:localhost,IP:127.0.0.1";
const server = { usage: "serverAuth", names: NAMES };

const refusals: [what: string, make: () => Identity, host: string, sentence: RegExp][] = [
	["another CA", () => stranger.make(server), "127.0.0.1", /no CA that is trusted here has signed its certificate$/],
	[
		"another CA of the same name",
		() => namesake.make(server),
		"127.0.0.1",
		/no CA that is trusted here has signed its certificate, though one has the signer's name$/,
	],
	[
		"a certificate that signed itself",
		() => authority.selfSigned(NAMES),
		"127.0.0.1",
		/no CA that is trusted here has signed its certificate$/,
	],
	[
		"an expired certificate",
		() => authority.make({ ...server, until: "20240229235959Z" }),
		"127.0.0.1",
		/its certificate has expired: it was valid until 2024-02-29T23:59:59Z, and now is 20\d\d-\d\d-\d\dT[\d:]{8}Z$/,
	],
	[
		"a certificate of the future",
		() => authority.make({ ...server, from: "20450301000000Z" }),
		"127.0.0.1",
		/its certificate is not valid before 2045-03-01T00:00:00Z, and now is 20\d\d-/,
	],
	[
		"a certificate for another name",
		() => authority.make({ ...server, names: "DNS:other.example,DNS:*.more.example" }),
		"localhost",
		/its certificate is not for localhost, but for other\.example, \*\.more\.example$/,
	],
	[
		"a certificate for another address",
		() => authority.make({ ...server, names: "DNS:localhost,IP:127.0.0.2,IP:fd00::1" }),
		"127.0.0.1",
		/its certificate is not for 127\.0\.0\.1, but for localhost, 127\.0\.0\.2, fd00::1$/,
	],
	[
		"a certificate without names",
		() => authority.make({ usage: "serverAuth" }),
		"localhost",
		/its certificate is not for localhost: it has no names \(subjectAltName\)$/,
	],
	[
		"a certificate for clients",
		() => authority.make({ usage: "clientAuth", names: NAMES }),
		"127.0.0.1",
		/its certificate is not for servers: its extended key usage is clientAuth$/,
	],
];

test.each(refusals)("%s", async (_, make, host, sentence) => {
	const { certificate, key } = make();
	for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
		let bytes = 0;
		const options = { cert: certificate, key, minVersion: version, maxVersion: version };
		const serve = (socket: TLSSocket) => void socket.on("data", (data) => (bytes += data.length));
		await using listening = await TestServer.tls(options, serve);
		const request = { method: "POST", path: "/", body: "secret" };
		const [outcome] = await fixture.run({ host, port: listening.port, ca: authority.ca }, [request]);
		expect(outcome!.error).toMatchObject({ reason: "certificate" });
		expect(outcome!.error!.message).toMatch(sentence);
		expect([listening.connections, bytes]).toEqual([1, 0]);
	}
});

const failing = async (listening: TestServer, deadlineMs?: number): Promise<Outcome["error"]> => {
	const endpoint = { host: "127.0.0.1", port: listening.port, ca: authority.ca };
	const [outcome] = await fixture.run(endpoint, [get], deadlineMs === undefined ? {} : { deadlineMs });
	return outcome!.error;
};

test("a server without TLS, which is not sent the request", async () => {
	let received = "";
	await using listening = await TestServer.tcp((socket) => {
		socket.on("data", (data) => {
			received += data.toString("latin1");
			socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		});
	});
	expect(await failing(listening)).toMatchObject({
		reason: "tls",
		message: `127.0.0.1:${listening.port}: it does not speak TLS`,
	});
	expect(received).not.toContain("GET");
});

test("a server that never answers the handshake", async () => {
	await using listening = await TestServer.tcp(() => {});
	expect(await failing(listening, 300)).toMatchObject({
		reason: "deadline",
		message: `127.0.0.1:${listening.port}: timed out waiting for the TLS handshake`,
	});
});

test("a server that sends its handshake byte by byte and never ends", async () => {
	await using listening = await TestServer.tcp((socket) => {
		// A record of 16 KB, of which a byte comes every now and then.
		socket.write(Uint8Array.of(22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc));
		const timer = setInterval(() => socket.write(Uint8Array.of(3)), 5);
		socket.on("close", () => clearInterval(timer));
	});
	expect(await failing(listening, 500)).toMatchObject({ reason: "deadline" });
});

test("a server that closes in the handshake", async () => {
	await using listening = await TestServer.tcp((socket) => void socket.once("data", () => socket.end()));
	expect(await failing(listening)).toMatchObject({
		reason: "closed early",
		message: `127.0.0.1:${listening.port}: the server cut the connection off`,
	});
});

test("a server that resets the connection in the handshake", async () => {
	await using listening = await TestServer.tcp((socket) => void socket.once("data", () => socket.resetAndDestroy()));
	expect(await failing(listening)).toMatchObject({ reason: "closed early" });
});

test("a server that is not there", async () => {
	const gone = await TestServer.tcp(() => {});
	await gone[Symbol.asyncDispose]();
	expect(await failing(gone)).toMatchObject({
		reason: "connect",
		message: `127.0.0.1:${gone.port} takes no connection: 127.0.0.1: connect: connection refused (ECONNREFUSED)`,
	});
});
