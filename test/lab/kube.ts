/**
 * A Kubernetes cluster without nodes: the real kube-apiserver (test/tools/kube/go.mod) and Debian's etcd, on
 * loopback, with certificates, service accounts, RBAC and an audit log; kinds and rights of install-daemonset.yaml
 * applied.
 *
 * It takes some 4 s to start and 300 MB: one for a file of tests, with a namespace for each test.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { sign } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { Agent, request as httpsRequest, type RequestOptions } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { Authority, type Identity } from "./certificates.ts";
import { buildGoTools } from "./go-tools.ts";
import { API_CARD } from "./guest-cards.ts";
import { until } from "./until.ts";

const tools = fileURLToPath(new URL("../tools/kube/", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));

/** Of the service `kubernetes`, by which pods find the server: the first of the range below. Its port is 443. */
export const SERVICE_ADDRESS = "10.96.0.1";
const ISSUER = "https://kubernetes.default.svc";

/** Where the kinds of whereabouts are. */
export const GROUP = "/apis/whereabouts.cni.cncf.io/v1alpha1";

/** Path of the executable. Minutes, the first time. */
export async function buildKubernetes(command: "kube-apiserver" | "kubelet" | "kubectl"): Promise<string> {
	const [, version, major, minor] = /kubernetes (v(\d+)\.(\d+)\.\d+)/.exec(
		readFileSync(join(tools, "go.mod"), "utf8"),
	)!;
	const variables = { gitVersion: version, gitMajor: major, gitMinor: minor };
	const linkerFlags = Object.entries(variables).map(
		([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
	);
	const directory = await buildGoTools({ directory: tools, name: "kube", linkerFlags }, [
		`k8s.io/kubernetes/cmd/${command}`,
	]);
	return join(directory, command);
}

// biome-ignore lint/suspicious/noExplicitAny: objects of every kind.
export type KubeObject = any;

export interface KubeAnswer {
	readonly status: number;
	/** Undefined where the answer is plain text. */
	readonly json: KubeObject;
	readonly text: string;
}

interface KubeSettings {
	/**
	 * As on a cluster, each pod gets its account's token; that account must be there, `default` too, which here nobody
	 * makes. Default false.
	 */
	readonly serviceAccountTokens?: boolean;
}

export interface RequestSettings {
	/** Default: the admin's. */
	readonly token?: string;
	/** Of the body; default: JSON, and JSON patch for PATCH. */
	readonly contentType?: string;
}

/** A finished request, as the audit log has it. */
export interface AuditedRequest {
	/** Undefined where nobody could be told. */
	readonly user: string | undefined;
	/** The Kubernetes word: get, list, create, patch, delete. */
	readonly verb: string;
	/** "ippools" */
	readonly resource: string | undefined;
	readonly namespace: string | undefined;
	readonly name: string | undefined;
	readonly uri: string;
	readonly status: number;
}

async function freePorts(count: number): Promise<number[]> {
	const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
	await Promise.all(servers.map((server) => once(server, "listening")));
	const ports = servers.map((server) => (server.address() as AddressInfo).port);
	await Promise.all(servers.map((server) => once(server.close(), "close")));
	return ports;
}

/** The objects of a file of the repository, in `namespace` in place of kube-system. */
export function readManifest(path: string, namespace = "kube-system"): KubeObject[] {
	const text = readFileSync(join(root, path), "utf8").replaceAll("kube-system", namespace);
	return parseAllDocuments(text).map((document) => document.toJS());
}

const INSTALL = "install-daemonset.yaml";
const RIGHTS = /^(ServiceAccount|(Cluster)?Role(Binding)?)$/;

const readKinds = (): KubeObject[] => readManifest(INSTALL).filter(({ kind }) => kind === "CustomResourceDefinition");

const readRights = (namespace?: string): KubeObject[] =>
	readManifest(INSTALL, namespace).filter(({ kind }) => RIGHTS.test(kind));

/** Path of the list that an object belongs to. */
function listPath({ apiVersion, kind, metadata }: KubeObject): string {
	const group = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
	const namespace = metadata.namespace === undefined ? "" : `/namespaces/${metadata.namespace}`;
	return `${group}${namespace}/${kind.toLowerCase()}s`;
}

class ServerEndedError extends Error {}

/** `await using kube = await Kube.start()` */
export class Kube {
	readonly adminToken = "admin-token";
	/** Of the user `plugin`, who has the plugin's role in each namespace that `namespace` makes. */
	readonly pluginToken = "plugin-token";
	/** Paths of its files; of the same user. */
	readonly pluginCertificate: Identity;
	/** Of the same user, expired. */
	readonly expiredCertificate: Identity;
	/** The authority's certificate, PEM; and the path of a file with it. */
	readonly ca: string;
	readonly caPath: string;
	readonly directory = mkdtempSync(join(tmpdir(), "berth-kube-"));
	readonly port: number;
	readonly url: string;
	readonly #apiServerCommand: readonly string[];
	readonly #etcd: ChildProcess;
	#apiServer: ChildProcess;
	isFrozen = false;
	#agent = new Agent();
	#names = 0;

	static async start(settings: KubeSettings = {}): Promise<Kube> {
		const executable = await buildKubernetes("kube-apiserver");
		try {
			return await Kube.#startOnce(executable, settings);
		} catch (error) {
			// Somebody else may have taken a port that was free.
			if (!(error instanceof ServerEndedError)) throw error;
			return await Kube.#startOnce(executable, settings);
		}
	}

	static async #startOnce(executable: string, settings: KubeSettings): Promise<Kube> {
		const [port, etcdPort, peerPort] = await freePorts(3);
		const kube = new Kube(executable, port!, etcdPort!, peerPort!, settings);
		try {
			await kube.#ready();
			for (const object of [...readKinds(), ...readRights()]) await kube.create(object);
			for (const object of readKinds()) {
				const { plural } = object.spec.names;
				await until(
					`the list of ${plural}`,
					async () => (await kube.request("GET", `${GROUP}/${plural}`)).status === 200,
				);
			}
		} catch (error) {
			await kube.stop();
			throw error;
		}
		return kube;
	}

	private constructor(executable: string, port: number, etcdPort: number, peerPort: number, settings: KubeSettings) {
		const { directory } = this;
		this.port = port;
		this.url = `https://127.0.0.1:${port}`;
		using authority = new Authority();
		this.ca = authority.ca;
		this.caPath = this.#write("ca.crt", authority.ca);
		const make = (
			name: string,
			commonName: string,
			usage: string,
			more: { names?: string; until?: string } = {},
		): Identity => {
			const { certificate, key } = authority.make({ commonName, usage, ...more });
			return { certificate: this.#write(`${name}.crt`, certificate), key: this.#write(`${name}.key`, key) };
		};
		const names = `DNS:localhost,IP:127.0.0.1,IP:::1,IP:${API_CARD.host},IP:${SERVICE_ADDRESS}`;
		const server = make("api", "kube-apiserver", "serverAuth", { names });
		const etcd = make("etcd", "etcd", "serverAuth,clientAuth", { names });
		const etcdClient = make("etcd-client", "kube-apiserver", "clientAuth");
		this.pluginCertificate = make("plugin", "plugin", "clientAuth");
		this.expiredCertificate = make("plugin-expired", "plugin", "clientAuth", { until: "20200201000000Z" });
		const rsa = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "sa.key"];
		execFileSync("openssl", rsa, { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
		this.#write("tokens.csv", `${this.adminToken},admin,1,"system:masters"\n${this.pluginToken},plugin,2\n`);
		const rules = [{ level: "None", userGroups: ["system:masters"] }, { level: "Metadata" }];
		const policy = { apiVersion: "audit.k8s.io/v1", kind: "Policy", omitStages: ["RequestReceived"], rules };
		this.#write("audit.json", JSON.stringify(policy));
		const [etcdUrl, peerUrl] = [`https://127.0.0.1:${etcdPort}`, `http://127.0.0.1:${peerPort}`];
		mkdirSync(join(directory, "etcd"));
		// In memory that ends with it: it syncs each write, which takes seconds where others keep the disk busy.
		const inMemory = 'mount -t tmpfs etcd "$1"; shift; exec "$@"';
		this.#etcd = this.#spawn("etcd", [
			...["unshare", "--mount", "sh", "-ec", inMemory, "sh", `${directory}/etcd`],
			"etcd",
			"--name=one",
			`--data-dir=${directory}/etcd`,
			...["--listen-client-urls", "--advertise-client-urls"].map((flag) => `${flag}=${etcdUrl}`),
			...["--listen-peer-urls", "--initial-advertise-peer-urls"].map((flag) => `${flag}=${peerUrl}`),
			`--initial-cluster=one=${peerUrl}`,
			...[
				`--cert-file=${etcd.certificate}`,
				`--key-file=${etcd.key}`,
				"--client-cert-auth",
				`--trusted-ca-file=${this.caPath}`,
			],
			...["--logger=zap", "--log-level=warn"],
		]);
		this.#apiServerCommand = [
			executable,
			...[`--etcd-servers=${etcdUrl}`, `--etcd-cafile=${this.caPath}`],
			...[`--etcd-certfile=${etcdClient.certificate}`, `--etcd-keyfile=${etcdClient.key}`],
			// Without the second, it ends where there is no default route.
			...["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", `--secure-port=${port}`],
			...["--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/24", "--profiling=false"],
			...[
				`--tls-cert-file=${server.certificate}`,
				`--tls-private-key-file=${server.key}`,
				`--client-ca-file=${this.caPath}`,
			],
			...[`--token-auth-file=${directory}/tokens.csv`, `--service-account-issuer=${ISSUER}`],
			...[`--service-account-key-file=${directory}/sa.key`, `--service-account-signing-key-file=${directory}/sa.key`],
			"--authorization-mode=RBAC",
			// The plugin of that name wants a `default` account for each pod, which only a controller manager makes.
			...(settings.serviceAccountTokens ? [] : ["--disable-admission-plugins=ServiceAccount"]),
			...[
				`--audit-policy-file=${directory}/audit.json`,
				`--audit-log-path=${directory}/audit.log`,
				"--audit-log-format=json",
			],
		];
		this.#apiServer = this.#spawn("kube-apiserver", this.#apiServerCommand);
	}

	/** As the admin, unless `settings` has another token. */
	async request(method: string, path: string, body?: unknown, settings: RequestSettings = {}): Promise<KubeAnswer> {
		const { token = this.adminToken } = settings;
		const { contentType = method === "PATCH" ? "application/json-patch+json" : "application/json" } = settings;
		const headers = { Authorization: `Bearer ${token}`, ...(body !== undefined && { "Content-Type": contentType }) };
		return this.send({ method, path, headers, agent: this.#agent }, body);
	}

	/** With nothing but what `options` say. */
	async send(options: RequestOptions, body?: unknown): Promise<KubeAnswer> {
		const outgoing = httpsRequest({ host: "127.0.0.1", port: this.port, ca: this.ca, ...options });
		outgoing.end(body === undefined ? undefined : JSON.stringify(body));
		const [incoming] = await once(outgoing, "response");
		const text = Buffer.concat(await incoming.toArray()).toString();
		const isJson = incoming.headers["content-type"]?.startsWith("application/json");
		return { status: incoming.statusCode, json: isJson ? JSON.parse(text) : undefined, text };
	}

	/** Throws unless the object was made. */
	async create(object: KubeObject): Promise<KubeObject> {
		const { status, json, text } = await this.request("POST", listPath(object), object);
		if (status !== 201) throw new Error(`${object.kind} ${object.metadata.name}: ${status}: ${text}`);
		return json;
	}

	/**
	 * A new namespace in which the roles of install-daemonset.yaml hold for its service accounts, and for `plugin`.
	 */
	async namespace(): Promise<string> {
		const namespace = `test-${this.#names++}`;
		await this.create({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
		for (const object of readRights(namespace)) {
			if (object.kind === "ClusterRole") continue;
			if (object.kind === "ClusterRoleBinding") object.metadata.name += `-${namespace}`;
			if (object.kind === "RoleBinding" && object.metadata.name === "berth")
				object.subjects.push({ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "plugin" });
			await this.create(object);
		}
		await this.untilAllowed(`${GROUP}/namespaces/${namespace}/overlappingrangeipreservations`, this.pluginToken);
		return namespace;
	}

	/** The rights of manifests/components/persistent-ips for the plugin and the reconciler of a namespace. */
	async bindPersistentIps(namespace: string): Promise<void> {
		for (const object of readManifest("manifests/components/persistent-ips/rbac.yaml", namespace)) {
			if (object.kind === "ClusterRoleBinding") {
				object.subjects.push({ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "plugin" });
			}
			await this.create(object);
		}
	}

	/** The server learns of kinds and roles a little after they are made. */
	async untilAllowed(path: string, token: string): Promise<void> {
		const isAllowed = async () => (await this.request("GET", path, undefined, { token })).status === 200;
		await until(`the right to read ${path}`, isAllowed);
	}

	/**
	 * A token that the server makes for a service account, for an hour. It knows nothing shorter than ten minutes.
	 */
	async token(namespace: string, account: string): Promise<string> {
		const spec = { expirationSeconds: 3600 };
		const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
		const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
		const { status, json, text } = await this.request("POST", path, request);
		if (status !== 201) throw new Error(`token of ${namespace}/${account}: ${status}: ${text}`);
		return json.status.token;
	}

	/**
	 * The same, made here: valid for `seconds`, which may be negative for one that has expired, and `age` seconds old.
	 */
	async shortToken(namespace: string, account: string, seconds: number, age = 3600): Promise<string> {
		const { json } = await this.request("GET", `/api/v1/namespaces/${namespace}/serviceaccounts/${account}`);
		const now = Math.floor(Date.now() / 1000);
		const claims = {
			iss: ISSUER,
			aud: [ISSUER],
			sub: `system:serviceaccount:${namespace}:${account}`,
			...{ iat: now - age, nbf: now - age, exp: now + seconds },
			"kubernetes.io": { namespace, serviceaccount: { name: account, uid: json.metadata.uid } },
		};
		const parts = [{ alg: "RS256" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
		const signature = sign("sha256", Buffer.from(parts.join(".")), readFileSync(join(this.directory, "sa.key")));
		return [...parts, signature.toString("base64url")].join(".");
	}

	/**
	 * Ends a service account: its tokens are refused from now on, but one that was used in the last 10 s a little
	 * later.
	 */
	async revoke(namespace: string, account: string): Promise<void> {
		await this.request("DELETE", `/api/v1/namespaces/${namespace}/serviceaccounts/${account}`);
	}

	/**
	 * What all but the admin ask from now on: `const requests = await kube.audit()`, then `await requests()` as often
	 * as needed.
	 */
	async audit(): Promise<() => Promise<AuditedRequest[]>> {
		const path = join(this.directory, "audit.log");
		await this.#auditMark(0);
		const { size } = statSync(path);
		return async () => {
			const lines = await this.#auditMark(size);
			return lines.map(audited).filter(({ uri }) => !uri.startsWith(MARK));
		};
	}

	/**
	 * The log's lines from `offset` on. A request's line is written a little after its answer: the last is our own.
	 */
	async #auditMark(offset: number): Promise<string[]> {
		const mark = `${MARK}${this.#names++}`;
		await this.request("GET", mark, undefined, { token: this.pluginToken });
		return until("the audit log", () => {
			const log = readFileSync(join(this.directory, "audit.log")).subarray(offset).toString();
			return log.includes(`"${mark}"`) && log.endsWith("\n") && log.trimEnd().split("\n");
		});
	}

	/** Kills the API server and starts it again. Resolves when it is ready. */
	async restart(): Promise<void> {
		await end(this.#apiServer);
		this.#agent.destroy();
		this.#agent = new Agent();
		this.#apiServer = this.#spawn("kube-apiserver", this.#apiServerCommand);
		await this.#ready();
	}

	/** The API server does nothing any more, and its connections stay open; until `thaw`. */
	freeze(): void {
		this.isFrozen = true;
		this.#apiServer.kill("SIGSTOP");
	}

	thaw(): void {
		this.isFrozen = false;
		this.#apiServer.kill("SIGCONT");
	}

	async stop(): Promise<void> {
		this.#agent.destroy();
		await Promise.all([end(this.#apiServer), end(this.#etcd)]);
		rmSync(this.directory, { recursive: true, force: true });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stop();
	}

	/** Gives its path. */
	#write(name: string, text: string): string {
		const path = join(this.directory, name);
		writeFileSync(path, text, { mode: 0o600 });
		return path;
	}

	/** Its output goes to the file `NAME.log`. It does not outlive this process, however that ends. */
	#spawn(name: string, command: readonly string[]): ChildProcess {
		const log = openSync(join(this.directory, `${name}.log`), "a");
		const child = spawn("setpriv", ["--pdeathsig", "KILL", ...command], { stdio: ["ignore", log, log] });
		closeSync(log);
		return child;
	}

	async #ready(): Promise<void> {
		const log = (name: string): string =>
			readFileSync(join(this.directory, name), "utf8").split("\n").slice(-15).join("\n");
		const explain = (): string => `${log("etcd.log")}\n${log("kube-apiserver.log")}`;
		await until(
			"the API server",
			async () => {
				if (hasEnded(this.#apiServer) || hasEnded(this.#etcd))
					throw new ServerEndedError(`the server has ended\n${explain()}`);
				return this.request("GET", "/readyz").then(
					({ status }) => status === 200,
					() => false,
				);
			},
			explain,
		);
	}
}

/** Path of requests that are only there to be seen in the audit log. */
const MARK = "/version?mark=";

function audited(line: string): AuditedRequest {
	const { user, verb, objectRef, requestURI, responseStatus } = JSON.parse(line);
	const { resource, namespace, name } = objectRef ?? {};
	return { user: user.username, verb, resource, namespace, name, uri: requestURI, status: responseStatus?.code };
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;

async function end(child: ChildProcess): Promise<void> {
	if (hasEnded(child)) return;
	const ended = once(child, "exit");
	child.kill("SIGKILL");
	await ended;
}
