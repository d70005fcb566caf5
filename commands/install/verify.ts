/**
 * `berth verify`: whether what `berth install` makes is there and works. The readiness probe of the installer's pod.
 */
import { sentence } from "../../lib/cni/failures.ts";
import { KubeClient } from "../../lib/kube/client.ts";
import { isApiError } from "../../lib/kube/errors.ts";
import { readKubeconfig } from "../../lib/kube/kubeconfig.ts";
import { claimsOf } from "../../lib/kube/token.ts";
import { type Command, printAnswer } from "../../lib/plugin/command.ts";
import { formatTable } from "../../lib/plugin/table.ts";
import * as sys from "../../lib/sys/sys.ts";
import { failureOfConf } from "./credentials.ts";
import { Executables } from "./executable.ts";
import { describe, failureOf } from "./files.ts";
import { HELP_OF_SHARED, type InstallChoice, isLeftToOthers, parseInstall, type Target } from "./flags.ts";

export const verify = (plugins: readonly string[]): Command => ({
	about: "tells whether what install makes is there and works",
	synopsis: "[the flags of berth install]",
	help: `Compares each file with this executable (SHA-256), and asks each for VERSION. With --whereabouts-kubeconfig it asks the API
server for something that whereabouts may read, and compares the flat file. Takes the flags of "berth install", so that both have one list; with
--keep-foreign another's file is no fault. Exit status 1 where something is wrong. Changes nothing.

${HELP_OF_SHARED}`,
	run: (args) => runVerify(args, plugins),
});

/** For the API server's answer: a probe has a few seconds. */
const LIMIT_MS = 3000;

function runVerify(args: readonly string[], plugins: readonly string[]): number {
	const choice = parseInstall(args, plugins);
	const executables = new Executables();
	const findings = choice.targets.map((target) => look(target, executables, choice));
	if (choice.kubeconfig !== "") findings.push(askServer(choice.kubeconfig));
	if (choice.conf !== "") findings.push(lookAtConf(choice));
	const rows = findings.map(({ plugin, path, state, sha256 }) => ({ plugin, path, state, sha256 }));
	const short = rows.map((row) => ({ ...row, "sha-256": row.sha256.slice(0, 12) }));
	printAnswer(choice.isJson, rows, () => formatTable(["plugin", "path", "sha-256", "state"], short));
	return findings.some(({ isWrong }) => isWrong) ? 1 : 0;
}

/** `state` is "ok", "another's" or what is wrong. */
function look(target: Target, executables: Executables, choice: InstallChoice) {
	const { applet, name, path } = target;
	const found = executables.at(path);
	const finding = { plugin: applet, path, sha256: "sha256" in found ? found.sha256 : "" };
	switch (found.kind) {
		case "absent":
			return { ...finding, state: "missing", isWrong: true };
		case "foreign":
			return { ...finding, state: `another's: ${found.what}`, isWrong: !isLeftToOthers(target, choice) };
		case "berth":
			return { ...finding, state: `differs: ${describe(found)}`, isWrong: true };
		case "equal": {
			// Under its own name berth is asked by people alone.
			const failure = failureOf(path, applet === "berth" ? "static" : name);
			return { ...finding, state: failure ?? "ok", isWrong: failure !== undefined };
		}
	}
}

function lookAtConf({ kubeconfig, conf }: InstallChoice) {
	const failure = failureOfConf(kubeconfig, conf);
	return { plugin: "conf", path: conf, sha256: "", state: failure ?? "ok", isWrong: failure !== undefined };
}

/** A pool that nobody has: an answer that there is none is one to somebody who may ask. */
const NOBODYS_POOL = "berth-verify";

function askServer(kubeconfig: string) {
	const finding = { plugin: "token", path: kubeconfig, sha256: "" };
	try {
		const cluster = readKubeconfig(kubeconfig);
		using client = new KubeClient(cluster, LIMIT_MS);
		const namespace = cluster.namespace ?? "kube-system";
		client.get(`/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/${namespace}/ippools/${NOBODYS_POOL}`);
		const { expiryMs } = claimsOf(cluster.token ?? "");
		return { ...finding, state: expiryMs === undefined ? "ok" : `ok until ${formatted(expiryMs)}`, isWrong: false };
	} catch (error) {
		if (!isApiError(error) && !sys.isSystemError(error)) throw error;
		return { ...finding, state: sentence(error), isWrong: true };
	}
}

const formatted = (ms: number): string => new Date(ms).toISOString();
