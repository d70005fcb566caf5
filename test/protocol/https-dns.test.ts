/**
 * Names that only a nameserver knows: lib/http against dnsmasq, and against nameservers that lie or say nothing.
 *
 * Nameservers listen on loopback addresses of the test's own; the executable runs with an /etc/resolv.conf and an
 * /etc/hosts of its own, in a mount namespace. Where a name leads is seen in the error that says who takes no
 * connection.
 */
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { get, HttpFixture, type Outcome } from "../fixtures/http/run.ts";
import { Authority } from "../lab/certificates.ts";
import { TestServer } from "../lab/tls-server.ts";

const directory = mkdtempDisposableSync(join(tmpdir(), "berth-dns-"));
const NET = `127.${randomInt(1, 255)}.${randomInt(1, 255)}`;
const DNSMASQ = `${NET}.1`;
const SILENT = `${NET}.2`;
const LIAR = `${NET}.3`;
/** Nobody is there. */
const ABSENT = `${NET}.4`;
const MANY = Array.from({ length: 60 }, (_, index) => `127.9.9.${index + 1}`);

let fixture: HttpFixture;
let dnsmasq: ReturnType<typeof spawn>;
const sockets: Socket[] = [];
/** A port that nobody listens on. */
let closed: number;

beforeAll(async () => {
	fixture = await HttpFixture.build();
	const gone = await TestServer.tcp(() => {});
	await gone[Symbol.asyncDispose]();
	closed = gone.port;
	const args = [
		"--no-daemon",
		"--conf-file=/dev/null",
		"--no-resolv",
		"--no-hosts",
		"--bind-interfaces",
		"--user=root",
	];
	const records = [
		"--local=/test/",
		"--host-record=api.test,127.0.0.1",
		"--host-record=both.test,127.8.8.8,::1",
		"--host-record=six.test,::1",
		"--cname=one.test,two.test",
		"--cname=two.test,both.test",
		...MANY.map((address) => `--host-record=many.test,${address}`),
	];
	dnsmasq = spawn("dnsmasq", [...args, `--listen-address=${DNSMASQ}`, ...records], {
		stdio: ["ignore", "ignore", "pipe"],
	});
	await once(dnsmasq.stderr!, "data");
	await nameserver(SILENT, () => {});
});
afterAll(() => {
	dnsmasq?.kill("SIGKILL");
	for (const socket of sockets) socket.close();
	directory[Symbol.dispose]();
});

async function nameserver(address: string, answer: (question: Buffer, from: RemoteInfo, socket: Socket) => void) {
	const socket = createSocket("udp4", (question, from) => answer(question, from, socket));
	socket.bind(53, address);
	await once(socket, "listening");
	sockets.push(socket);
}

interface Surroundings {
	readonly resolvConf: string;
	readonly hosts?: string;
	readonly deadlineMs?: number;
	readonly port?: number;
	readonly ca?: string;
}

async function ask(
	host: string,
	{ resolvConf, hosts = "", deadlineMs = 20_000, port = closed, ca = "" }: Surroundings,
): Promise<Outcome> {
	const files = [join(directory.path, "resolv.conf"), join(directory.path, "hosts")] as const;
	writeFileSync(files[0], resolvConf);
	writeFileSync(files[1], hosts);
	const script = 'mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"';
	const wrapper = ["unshare", "-m", "sh", "-c", script, "sh", ...files];
	const [outcome] = await fixture.run({ host, port, ca }, [get], { deadlineMs, wrapper });
	return outcome!;
}

/** The addresses that were tried. */
const led = ({ error }: Outcome): string[] => {
	expect(error).toMatchObject({ reason: "connect" });
	const [, list] = /takes no connection: (.*)$/.exec(error!.message)!;
	return list!.split("; ").map((each) => each.replace(/: connect: .*/, ""));
};

const plain = `nameserver ${DNSMASQ}\n`;

test("a server is reached by its name", async () => {
	using authority = new Authority();
	const { certificate, key } = authority.make({ usage: "serverAuth", names: "DNS:api.test" });
	await using server = await TestServer.https({ cert: certificate, key }, (request, response) =>
		response.end(request.headers.host),
	);
	const outcome = await ask("api.test", { resolvConf: plain, port: server.port, ca: authority.ca });
	expect(outcome).toMatchObject({ reply: { status: 200, body: `api.test:${server.port}` } });
});

