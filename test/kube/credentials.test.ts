/**
 * What `berth install --whereabouts-kubeconfig` writes for whereabouts, and `berth verify` says of it: tokens that are
 * renewed, refused, expired, and an API server that does not answer.
 */
import { execFileSync } from "node:child_process";
import {
	chmodSync,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { binaries } from "../lab/executables.ts";
import { scratchDirectory } from "../lab/ipam.ts";
import { Kube } from "../lab/kube.ts";
import { TestServer } from "../lab/tls-server.ts";
import { until } from "../lab/until.ts";

const KUBECONFIG = "/etc/cni/net.d/whereabouts.d/whereabouts.kubeconfig";
const NAMESPACE = "kube-system";
/** Of manifests/base: what may ask for tokens of its own. */
const ACCOUNT = "berth";
/** What may not, and may not read a pool either. */
const STRANGER = "stranger";

let kube: Kube;
beforeAll(async () => {
	kube = await Kube.start();
	const stranger = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: STRANGER } };
	await kube.request("POST", `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`, stranger);
});
afterAll(() => kube?.stop());

/** As the kubelet does it: whoever reads has the old text or the new one. */
function replaceFile(path: string, text: string): void {
	writeFileSync(`${path}.new`, text);
	renameSync(`${path}.new`, path);
}

/** A pod's files and a node's, and commands with them. */
class Installer {
	readonly host = scratchDirectory();
	readonly #account = scratchDirectory();
	readonly #port: number;
	readonly #address: string;

