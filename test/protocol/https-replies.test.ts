/**
 * What a server may send, and what it must not: replies as bytes over a real TLS session.
 */
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { get, HttpFixture, type Outcome } from "../fixtures/http/run.ts";
import { Authority, type Identity } from "../lab/certificates.ts";
import { randomNumbers, SEED } from "../lab/random.ts";
import { TestServer } from "../lab/tls-server.ts";

const fixture = await HttpFixture.build();
let authority: Authority;
let identity: Identity;
beforeAll(() => {
	authority = new Authority();
	identity = authority.make({ usage: "serverAuth", names: "IP:127.0.0.1" });
});
afterAll(() => authority[Symbol.dispose]());

type Serve = (socket: TLSSocket, count: number, cut: () => void) => void;
type Requests = Parameters<HttpFixture["run"]>[1];

/**
 * `serve` is called for each request, which must be one without a body, with how many have come, and what cuts all
 * connections.
 */
async function exchange(serve: Serve, requests: Requests = [get], deadlineMs = 20_000, go = Promise.resolve()) {
	let count = 0;
	const options = { cert: identity.certificate, key: identity.key };
	await using server = await TestServer.tls(options, (socket) => {
		let text = "";
		socket.on("data", (data) => {
			text += data.toString("latin1");
			for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
				text = text.slice(end + 4);
				serve(socket, ++count, () => server.cut());
			}
		});
	});
	const endpoint = { host: "127.0.0.1", port: server.port, ca: authority.ca };
	const outcomes = await fixture.run(endpoint, requests, { deadlineMs, go });
	return { outcomes, first: outcomes[0]!, requests: count, connections: server.connections };
}