test("addresses of both families, IPv4 first; of one; through aliases", async () => {
	expect(led(await ask("both.test", { resolvConf: plain }))).toEqual(["127.8.8.8", "::1"]);
	expect(led(await ask("six.test", { resolvConf: plain }))).toEqual(["::1"]);
	expect(led(await ask("ONE.test.", { resolvConf: plain }))).toEqual(["127.8.8.8", "::1"]);
});

test("an answer that does not fit into a datagram is fetched over TCP", async () => {
	expect(led(await ask("many.test", { resolvConf: plain })).sort()).toEqual(MANY.sort());
});

test("/etc/hosts comes first", async () => {
	const hosts = "# 127.1.1.1 both.test\n127.2.2.2\tother BOTH.test # a comment\n::1 both.test\n";
	expect(led(await ask("both.test", { resolvConf: plain, hosts }))).toEqual(["127.2.2.2", "::1"]);
});

test("search domains, before the name itself or after it, as ndots says", async () => {
	const searching = `${plain}search nowhere.test test\n`;
	expect(led(await ask("both", { resolvConf: searching }))).toEqual(["127.8.8.8", "::1"]);
	// A name of the search list stands before the name itself.
	const deep = `${plain}search test\noptions ndots:3\n`;
	expect(led(await ask("both.test", { resolvConf: deep }))).toEqual(["127.8.8.8", "::1"]);
	expect((await ask("both.", { resolvConf: searching })).error).toMatchObject({ reason: "name" });
});

test("a name that is none says so", async () => {
	expect((await ask("none.test", { resolvConf: plain })).error).toMatchObject({
		reason: "name",
		message: "none.test cannot be resolved: there is no such name",
	});
	expect((await ask("-_-.!", { resolvConf: plain })).error).toMatchObject({ name: "TypeError" });
	expect((await ask("a..b", { resolvConf: plain })).error).toMatchObject({
		reason: "name",
		message: '"a..b" is neither a DNS name nor an address',
	});
});

test.each([
	["does not answer", SILENT],
	["is not there", ABSENT],
])("the second nameserver is asked where the first %s", async (_, first) => {
	const resolvConf = `nameserver ${first}\n${plain}options timeout:1\n`;
	expect(led(await ask("both.test", { resolvConf }))).toEqual(["127.8.8.8", "::1"]);
});

test("a nameserver that does not answer takes no longer than there is time", async () => {
	const outcome = await ask("both.test", { resolvConf: `nameserver ${SILENT}\n`, deadlineMs: 300 });
	expect(outcome.error).toMatchObject({
		reason: "name",
		message: `both.test cannot be resolved: nameserver ${SILENT} does not answer`,
	});
});

test("answers to another question, with another id, from another port, of loops and of garbage are not believed", async () => {
	const address = (question: Buffer, last: number): Buffer => {
		const type = question.readUInt16BE(question.length - 4);
		const data = type === 1 ? Buffer.from([127, 6, 6, last]) : Buffer.from([...new Array(15).fill(0xfd), last]);
		const record = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 9, 0, data.length]);
		const answer = Buffer.concat([question, record, data]);
		answer.writeUInt16BE(0x8180, 2);
		answer.writeUInt16BE(1, 6);
		return answer;
	};
	const other = createSocket("udp4");
	sockets.push(other);
	await nameserver(LIAR, (question, from, socket) => {
		const send = (message: Buffer, by = socket) => by.send(message, from.port, from.address);
		const wrongId = address(question, 1);
		wrongId.writeUInt16BE(wrongId.readUInt16BE(0) ^ 0x5555, 0);
		send(wrongId);
		const wrongName = address(question, 2);
		wrongName[13]! ^= 1;
		send(wrongName);
		const noAnswer = address(question, 3);
		noAnswer.writeUInt16BE(0x0100, 2);
		send(noAnswer);
		send(address(question, 4), other);
		const loop = address(question, 5);
		loop.writeUInt16BE(0xc000 | question.length, question.length);
		send(loop);
		for (let length = 0; length < question.length; length++) send(address(question, 6).subarray(0, length));
		send(address(question, 7));
	});
	const found = led(await ask("both.test", { resolvConf: `nameserver ${LIAR}\n` }));
	expect(found).toEqual(["127.6.6.7", "fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fd07"]);
});