	constructor(token: string, port = kube.port, address = "127.0.0.1") {
		this.#port = port;
		this.#address = address;
		this.mounted = token;
		this.authorities = kube.ca;
		writeFileSync(join(this.#account, "namespace"), NAMESPACE);
	}

	set mounted(token: string) {
		replaceFile(join(this.#account, "token"), token);
	}

	set authorities(pem: string) {
		replaceFile(join(this.#account, "ca.crt"), pem);
	}

	#execa(verb: string, flags: readonly string[]) {
		const script = `mount -t tmpfs tmpfs /run; mkdir -p /run/secrets/kubernetes.io/serviceaccount
			mount --bind "$1" /run/secrets/kubernetes.io/serviceaccount; shift; exec "$@"`;
		const common = [`--host=${this.host}`, "--only=whereabouts", `--whereabouts-kubeconfig=${KUBECONFIG}`, ...flags];
		const command = [join(binaries, "berth"), verb, ...common];
		return execa("unshare", ["-m", "sh", "-euc", script, "sh", this.#account, ...command], {
			env: {
				PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
				KUBERNETES_SERVICE_HOST: this.#address,
				KUBERNETES_SERVICE_PORT: `${this.#port}`,
			},
			extendEnv: false,
			reject: false,
			timeout: 60_000,
		});
	}

	async run(verb: string, ...flags: string[]) {
		const { exitCode, stdout, stderr } = await this.#execa(verb, flags);
		return { status: exitCode, stdout, stderr };
	}

	/** With `said`, all of stderr so far. */
	stay(...flags: string[]): { said: () => string } {
		const child = this.#execa("install", ["--stay", "--interval=200ms", ...flags]);
		onTestFinished(() => void child.kill("SIGTERM"));
		let said = "";
		child.stderr.on("data", (data) => {
			said += data;
		});
		return { said: () => said };
	}

	path(name: string): string {
		return join(this.host, KUBECONFIG, "..", name);
	}

	/** The token on the node; "" where there is none. */
	get token(): string {
		const path = this.path("whereabouts.token");
		return existsSync(path) ? readFileSync(path, "utf8").trim() : "";
	}

	get isInstalled(): boolean {
		return existsSync(join(this.host, "opt/cni/bin/whereabouts"));
	}
}

/** Of the API server: who stands between it and its clients is believed. */
const serverIdentity = () => ({
	cert: readFileSync(join(kube.directory, "api.crt")),
	key: readFileSync(join(kube.directory, "api.key")),
});

/** The API server's own answer. */
function passOn(asked: IncomingMessage, answer: ServerResponse): void {
	const { url, method, headers } = asked;
	asked.pipe(
		request({ host: "127.0.0.1", port: kube.port, ca: kube.ca, path: url, method, headers }, (reply) => {
			answer.writeHead(reply.statusCode!, reply.headers);
			reply.pipe(answer);
		}),
	);
}

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString());

test("the node's token is asked for, is not bound to the pod, and nobody but root reads it", async () => {
	const installer = new Installer(await kube.token(NAMESPACE, ACCOUNT));
	expect(await installer.run("install")).toMatchObject({ status: 0, stderr: "" });
	const { sub, iat, exp, ...claims } = claimsOf(installer.token);
	expect({ sub, life: exp - iat }).toEqual({ sub: `system:serviceaccount:${NAMESPACE}:${ACCOUNT}`, life: 86_400 });
	expect(claims["kubernetes.io"].pod).toBeUndefined();
	expect(readdirSync(installer.path(".")).sort()).toEqual(["whereabouts.kubeconfig", "whereabouts.token"]);
	for (const name of ["whereabouts.kubeconfig", "whereabouts.token", "."]) {
		expect(statSync(installer.path(name)).mode & 0o077, name).toBe(0);
	}
	const { status, stdout } = await installer.run("verify");
	expect({ status, stdout }).toMatchObject({ status: 0 });
	expect(stdout).toContain(`ok until ${new Date(exp * 1000).toISOString()}`);
});

test("it is renewed at half of its life, before it expires", async () => {
	const life = 10;
	// The real API server, but for how long its tokens live: it gives none for less than ten minutes.
	await using server = await TestServer.https(serverIdentity(), async (asked, answer) => {
		if (asked.url?.endsWith(`/serviceaccounts/${ACCOUNT}/token`)) {
			const token = await kube.shortToken(NAMESPACE, ACCOUNT, life, 0);
			answer.writeHead(201, { "content-type": "application/json" });
			answer.end(JSON.stringify({ kind: "TokenRequest", status: { token } }));
			return;
		}
		passOn(asked, answer);
	});
	const installer = new Installer(await kube.token(NAMESPACE, ACCOUNT), server.port);
	installer.stay();
	await until("the first token", () => installer.token !== "");
	const first = installer.token;
	await until("the second token", () => installer.token !== first);
	// By the server's clock: neither at each look, of which there are five in a second, nor when it is too late.
	const { iat } = claimsOf(installer.token);
	expect(iat - claimsOf(first).iat).toBeGreaterThanOrEqual(life / 2 - 1);
	expect(iat).toBeLessThan(claimsOf(first).exp);
	expect((await installer.run("verify")).status).toBe(0);
	rmSync(installer.path("whereabouts.token"));
	await until("it is back", () => installer.token !== "");
	writeFileSync(installer.path("whereabouts.token"), "another's");
	await until("it is again ours", () => installer.token.split(".").length === 3);
	for (const name of ["whereabouts.kubeconfig", "whereabouts.token"]) {
		chmodSync(installer.path(name), 0o644);
		await until(`${name} is root's alone`, () => (statSync(installer.path(name)).mode & 0o077) === 0);
	}
});

test("it is asked for anew when the kubelet mounts another token: the account may have been made again", async () => {
	const installer = new Installer(await kube.token(NAMESPACE, ACCOUNT));
	installer.stay();
	await until("the token", () => installer.token !== "");
	const first = installer.token;
	installer.mounted = await kube.token(NAMESPACE, ACCOUNT);
	await until("another", () => installer.token !== first);
	expect(claimsOf(installer.token)["kubernetes.io"].pod).toBeUndefined();
});

test("where none is to be had, the mounted one is copied, as often as it changes, and that is said once", async () => {
	const installer = new Installer(await kube.token(NAMESPACE, STRANGER));
	const running = installer.stay();
	await until("the token is copied", () => installer.token !== "");
	const next = await kube.token(NAMESPACE, STRANGER);
	installer.mounted = next;
	await until("the next is copied", () => installer.token === next);
	expect(running.said().match(/allow stranger to create serviceaccounts\/token/g)).toHaveLength(1);
	const { status, stdout } = await installer.run("verify");
	expect(status).toBe(1);
	expect(stdout).toMatch(/token +\S+ +- +the API server says 403/);
});

test("a server that is not ready yet refuses everybody: that is no answer", async () => {
	const installer = new Installer(await kube.token(NAMESPACE, ACCOUNT));
	await installer.run("install");
	let notReady = 0;
	await using server = await TestServer.https(serverIdentity(), (asked, answer) => {
		const isProbe = asked.url === "/readyz";
		if (isProbe && notReady < 3) {
			notReady++;
			answer.writeHead(500).end("[-]poststarthook/rbac/bootstrap-roles failed");
		} else if (!isProbe && notReady < 3) {
			answer.writeHead(403, { "content-type": "application/json" }).end('{"kind":"Status","message":"forbidden"}');
		} else passOn(asked, answer);
	});
	const kubeconfig = JSON.parse(readFileSync(installer.path("whereabouts.kubeconfig"), "utf8"));
	kubeconfig.clusters[0].cluster.server = `https://127.0.0.1:${server.port}`;
	writeFileSync(installer.path("whereabouts.kubeconfig"), JSON.stringify(kubeconfig));
	const { status, stdout } = await installer.run("verify");
	expect({ status, notReady }, stdout).toEqual({ status: 0, notReady: 3 });
});

test("verify says that a token has expired, is missing, or that the server does not answer", async () => {
	const installer = new Installer(await kube.token(NAMESPACE, ACCOUNT));
	await installer.run("install");
	const token = installer.token;
	writeFileSync(installer.path("whereabouts.token"), await kube.shortToken(NAMESPACE, ACCOUNT, -60));
	expect(await installer.run("verify")).toMatchObject({
		status: 1,
		stdout: expect.stringMatching(/401.*expired at 20/),
	});
	rmSync(installer.path("whereabouts.token"));
	expect(await installer.run("verify")).toMatchObject({
		status: 1,
		stdout: expect.stringContaining("whereabouts.token"),
	});
	writeFileSync(installer.path("whereabouts.token"), token);
	expect(await installer.run("verify")).toMatchObject({ status: 0 });
	const silent = await TestServer.tcp((socket) => void socket.on("data", () => {}));
	const kubeconfig = JSON.parse(readFileSync(installer.path("whereabouts.kubeconfig"), "utf8"));
	kubeconfig.clusters[0].cluster.server = `https://127.0.0.1:${silent.port}`;
	writeFileSync(installer.path("whereabouts.kubeconfig"), JSON.stringify(kubeconfig));
	expect(await installer.run("verify")).toMatchObject({
		status: 1,
		stdout: expect.stringContaining("does not answer"),
	});
	await silent[Symbol.asyncDispose]();
});

test("without an API server the plugins are installed; whereabouts gets its files when it is back", async () => {
	const installer = new Installer(await kube.token(NAMESPACE, ACCOUNT), 9);
	const { status, stderr } = await installer.run("install");
	expect({ status, isInstalled: installer.isInstalled }).toEqual({ status: 1, isInstalled: true });
	expect(stderr).toContain("127.0.0.1:9");
	const conf = join(scratchDirectory(), "whereabouts.conf");
	replaceFile(conf, "{");
	const later = new Installer(await kube.token(NAMESPACE, ACCOUNT));
	const running = later.stay(`--whereabouts-conf=${conf}`);
	await until("what is wrong with the flat file", () => running.said().includes("is no JSON object"));
	expect(later.token).not.toBe("");
	const verified = await later.run("verify", `--whereabouts-conf=${conf}`);
	expect(verified).toMatchObject({ status: 1, stdout: expect.stringMatching(/conf +\S+ +- +.* is no JSON object/) });
	replaceFile(conf, '{"log_level":"debug"}');
	await until("the flat file", () => existsSync(later.path("whereabouts.conf")));
	replaceFile(conf, '{"log_level":"error"}');
	await until("its next content", () => readFileSync(later.path("whereabouts.conf"), "utf8").includes("error"));
	expect((await later.run("verify", `--whereabouts-conf=${conf}`)).status).toBe(0);
	expect(running.said().match(/no JSON object/g)).toHaveLength(1);
});

test("uninstall leaves no token: neither where writing it was interrupted, nor where plugins cannot be removed", async () => {
	const installer = new Installer(await kube.token(NAMESPACE, ACCOUNT));
	await installer.run("install");
	writeFileSync(installer.path(".whereabouts.token.tmp"), installer.token);
	const directory = join(installer.host, "opt/cni/bin");
	execFileSync("mount", ["--bind", directory, directory]);
	onTestFinished(() => void execFileSync("umount", [directory]));
	execFileSync("mount", ["-o", "remount,bind,ro", directory]);
	expect(await installer.run("uninstall")).toMatchObject({ status: 1, stderr: expect.stringContaining("opt/cni/bin") });
	expect(readdirSync(installer.path("."))).toEqual([]);
});

test("a directory in the place of a file is said, and the other files are written", async () => {
	const installer = new Installer(await kube.token(NAMESPACE, ACCOUNT));
	mkdirSync(installer.path("whereabouts.token"), { recursive: true });
	const { status, stderr } = await installer.run("install");
	expect(status).toBe(1);
	expect(stderr).toContain("whereabouts.token");
	expect(readdirSync(installer.path(".")).sort()).toEqual(["whereabouts.kubeconfig", "whereabouts.token"]);
	expect(installer.isInstalled).toBe(true);
});

test("authorities that change are in the kubeconfig at the next look, while the token stays", async () => {
	const installer = new Installer(await kube.token(NAMESPACE, ACCOUNT));
	installer.stay();
	await until("the kubeconfig", () => existsSync(installer.path("whereabouts.kubeconfig")));
	const { token } = installer;
	const both = `${kube.ca}${kube.ca}`;
	installer.authorities = both;
	const written = (): string => {
		const { clusters } = JSON.parse(readFileSync(installer.path("whereabouts.kubeconfig"), "utf8"));
		return Buffer.from(clusters[0].cluster["certificate-authority-data"], "base64").toString();
	};
	await until("both authorities", () => written() === both);
	expect(installer.token).toBe(token);
	expect((await installer.run("verify")).status).toBe(0);
});

test("an API server with an IPv6 address", async () => {
	const installer = new Installer(await kube.token(NAMESPACE, ACCOUNT), 9, "::1");
	expect((await installer.run("install")).stderr).toContain("[::1]:9");
	const { clusters } = JSON.parse(readFileSync(installer.path("whereabouts.kubeconfig"), "utf8"));
	expect(clusters[0].cluster.server).toBe("https://[::1]:9");
});

test("outside of a pod it is an error that says so", async () => {
	const command = ["install", `--host=${scratchDirectory()}`, `--whereabouts-kubeconfig=${KUBECONFIG}`];
	const { exitCode, stderr } = await execa(join(binaries, "berth"), command, {
		reject: false,
		env: {},
		extendEnv: false,
	});
	expect(exitCode).toBe(1);
	expect(stderr).toContain("KUBERNETES_SERVICE_HOST is not set");
});