const reply = async (text: string | Buffer, request: Requests[number] = get): Promise<Outcome> =>
	(await exchange((socket) => void socket.end(text), [request])).first;

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describe("replies that are understood", () => {
	test.each([
		["of a counted body", OK, "ok"],
		["without a reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok"],
		["of lines that end with LF alone", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "ok"],
		["of HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"],
		["of an empty body", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""],
		["whose end is the session's", "HTTP/1.1 200 OK\r\n\r\nall of it", "all of it"],
		[
			"in chunks, with extensions and trailers",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nok\r\nA \r\n0123456789\r\n000\r\nX: 1\r\n\r\n",
			"ok0123456789",
		],
		["after others of 1xx", `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n${OK}`, "ok"],
	])("%s", async (_, text, body) => {
		expect(await reply(text)).toMatchObject({ reply: { status: 200, body } });
	});

	test.each([
		["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200],
		["GET", "HTTP/1.1 204 No Content\r\n\r\n", 204],
		["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", 304],
	])("%s: no body", async (method, text, status) => {
		const { outcomes, connections } = await exchange(
			(socket) => void socket.write(text),
			[
				{ method, path: "/" },
				{ method, path: "/" },
			],
		);
		expect(outcomes).toMatchObject([{ reply: { status, body: "" } }, { reply: { status, body: "" } }]);
		expect(connections).toBe(1);
	});

	test("headers: names in lower case, spaces around values gone, repeated ones joined", async () => {
		const { reply: got } = await reply(
			"HTTP/1.1 200 OK\r\nX-One: \t a b \r\nx-ONE:c\r\nContent-Length: 0\r\nEmpty:\r\n\r\n",
		);
		expect(got!.headers).toEqual({ "x-one": "a b, c", "content-length": "0", empty: "" });
	});

	test("byte by byte", async () => {
		const text = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGrü\r\n\r\n2\r\nße\r\n0\r\n\r\n`;
		const bytes = Buffer.from(text.replace("2\r\n", "3\r\n").replace("5\r\nGrü\r\n", "6\r\nGrü\r\n"));
		const { first } = await exchange((socket) => {
			socket.setNoDelay(true);
			const rest = [...bytes];
			const next = () => {
				const byte = rest.shift();
				if (byte !== undefined) socket.write(Buffer.of(byte), next);
			};
			next();
		});
		expect(first).toMatchObject({ reply: { status: 200, body: "Grü\r\nße" } });
	});

	test("10 MB in chunks of odd sizes", async () => {
		const { first } = await exchange((socket) => {
			socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
			let left = 10_000_000;
			for (let size = 1; left > 0; size = (size * 7 + 3) % 100_003) {
				const length = Math.min(size, left);
				socket.write(`${length.toString(16)}\r\n${"x".repeat(length)}\r\n`);
				left -= length;
			}
			socket.write("0\r\n\r\n");
		});
		expect(first).toMatchObject({ reply: { status: 200, length: 10_000_000 } });
	});
});

describe("replies that are refused", () => {
	const big = `X: ${"x".repeat(1000)}\r\n`.repeat(70);
	test.each([
		["garbage", "\0\x01\x02\r\n\r\n", /its reply does not begin as one of HTTP\/1\.1: "\\u0000/],
		["HTTP/2", "HTTP/2 200\r\n\r\n", /does not begin as one of HTTP\/1\.1/],
		["a header without a colon", "HTTP/1.1 200 OK\r\nfoo\r\n\r\n", /its reply has a malformed header: "foo"$/],
		["a space before the colon", "HTTP/1.1 200 OK\r\nfoo : 1\r\n\r\n", /malformed header: "foo : 1"$/],
		["a folded header", "HTTP/1.1 200 OK\r\nfoo: 1\r\n 2\r\n\r\n", /malformed header: " 2"$/],
		["a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", /content-length "-1"$/],
		["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", /content-length "1, 2"$/],
		[
			"a length of chunks",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
			/transfer coding "chunked", with content-length 2$/,
		],
		["compression", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", /transfer coding "gzip, chunked"/],
		[
			"a chunk without length",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
			/chunk of the length "xyz"$/,
		],
		[
			"a chunk that is longer than it says",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
			/a chunk of its reply is longer than it says$/,
		],
		["a body of 65 MiB", "HTTP/1.1 200 OK\r\nContent-Length: 68157440\r\n\r\n", /its reply has more than 64 MiB$/],
		[
			"a chunk of 65 MiB",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4100000\r\n",
			/its reply has more than 64 MiB$/,
		],
		["70 KB of headers", `HTTP/1.1 200 OK\r\n${big}\r\n`, /the head of its reply is too long$/],
		["a line without an end", "HTTP/1.1 200 OK\r\nX: ".padEnd(70_000, "x"), /the head of its reply is too long$/],
		["another protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n", /it switches protocols, which nobody asked for$/],
		["1xx for ever", "HTTP/1.1 100 Continue\r\n\r\n".repeat(4000), /the head of its reply is too long$/],
	])("%s", async (_, text, sentence) => {
		const { error } = await reply(text);
		expect(error).toMatchObject({ reason: "reply" });
		expect(error!.message).toMatch(sentence);
	});

	test.each([
		["nothing", ""],
		["half a head", "HTTP/1.1 200 OK\r\nConte"],
		["half a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"],
		["half the chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"],
	])("%s, and the end", async (_, text) => {
		const { error } = await reply(text);
		expect(error).toMatchObject({ reason: "closed early" });
	});

	test("a body up to an end that is the connection's, not the session's", async () => {
		const { first } = await exchange((socket, _, cut) => {
			socket.write("HTTP/1.1 200 OK\r\n\r\nhalf of it", cut);
		});
		expect(first.error).toMatchObject({ reason: "closed early" });
	});

	test("a reply that never ends takes no longer than there is time", async () => {
		const { first } = await exchange(
			(socket) => {
				socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
				const timer = setInterval(() => socket.write("x"), 5);
				socket.on("close", () => clearInterval(timer));
			},
			[get],
			3000,
		);
		expect(first.error).toMatchObject({ reason: "deadline" });
		expect(first.error!.message).toMatch(/: timed out waiting for the reply$/);
	});
});

describe("a connection that is kept", () => {
	const post = { method: "POST", path: "/" };

	test.each([
		["says so", "HTTP/1.1 200 OK\r\nConnection: keep-alive, Close\r\nContent-Length: 0\r\n\r\n"],
		["is of HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
		["is longer than it says", `${OK}HTTP/1.1 200 OK\r\n\r\n`],
	])("it is not, where the reply %s", async (_, text) => {
		const { outcomes, connections } = await exchange((socket) => void socket.write(text), [get, get]);
		expect(outcomes).toMatchObject([{ reply: { status: 200 } }, { reply: { status: 200 } }]);
		expect(connections).toBe(2);
	});

	/** Answers the first request of each connection; the second ends it without a word. */
	const closing = (): Serve => {
		const served = new WeakSet<TLSSocket>();
		return (socket) => {
			if (served.has(socket)) socket.destroy();
			else {
				served.add(socket);
				socket.write(OK);
			}
		};
	};

	test("and closed by the server in the next request: asked again on a new one, if that does no harm", async () => {
		for (const request of [get, { ...post, repeatable: true }]) {
			const { outcomes, requests, connections } = await exchange(closing(), [request, request]);
			expect(outcomes).toMatchObject([{ reply: { body: "ok" } }, { reply: { body: "ok" } }]);
			expect([requests, connections]).toEqual([3, 2]);
		}
		for (const request of [post, { ...get, repeatable: false }]) {
			const { outcomes, requests, connections } = await exchange(closing(), [request, request]);
			expect(outcomes).toMatchObject([{ reply: { body: "ok" } }, { error: { reason: "closed early" } }]);
			expect([requests, connections]).toEqual([2, 1]);
		}
	});

	test("and closed by the server before the next request: that one goes to a new one, whatever it is", async () => {
		const { promise, resolve } = Promise.withResolvers<void>();
		const { outcomes, requests, connections } = await exchange(
			(socket) => void socket.end(OK, resolve),
			[post, { ...post, waits: true }],
			undefined,
			promise,
		);
		expect(outcomes).toMatchObject([{ reply: { body: "ok" } }, { reply: { body: "ok" } }]);
		expect([requests, connections]).toEqual([2, 2]);
	});

	test("and closed after some of a reply has come: not asked again", async () => {
		const { outcomes, requests } = await exchange(
			(socket, count) => void (count === 1 ? socket.write(OK) : socket.end("HTTP/1.1 2")),
			[get, get],
		);
		expect(outcomes).toMatchObject([{ reply: { body: "ok" } }, { error: { reason: "closed early" } }]);
		expect(requests).toBe(2);
	});

	test("only once: a server that closes every time is not asked for ever", async () => {
		const { outcomes, requests } = await exchange(
			(socket, count) => void (count === 1 ? socket.write(OK) : socket.destroy()),
			[get, get],
		);
		expect(outcomes[1]).toMatchObject({ error: { reason: "closed early" } });
		expect(requests).toBe(3);
	});
});

test("replies that are mutated by chance: each ends with a reply or a sentence", async () => {
	const seeds = [
		`HTTP/1.1 100 Continue\r\n\r\n${OK}`,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n2;x=y\r\nok\r\n5\r\nabcde\r\n0\r\nX: 1\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n" + '{"kind":"Status"}   ',
	];
	const below = randomNumbers(SEED);
	const interesting = [
		"\r\n",
		"\n",
		"\r",
		":",
		"\0",
		"ÿ",
		" ",
		"0",
		"ffffffffffff",
		"Content-Length: 99999999999\r\n",
		"-",
	];
	const mutate = (): Buffer => {
		let text = seeds[below(seeds.length)]!;
		for (let change = below(4); change >= 0; change--) {
			const at = below(text.length + 1);
			const piece = interesting[below(interesting.length)]!;
			const end = below(3) === 0 ? at + below(20) : at + below(2);
			text = text.slice(0, at) + (below(3) === 0 ? "" : piece) + text.slice(end);
		}
		return Buffer.from(text, "latin1");
	};
	const requests = new Array(500).fill(get);
	const { outcomes } = await exchange((socket) => void socket.end(mutate()), requests);
	const reasons = new Set<string>();
	for (const { reply: got, error } of outcomes) {
		if (error !== undefined) expect(error.name, `seed ${SEED}`).toBe("HttpError");
		reasons.add(got === undefined ? error!.reason! : "a reply");
	}
	expect([...reasons].sort(), `seed ${SEED}`).toEqual(["a reply", "closed early", "reply"]);
});
