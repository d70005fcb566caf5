import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { stringify } from "yaml";
import { decodeBase64 } from "../../../lib/kube/base64.ts";
import { readKubeconfig } from "../../../lib/kube/kubeconfig.ts";
import { tokenExpiry } from "../../../lib/kube/token.ts";

vi.mock("native:sys", async (original) => ({
	...(await original<object>()),
	readFile: (path: string) => readFileSync(path),
}));

interface Parts {
	cluster?: object;
	user?: object;
	context?: object;
	rest?: object;
}

function read({ cluster, user, context, rest }: Parts = {}) {
	const config = {
		clusters: [
			{ name: "c", cluster: { server: "https://10.0.0.1:6443", "certificate-authority-data": "UEVN", ...cluster } },
		],
		users: [{ name: "u", user: { token: "secret", ...user } }],
		contexts: [{ name: "x", context: { cluster: "c", user: "u", ...context } }],
		"current-context": "x",
		...rest,
	};
	const path = join(mkdtempSync(join(tmpdir(), "berth-kubeconfig-")), "config");
	writeFileSync(path, typeof rest === "string" ? rest : stringify(config));
	try {
		return readKubeconfig(path);
	} finally {
		rmSync(join(path, ".."), { recursive: true });
	}
}

describe("readKubeconfig", () => {
	it.each([
		["https://10.0.0.1:6443", { host: "10.0.0.1", port: 6443, base: "" }],
		["https://[fd00::1]:6443", { host: "fd00::1", port: 6443, base: "" }],
		["https://api.example", { host: "api.example", port: 443, base: "" }],
		["https://rancher.example/k8s/clusters/c-1/", { host: "rancher.example", port: 443, base: "/k8s/clusters/c-1" }],
	])("reads the server %s", (server, parts) => {
		expect(read({ cluster: { server } })).toEqual({ ...parts, ca: "PEM", token: "secret" });
	});

	it("reads namespace, server name and a client certificate", () => {
		const user = { token: undefined, "client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ" };
		const found = read({ user, context: { namespace: "n" }, cluster: { "tls-server-name": "kubernetes" } });
		expect(found).toMatchObject({
			namespace: "n",
			serverName: "kubernetes",
			identity: { certificate: "CERT", key: "KEY" },
		});
		expect(found.token).toBeUndefined();
	});

	it.each<[string, Parts, string]>([
		[
			"no authority",
			{ cluster: { "certificate-authority-data": undefined } },
			"no certificate-authority: a server must be verified",
		],
		["no verification", { cluster: { "insecure-skip-tls-verify": true } }, "insecure-skip-tls-verify is not supported"],
		["a proxy", { cluster: { "proxy-url": "http://p" } }, "proxy-url is not supported"],
		["plain HTTP", { cluster: { server: "http://10.0.0.1" } }, 'server "http://10.0.0.1" must be https://HOST'],
		["a port beyond all", { cluster: { server: "https://h:70000" } }, "must be https://HOST"],
		["no base64", { cluster: { "certificate-authority-data": "*" } }, "certificate-authority-data is not base64"],
		["a program", { user: { exec: { command: "x" } } }, "exec is not supported"],
		["a password", { user: { username: "x", password: "y" } }, "username is not supported"],
		["half a certificate", { user: { "client-key-data": "S0VZ" } }, "only one of client-certificate and client-key"],
		["a token with a line's end", { user: { token: "a\nb" } }, "the token has characters that none may have"],
		["another context", { rest: { "current-context": "y" } }, 'there is no context "y"'],
		["another cluster", { context: { cluster: "y" } }, 'there is no cluster "y"'],
		["another user", { context: { user: "y" } }, 'there is no user "y"'],
		["no current context", { rest: { "current-context": undefined } }, "current-context is missing"],
		["a namespace that leads elsewhere", { context: { namespace: "../x" } }, '"../x" is not the name of a namespace'],
		["a number for a name", { context: { namespace: 7 } }, "namespace must be a string"],
	])("refuses %s", (_, parts, sentence) => {
		expect(() => read(parts)).toThrow(sentence);
	});
});

describe("decodeBase64", () => {
	it.each([
		["", ""],
		["YQ==", "a"],
		["YWI", "ab"],
		["YWJj\n", "abc"],
		["w7_Dvw", "ÿÿ"],
		["Y", undefined],
		["Y*==", undefined],
	])("%j", (encoded, text) => {
		expect(decodeBase64(encoded)).toBe(text);
	});
});

describe("tokenExpiry", () => {
	const token = (claims: unknown) => `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.y`;

	it("says when a token expired, and nothing of others", () => {
		expect(tokenExpiry(token({ exp: 1_700_000_000 }))).toBe("2023-11-14T22:13:20.000Z");
		expect(tokenExpiry(token({ exp: Date.now() / 1000 + 60 }))).toBeUndefined();
		for (const other of ["opaque", token({}), token(null), token({ exp: "x" }), "a.b.c"])
			expect(tokenExpiry(other)).toBeUndefined();
	});
});
