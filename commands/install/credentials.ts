/**
 * What whereabouts on the node knows the API server by: a kubeconfig, and beside it a token that is renewed; and where
 * it is wanted a flat file, and what the cluster calls the node.
 *
 * A token that the kubelet mounts ends with its pod. One that is asked for (TokenRequest) does not, so that an update
 * of the pod leaves no gap; it is renewed at half of its life.
 */
import { attempt, sentence, throwTogether } from "../../lib/cni/failures.ts";
import { isObject } from "../../lib/cni/json.ts";
import type { JsonObject } from "../../lib/cni/types.ts";
import { encodeBase64 } from "../../lib/kube/base64.ts";
import { KubeClient } from "../../lib/kube/client.ts";
import { isStatus } from "../../lib/kube/errors.ts";
import { type Cluster, inClusterConfig } from "../../lib/kube/kubeconfig.ts";
import { claimsOf } from "../../lib/kube/token.ts";
import { makeDirectories, readText, readTextIfPresent, statIfPresent, writeAtomic } from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";

/** What is asked for; the server may give less. */
const LIFE_S = 86_400;
/** For all questions of one renewal. SIGTERM is heard after it, and a pod of the manifests has 10 s to end. */
const LIMIT_MS = 5000;

const TOKEN = "whereabouts.token";
const CONF = "whereabouts.conf";
/** ipam/whereabouts/node-name.ts reads it. */
const NODE_NAME = "nodename";

const inDirectoryOf = (kubeconfig: string, name: string): string =>
	`${kubeconfig.slice(0, kubeconfig.lastIndexOf("/") + 1)}${name}`;

/** All files that `Credentials` writes for the kubeconfig at this path. */
export const filesFor = (kubeconfig: string): string[] => {
	return [kubeconfig, ...[TOKEN, CONF, NODE_NAME].map((name) => inDirectoryOf(kubeconfig, name))];
};

/** What is wrong with the node's copy of the flat file `conf`; undefined: nothing. */
export function failureOfConf(kubeconfig: string, conf: string): string | undefined {
	try {
		return readTextIfPresent(inDirectoryOf(kubeconfig, CONF)) === readConf(conf) ? undefined : `differs from ${conf}`;
	} catch (error) {
		return sentence(error);
	}
}

export class Credentials {
	readonly #kubeconfig: string;
	readonly #conf: string;
	readonly #say: (what: string) => void;
	#token = "";
	/** The one that the kubelet had mounted then. */
	#mounted: string | undefined;
	/** CLOCK_BOOTTIME, ms. */
	#renewAt = 0;
	#isRefused = false;

	/** Both as this process sees them; `conf` may be "". `say` gets what an operator should know. */
	constructor(kubeconfig: string, conf: string, say: (what: string) => void) {
		this.#kubeconfig = kubeconfig;
		this.#conf = conf;
		this.#say = say;
	}

	/** Writes what is not as it should be: the token when it is time, the others when they differ. */
	write(): void {
		const cluster = inClusterConfig();
		if (cluster === undefined) {
			throw new Error(
				"-whereabouts-kubeconfig: KUBERNETES_SERVICE_HOST is not set: it is written from within a pod of the cluster",
			);
		}
		const failures: unknown[] = [];
		const name = sys.variable("NODENAME");
		makeDirectories(inDirectoryOf(this.#kubeconfig, "").slice(0, -1), 0o700);
		attempt(failures, () => this.#writeToken(cluster));
		attempt(failures, () => writeIfDifferent(this.#kubeconfig, kubeconfigOf(cluster), 0o600));
		if (name) attempt(failures, () => writeIfDifferent(inDirectoryOf(this.#kubeconfig, NODE_NAME), name, 0o644));
		if (this.#conf !== "") {
			attempt(failures, () => writeIfDifferent(inDirectoryOf(this.#kubeconfig, CONF), readConf(this.#conf), 0o644));
		}
		throwTogether(failures);
	}

	#writeToken(cluster: Cluster): void {
		// With another mounted token the account, or the key of all tokens, may be another, too.
		const isTime = sys.boottimeMs() >= this.#renewAt || cluster.token !== this.#mounted;
		const token = isTime ? (this.#ask(cluster) ?? cluster.token ?? "") : this.#token;
		writeIfDifferent(inDirectoryOf(this.#kubeconfig, TOKEN), `${token}\n`, 0o600);
		if (!isTime) return;
		this.#token = token;
		this.#mounted = cluster.token;
		const { issuedMs = 0, expiryMs = 0 } = claimsOf(token);
		this.#renewAt = this.#isRefused ? 0 : sys.boottimeMs() + (expiryMs - issuedMs) / 2;
	}

	/** Undefined where we may not: then the mounted token is copied, as often as we look. */
	#ask(cluster: Cluster): string | undefined {
		const { subject = "" } = claimsOf(cluster.token ?? "");
		const [, , namespace, name] = subject.split(":");
		if (!subject.startsWith("system:serviceaccount:") || !namespace || !name) return undefined;
		const account = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`;
		using client = new KubeClient(cluster, LIMIT_MS);
		try {
			const answer = client.request(`${account}/token`, {
				apiVersion: "authentication.k8s.io/v1",
				kind: "TokenRequest",
				spec: { expirationSeconds: LIFE_S },
			});
			this.#isRefused = false;
			return tokenOf(answer);
		} catch (error) {
			if (!isStatus(error, 403, 404)) throw error;
			if (!this.#isRefused) {
				this.#say(
					`${sentence(error)}; the token that the kubelet mounts is copied, which ends with this pod: ` +
						`allow ${name} to create serviceaccounts/token`,
				);
			}
			this.#isRefused = true;
			return undefined;
		}
	}
}

function tokenOf(answer: JsonObject): string {
	const token = isObject(answer.status) ? answer.status.token : undefined;
	if (typeof token === "string" && token !== "") return token;
	throw new Error("the API server's answer to a TokenRequest has no token");
}

/** The token is named relative to the kubeconfig: the path is another in a container. */
function kubeconfigOf({ host, port, base, ca, namespace }: Cluster): string {
	const server = `https://${host.includes(":") ? `[${host}]` : host}:${port}${base}`;
	const config = {
		apiVersion: "v1",
		kind: "Config",
		clusters: [{ name: "local", cluster: { server, "certificate-authority-data": encodeBase64(ca) } }],
		users: [{ name: "whereabouts", user: { tokenFile: TOKEN } }],
		contexts: [
			{ name: "whereabouts", context: { cluster: "local", user: "whereabouts", ...(namespace && { namespace }) } },
		],
		"current-context": "whereabouts",
	};
	return `${JSON.stringify(config, null, 2)}\n`;
}

function readConf(path: string): string {
	const text = readText(path);
	try {
		if (isObject(JSON.parse(text))) return text;
	} catch (error) {
		if (!(error instanceof SyntaxError)) throw error;
	}
	throw new Error(`${path} is no JSON object: it is not copied`);
}

function writeIfDifferent(path: string, text: string, mode: number): void {
	const isOpen = ((statIfPresent(path)?.mode ?? 0) & 0o777 & ~mode) !== 0;
	if (isOpen || readTextIfPresent(path) !== text) writeAtomic(path, text, mode);
}
