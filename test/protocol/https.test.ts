/**
 * Requests to a real TLS server: lib/http and the runtime's TLS against Node's.
 */
import { spawn } from "node:child_process";
import { mkdtempDisposableSync, writeFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { get, HttpFixture } from "../fixtures/http/run.ts";
import { Authority, type KeyKind } from "../lab/certificates.ts";
import { TestServer } from "../lab/tls-server.ts";

const fixture = await HttpFixture.build();
let authority: Authority;
beforeAll(() => {
	authority = new Authority();
});
afterAll(() => authority[Symbol.dispose]());

const NAMES = "DNS:localhost,IP:127.0.0.1,IP:::1";

const serving = (answer: RequestListener, options: object = {}): Promise<TestServer> => {
	const { certificate, key } = authority.make({ usage: "serverAuth", names: NAMES });
	return TestServer.https({ cert: certificate, key, ...options }, answer);
};
const at = ({ port }: TestServer, host = "127.0.0.1") => ({ host, port, ca: authority.ca });

test.each(["localhost", "127.0.0.1", "::1"])("GET from %s", async (host) => {
	await using server = await serving((request, response) => response.end(`${request.url} for ${request.headers.host}`));
	const [outcome] = await fixture.run(at(server, host), [{ method: "GET", path: "/path?query=1" }]);
	const name = host === "::1" ? "[::1]" : host;
	expect(outcome).toMatchObject({ reply: { status: 200, body: `/path?query=1 for ${name}:${server.port}` } });
});

test.each(["TLSv1.2", "TLSv1.3"])("%s is spoken", async (version) => {
	const options = { minVersion: version, maxVersion: version };
	await using server = await serving((_, response) => response.end("here"), options);
	expect(await fixture.run(at(server), [get])).toMatchObject([{ reply: { status: 200, body: "here" } }]);
});

test("a server of TLS 1.1 is refused", async () => {
	const options = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
	await using server = await serving((_, response) => response.end("here"), options);
	expect(await fixture.run(at(server), [get])).toMatchObject([{ error: { reason: "tls" } }]);
});

test.each([
	["TLS_AES_128_GCM_SHA256", "TLSv1.3"],
	["TLS_AES_256_GCM_SHA384", "TLSv1.3"],
	["ECDHE-RSA-AES128-GCM-SHA256", "TLSv1.2"],
	["ECDHE-RSA-AES256-GCM-SHA384", "TLSv1.2"],
	["ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2"],
	["ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2"],
])("%s is spoken", async (ciphers, version) => {
	const { certificate, key } = authority.make({
		usage: "serverAuth",
		names: NAMES,
		key: ciphers.startsWith("ECDHE-RSA") ? "RSA" : "P-256",
	});
	const options = { cert: certificate, key, ciphers, minVersion: version, maxVersion: version };
	await using server = await serving((_, response) => response.end("here"), options);
	expect(await fixture.run(at(server), [get])).toMatchObject([{ reply: { status: 200, body: "here" } }]);
});

test.each([
	["TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3"],
	["ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2"],
])("a server that insists on %s is refused", async (ciphers, version) => {
	const options = { ciphers, minVersion: version, maxVersion: version };
	await using server = await serving((_, response) => response.end("here"), options);
	const [outcome] = await fixture.run(at(server), [get]);
	expect(outcome!.error).toMatchObject({
		reason: "tls",
		message: `127.0.0.1:${server.port}: it ends the TLS session (HandshakeFailure)`,
	});
});

test.each(["X25519", "P-256", "P-384"])("a key is exchanged by %s", async (ecdhCurve) => {
	await using server = await serving((_, response) => response.end("here"), { ecdhCurve });
	expect(await fixture.run(at(server), [get])).toMatchObject([{ reply: { status: 200, body: "here" } }]);
});

const KEY_KINDS: readonly KeyKind[] = ["P-256", "P-384", "RSA", "Ed25519"];

test.each(KEY_KINDS.flatMap((kind) => [[kind, "TLSv1.2"] as const, [kind, "TLSv1.3"] as const]))(
	"server and client show certificates with keys of %s, in %s",
	async (kind, version) => {
		const { certificate, key } = authority.make({ usage: "serverAuth", names: NAMES, key: kind });
		const versions = { minVersion: version, maxVersion: version };
		const options = {
			cert: certificate,
			key,
			ca: authority.ca,
			requestCert: true,
			rejectUnauthorized: true,
			...versions,
		};
		await using server = await serving((_, response) => response.end("welcome"), options);
		const identity = authority.make({ usage: "clientAuth", key: kind });
		const [outcome] = await fixture.run({ ...at(server), identity }, [get]);
		expect(outcome).toMatchObject({ reply: { status: 200, body: "welcome" } });
	},
);

test("a body goes there and comes back, headers too; one connection serves many requests", async () => {
	await using server = await serving((request, response) => {
		response.statusCode = 201;
		response.setHeader("X-Token", request.headers.authorization ?? "");
		request.pipe(response);
	});
	const headers = { Authorization: "Bearer secret" };
	const post = { method: "POST", path: "/", headers, body: "Grüße" };
	const outcomes = await fixture.run(at(server), [post, post, get]);
	expect(outcomes[1]!.reply).toMatchObject({ status: 201, body: "Grüße" });
	expect(outcomes[1]!.reply!.headers).toMatchObject({ "x-token": "Bearer secret" });
	expect(outcomes[2]!.reply).toMatchObject({ status: 201, body: "" });
	expect(server.connections).toBe(1);
});

test("10 MB go there and come back", async () => {
	await using server = await serving(async (request, response) => response.end(await buffer(request)));
	const body = "0123456789".repeat(1_000_000);
	const [outcome] = await fixture.run(at(server), [{ method: "PUT", path: "/", body }]);
	expect(outcome).toMatchObject({ reply: { status: 200, length: 10_000_000, end: "01234567890123456789" } });
});

test("a client certificate is shown to a server that wants one", async () => {
	const options = { ca: authority.ca, requestCert: true, rejectUnauthorized: true };
	await using server = await serving((_, response) => response.end("welcome"), options);
	const identity = authority.make({ usage: "clientAuth" });
	const [welcome] = await fixture.run({ ...at(server), identity }, [get]);
	expect(welcome).toMatchObject({ reply: { status: 200, body: "welcome" } });
	const [without] = await fixture.run(at(server), [get]);
	expect(without!.error).toMatchObject({
		reason: "tls",
		message: `127.0.0.1:${server.port}: it wants a client certificate, and none is configured`,
	});
});

test("a server that refuses the client certificate is quoted", async () => {
	using stranger = new Authority("other CA");
	using directory = mkdtempDisposableSync(join(tmpdir(), "berth-s-server-"));
	const { certificate, key } = authority.make({ usage: "serverAuth", names: NAMES });
	writeFileSync(join(directory.path, "server.pem"), certificate + key);
	writeFileSync(join(directory.path, "ca.pem"), authority.ca);
	const args = ["-accept", "127.0.0.1:0", "-www", "-cert", "server.pem", "-CAfile", "ca.pem"];
	const verify = ["-Verify", "1", "-verify_return_error"];
	const server = spawn("openssl", ["s_server", ...args, ...verify], {
		cwd: directory.path,
		stdio: ["pipe", "pipe", "ignore"],
	});
	try {
		const port = await new Promise<number>((resolve) => {
			let said = "";
			server.stdout.on("data", (data) => {
				said += data;
				const found = /ACCEPT 127\.0\.0\.1:(\d+)/.exec(said);
				if (found !== null) resolve(Number(found[1]));
			});
		});
		const endpoint = { host: "127.0.0.1", port, ca: authority.ca, identity: stranger.make({ usage: "clientAuth" }) };
		// What fits into the socket's buffers, and what does not.
		for (const length of [0, 8_000_000]) {
			const [outcome] = await fixture.run(endpoint, [{ method: "POST", path: "/", body: "x".repeat(length) }]);
			expect(outcome!.error).toMatchObject({
				reason: "tls",
				message: `127.0.0.1:${port}: it refuses our client certificate (UnknownCA)`,
			});
		}
	} finally {
		server.kill("SIGKILL");
	}
});

test("our own CA, certificate and key that cannot be used are named", async () => {
	await using server = await serving((_, response) => response.end());
	const one = authority.make({ usage: "clientAuth" });
	const other = authority.make({ usage: "clientAuth" });
	const endpoint = at(server);
	const broken = authority.ca.replace(/\n.{40}/, "\n");
	const message = async (settings: object) => (await fixture.run({ ...endpoint, ...settings }, [get]))[0]!.error;
	const says = (what: string) => ({ reason: "settings", message: `127.0.0.1:${server.port}: ${what}` });
	expect(await message({ ca: "" })).toMatchObject(says("the CA is no certificate in PEM"));
	expect(await message({ ca: "nonsense" })).toMatchObject(says("the CA is no certificate in PEM"));
	expect(await message({ ca: broken })).toMatchObject(says("the CA has no certificate that can be used"));
	expect(await message({ identity: { ...one, key: "" } })).toMatchObject(
		says("the client key is no private key in PEM"),
	);
	expect(await message({ identity: { ...one, certificate: "" } })).toMatchObject(
		says("the client certificate is no certificate in PEM"),
	);
	expect(await message({ identity: { ...one, key: other.key } })).toMatchObject(
		says("the client key does not belong to the client certificate"),
	);
	expect(server.connections).toBe(6);
});

test("a request that would end before its end is not sent, and no value is told", async () => {
	await using server = await serving((_, response) => response.end());
	const outcomes = await fixture.run(at(server), [
		{ ...get, headers: { Authorization: "Bearer secret\r\nX-Other: 1" } },
		{ ...get, headers: { "X-A: 1\r\nX-B": "2" } },
		{ ...get, headers: { "content-LENGTH": "2" } },
		{ ...get, path: "/ HTTP/1.1\r\nX: 1" },
		{ ...get, path: "here" },
		{ ...get, method: "GET / HTTP/1.1\r\nX: 1\r\n\r\nGET" },
	]);
	for (const { error } of outcomes) expect(error).toMatchObject({ name: "TypeError" });
	expect(JSON.stringify(outcomes)).not.toContain("secret");
	expect(server.connections).toBe(0);
});
