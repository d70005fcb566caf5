/** The files by which whereabouts finds the API server. */
import { writeFileSync } from "node:fs";
import { stringify } from "yaml";
import type { Identity } from "./certificates.ts";

interface Kubeconfig {
	/** "https://127.0.0.1:6443" */
	readonly server: string;
	/** Path of the authority's certificate, or its PEM text. */
	readonly authority?: { readonly path: string } | { readonly pem: string };
	readonly namespace?: string;
	/** An identity: the paths of its files. */
	readonly user: { readonly token: string } | { readonly tokenFile: string } | Identity;
}

export function writeKubeconfig(path: string, kubeconfig: Kubeconfig): void {
	writeFileSync(path, kubeconfigText(kubeconfig), { mode: 0o600 });
}

export function kubeconfigText({ server, authority, namespace, user }: Kubeconfig): string {
	const cluster = {
		server,
		...(authority &&
			("path" in authority
				? { "certificate-authority": authority.path }
				: { "certificate-authority-data": Buffer.from(authority.pem).toString("base64") })),
	};
	return stringify({
		apiVersion: "v1",
		kind: "Config",
		clusters: [{ name: "local", cluster }],
		users: [
			{
				name: "whereabouts",
				user: "key" in user ? { "client-certificate": user.certificate, "client-key": user.key } : user,
			},
		],
		contexts: [
			{ name: "whereabouts", context: { cluster: "local", user: "whereabouts", ...(namespace && { namespace }) } },
		],
		"current-context": "whereabouts",
	});
}

/** whereabouts' flat file: what a network's configuration leaves out. */
export function writeFlatFile(path: string, kubeconfig: string, more: Record<string, unknown> = {}): void {
	writeFileSync(path, JSON.stringify({ type: "whereabouts", kubernetes: { kubeconfig }, ...more }));
}
