/**
 * Where the API server is, and who we are there: a kubeconfig, or what a pod is given.
 *
 * Source: client-go v0.34, tools/clientcmd (fields, and which of two goes first) and rest.InClusterConfig.
 */
import { load } from "js-yaml";
import { isObject } from "../cni/json.ts";
import type { JsonObject, JsonValue } from "../cni/types.ts";
import type { Endpoint } from "../http/connection.ts";
import { readText, readTextIfPresent } from "../sys/files.ts";
import { variable } from "../sys/sys.ts";
import { decodeBase64 } from "./base64.ts";
import { KubeConfigError } from "./errors.ts";

/** An API server, and what proves who we are. */
export interface Cluster extends Endpoint {
	/** Before the paths of all requests: "" or "/k8s". */
	readonly base: string;
	readonly token?: string;
	/** Where objects are that name no namespace; undefined: nobody says. */
	readonly namespace?: string;
}

/** What a pod is given. */
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * The cluster of the current context of the kubeconfig at `path`. Throws KubeConfigError, and SystemError where a file
 * cannot be read.
 */
export function readKubeconfig(path: string): Cluster {
	const config = parseKubeconfig(readText(path), path);
	const contextName = text(config["current-context"], path, "current-context");
	const context = named(config.contexts, "context", contextName, path);
	const cluster = named(config.clusters, "cluster", text(context.cluster, path, "the context's cluster"), path);
	const user = context.user ? named(config.users, "user", text(context.user, path, "the context's user"), path) : {};
	refuseUnsupported(cluster, user, path);
	const server = parseServer(text(cluster.server, path, "the cluster's server"), path);
	const pem = (source: JsonObject, key: string) => inlineOrFile(source, key, path);
	const ca = pem(cluster, "certificate-authority");
	if (ca === undefined) {
		throw new KubeConfigError(`${path}: the cluster has no certificate-authority: a server must be verified`);
	}
	const [certificate, key] = [pem(user, "client-certificate"), pem(user, "client-key")];
	if ((certificate === undefined) !== (key === undefined)) {
		throw new KubeConfigError(`${path}: the user has only one of client-certificate and client-key`);
	}
	const serverName = optional(cluster["tls-server-name"], path, "tls-server-name");
	const token = readToken(user, path);
	const namespace = optional(context.namespace, path, "namespace");
	// It becomes a part of paths.
	if (namespace !== undefined && !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(namespace)) {
		throw new KubeConfigError(`${path}: "${namespace}" is not the name of a namespace`);
	}
	return {
		...server,
		ca,
		...(serverName && { serverName }),
		...(certificate && key && { identity: { certificate, key } }),
		...(token && { token }),
		...(namespace && { namespace }),
	};
}

/** The cluster of the pod that we run in; undefined outside of one. */
export function inClusterConfig(): Cluster | undefined {
	const [host, port] = [variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT")];
	if (!host || !port) return undefined;
	const namespace = readTextIfPresent(`${SERVICE_ACCOUNT}/namespace`)?.trim();
	return {
		host,
		port: Number(port),
		base: "",
		ca: readText(`${SERVICE_ACCOUNT}/ca.crt`),
		token: readText(`${SERVICE_ACCOUNT}/token`).trim(),
		...(namespace && { namespace }),
	};
}

function parseKubeconfig(yaml: string, path: string): JsonObject {
	let parsed: unknown;
	try {
		parsed = load(yaml);
	} catch (error) {
		throw new KubeConfigError(`${path} is not YAML: ${(error as Error).message.split("\n", 1)[0]}`);
	}
	if (isObject(parsed)) return parsed;
	throw new KubeConfigError(`${path} is not a kubeconfig: it must be an object`);
}

/** The member `kind` of the entry `name` of a list of {name, <kind>}. */
function named(list: JsonValue | undefined, kind: string, name: string, path: string): JsonObject {
	const entries = Array.isArray(list) ? list : [];
	const entry = entries.find((each) => isObject(each) && each.name === name);
	const value = isObject(entry) ? entry[kind] : undefined;
	if (isObject(value)) return value;
	throw new KubeConfigError(`${path}: there is no ${kind} "${name}"`);
}

function optional(value: JsonValue | undefined, path: string, what: string): string | undefined {
	if (value === undefined || value === null || value === "") return undefined;
	if (typeof value === "string") return value;
	throw new KubeConfigError(`${path}: ${what} must be a string`);
}

function text(value: JsonValue | undefined, path: string, what: string): string {
	const found = optional(value, path, what);
	if (found === undefined) throw new KubeConfigError(`${path}: ${what} is missing`);
	return found;
}

/** What would need a program, a password or no verification at all: said, not passed over. */
function refuseUnsupported(cluster: JsonObject, user: JsonObject, path: string): void {
	if (cluster["insecure-skip-tls-verify"] === true) {
		throw new KubeConfigError(
			`${path}: insecure-skip-tls-verify is not supported: name the authority of the server's certificate`,
		);
	}
	if (cluster["proxy-url"]) throw new KubeConfigError(`${path}: proxy-url is not supported`);
	for (const key of ["exec", "auth-provider", "username", "password"]) {
		if (!user[key]) continue;
		throw new KubeConfigError(`${path}: ${key} is not supported: use token, tokenFile or a client certificate`);
	}
}

function parseServer(url: string, path: string): { host: string; port: number; base: string } {
	const parts = /^https:\/\/(?:\[([^\]]+)\]|([^/:?#@]+))(?::(\d{1,5}))?(\/[^?#]*)?$/i.exec(url);
	const port = Number(parts?.[3] ?? 443);
	if (!parts || port < 1 || port > 65_535) {
		throw new KubeConfigError(`${path}: server "${url}" must be https://HOST or https://HOST:PORT`);
	}
	return { host: parts[1] ?? parts[2]!, port, base: (parts[4] ?? "").replace(/\/+$/, "") };
}

/**
 * The text of `<key>-data` (base64), which goes first, or of the file that `key` names, from the kubeconfig's
 * directory on.
 */
function inlineOrFile(source: JsonObject, key: string, path: string): string | undefined {
	const data = optional(source[`${key}-data`], path, `${key}-data`);
	if (data !== undefined) {
		const decoded = decodeBase64(data);
		if (decoded === undefined) throw new KubeConfigError(`${path}: ${key}-data is not base64`);
		return decoded;
	}
	const file = optional(source[key], path, key);
	return file === undefined ? undefined : readText(beside(path, file));
}

/** A token's file goes first, and is read anew by each call: somebody else keeps it fresh. */
function readToken(user: JsonObject, path: string): string | undefined {
	const file = optional(user.tokenFile, path, "tokenFile");
	const token = file === undefined ? optional(user.token, path, "token") : readText(beside(path, file)).trim();
	if (token === undefined || /^[\x21-\x7e]+$/.test(token)) return token;
	const where = file === undefined ? path : beside(path, file);
	throw new KubeConfigError(
		`${where}: ${token === "" ? "the token is empty" : "the token has characters that none may have"}`,
	);
}

const beside = (path: string, file: string): string =>
	file.startsWith("/") ? file : `${path.slice(0, path.lastIndexOf("/") + 1)}${file}`;
