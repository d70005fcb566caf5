/** install-daemonset.yaml, the kustomize base and the Helm chart: against each other, and on a real API server. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildKubernetes, Kube, type KubeObject, readManifest } from "../lab/kube.ts";
import { writeKubeconfig } from "../lab/kubeconfig.ts";
import { buildHelm, chart, helmTemplate, kustomize, manifests, RENDERINGS } from "../lab/renderings.ts";

const INSTALL = "install-daemonset.yaml";
const version = JSON.parse(readFileSync(join(manifests, "../package.json"), "utf8")).version;

let kube: Kube;

beforeAll(async () => {
	kube = await Kube.start();
	await Promise.all([buildKubernetes("kubectl"), buildHelm()]);
});
afterAll(() => kube?.stop());

/** In the order of kind and name. */
function sorted(objects: readonly KubeObject[]): KubeObject[] {
	const key = ({ kind, metadata }: KubeObject): string => `${kind}/${metadata.namespace}/${metadata.name}`;
	return objects.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** The environment of programs that have the admin's rights. */
function asAdmin(): Record<string, string> {
	const kubeconfig = join(kube.directory, "admin.kubeconfig");
	writeKubeconfig(kubeconfig, { server: kube.url, authority: { path: kube.caPath }, user: { token: kube.adminToken } });
	// HOME: they keep what the server can do in a cache there.
	return { KUBECONFIG: kubeconfig, HOME: kube.directory };
}

/** `objects` on stdin. */
async function kubectl(args: readonly string[], objects: readonly KubeObject[] = []) {
	const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
	return execa(await buildKubernetes("kubectl"), args, { input, env: asAdmin(), reject: false });
}

/** Of the objects in kube-system, and in no namespace, those that are Berth's. */
async function ourObjects(): Promise<string[]> {
	const kinds = "daemonset,cronjob,configmap,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding";
	const { stdout } = await kubectl(["get", kinds, "--namespace=kube-system", "--output=name"]);
	return stdout.split("\n").filter((name) => name.includes("berth"));
}

/** How many of whereabouts' kinds there are. */
async function kindsLeft(): Promise<number> {
	const { stdout } = await kubectl(["get", "customresourcedefinitions", "--output=name"]);
	return stdout.split("\n").filter((name) => name.includes("whereabouts")).length;
}

test("the file at the top and the kustomize base are the same objects", async () => {
	expect(sorted(await kustomize({ overlay: "base" }))).toEqual(sorted(readManifest(INSTALL)));
});

for (const rendering of RENDERINGS) {
	test(`${rendering.name}: kustomize and Helm render the same objects`, async () => {
		const objects = sorted(await kustomize(rendering));
		expect(objects.length).toBeGreaterThan(1);
		expect(sorted(await helmTemplate(rendering.helm))).toEqual(objects);
	});

	test(`${rendering.name}: the API server takes each object, with no word about a field`, async () => {
		const objects = await helmTemplate(rendering.helm);
		const dryRun = [
			"apply",
			"--filename=-",
			"--server-side",
			"--dry-run=server",
			"--validate=strict",
			"--force-conflicts",
		];
		const { stdout, stderr, exitCode } = await kubectl(dryRun, objects);
		expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
		const lines = stdout.split("\n");
		expect(lines).toHaveLength(objects.length);
		for (const line of lines) expect(line).toMatch(/ serverside-applied \(server dry run\)$/);
	});
}

test("kubectl apply -f, twice: the second time nothing changes", async () => {
	const path = join(manifests, "..", INSTALL);
	const apply = async (): Promise<string[]> => {
		const { stdout, stderr, exitCode } = await kubectl(["apply", `--filename=${path}`]);
		expect(exitCode, stderr).toBe(0);
		return stdout.split("\n");
	};
	await apply();
	const second = await apply();
	expect(second).toHaveLength(readManifest(INSTALL).length);
	for (const line of second) expect(line).toMatch(/ unchanged$/);
});

/** The pods that the objects make: name and template. */
function podTemplates(objects: readonly KubeObject[]): { name: string; template: KubeObject }[] {
	return objects.flatMap(({ kind, metadata, spec }) => {
		if (kind === "DaemonSet") return [{ name: metadata.name, template: spec.template }];
		if (kind === "CronJob") return [{ name: metadata.name, template: spec.jobTemplate.spec.template }];
		return [];
	});
}

/** The strictest level of Pod Security that lets a pod in; of the API server's own admission. */
async function podSecurityLevel(template: KubeObject): Promise<string> {
	for (const level of ["restricted", "baseline"]) {
		const name = `security-${level}`;
		const metadata = { name, labels: { "pod-security.kubernetes.io/enforce": level } };
		await kube.request("POST", "/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata });
		const pod = { ...template, apiVersion: "v1", kind: "Pod", metadata: { name: "pod", namespace: name } };
		const { status, text } = await kube.request("POST", `/api/v1/namespaces/${name}/pods?dryRun=All`, pod);
		if (status === 201) return level;
		expect(text).toContain("violates PodSecurity");
	}
	return "privileged";
}

test("what Pod Security the pods pass: directories of the node are for no other level than privileged", async () => {
	const levels: Record<string, string> = {};
	for (const { name, template } of podTemplates(readManifest(INSTALL))) {
		levels[name] = await podSecurityLevel(template);
	}
	expect(levels).toEqual({ berth: "privileged", "berth-dhcp": "privileged", "berth-reconcile": "restricted" });
});

test("no pod has more than it needs: no privileged container, no capability but the dhcp daemon's", async () => {
	const added: Record<string, string[]> = {};
	for (const { overlay, components = [] } of RENDERINGS) {
		for (const { name, template } of podTemplates(await kustomize({ overlay, components }))) {
			for (const { securityContext } of template.spec.containers) {
				expect(securityContext).toMatchObject({
					allowPrivilegeEscalation: false,
					readOnlyRootFilesystem: true,
					capabilities: { drop: ["ALL"] },
				});
				expect(securityContext.privileged).toBeUndefined();
				if (securityContext.capabilities.add) added[name] = securityContext.capabilities.add;
			}
			expect(template.spec.securityContext.seccompProfile).toEqual({ type: "RuntimeDefault" });
			expect(template.spec.hostPID).toBeUndefined();
		}
	}
	expect(Object.keys(added)).toEqual(["berth-dhcp"]);
});

test("a value that the chart does not know, or that is none, is refused", async () => {
	const refusal = async (...values: string[]): Promise<string> => {
		const failure = await helmTemplate(values.map((value) => `--set=${value}`)).catch((error) => error);
		return failure.stderr;
	};
	expect(await refusal("imgae=registry.example/berth:1")).toContain("additional properties 'imgae' not allowed");
	expect(await refusal("plugins={sriow}")).toContain("at '/plugins/0'");
	expect(await refusal("rename.bridge=other")).toContain("invalid propertyName 'bridge'");
});

test("the chart's values are in the pods", async () => {
	const values = {
		image: "registry.example/berth:1",
		"imagePullSecrets[0].name": "pull",
		plugins: "{sriov,host-local}",
		"rename.host-local": "berth-host-local",
		replace: "null",
		keepForeign: "false",
		"installer.nodeSelector.sriov": "yes",
		"whereabouts.reconcile.schedule": "*/5 * * * *",
		"whereabouts.configuration.log_level": "debug",
	};
	const flags = Object.entries(values).map(([name, value]) => `--set=${name}=${value}`);
	const objects = await helmTemplate(flags, "net");
	for (const { kind, metadata } of objects) if (!kind.startsWith("Cluster")) expect(metadata.namespace).toBe("net");
	for (const { template } of podTemplates(objects)) {
		expect(template.spec.containers[0].image).toBe(values.image);
		expect(template.spec.imagePullSecrets).toEqual([{ name: "pull" }]);
	}
	const named = (kind: string, name: string): KubeObject =>
		objects.find((object) => object.kind === kind && object.metadata.name === name);
	const { nodeSelector, containers } = named("DaemonSet", "berth").spec.template.spec;
	expect(nodeSelector).toEqual({ "kubernetes.io/os": "linux", sriov: "yes" });
	expect(containers[0].command).toEqual([
		"/berth",
		"install",
		"--host=/host",
		"--cni-bin-dir=/host/opt/cni/bin",
		"--only=sriov,host-local",
		"--rename=host-local=berth-host-local",
		"--whereabouts-kubeconfig=/etc/cni/net.d/whereabouts.d/whereabouts.kubeconfig",
		"--whereabouts-conf=/etc/berth/whereabouts.conf",
		"--stay",
	]);
	expect(named("CronJob", "berth-reconcile").spec.schedule).toBe("*/5 * * * *");
	const flatFile = named("ConfigMap", "berth-whereabouts").data["whereabouts.conf"];
	expect(JSON.parse(flatFile)).toMatchObject({ log_level: "debug" });
});

test("the probes verify what the installer installs", async () => {
	const objects = [...readManifest(INSTALL)];
	for (const { overlay, components = [] } of RENDERINGS) objects.push(...(await kustomize({ overlay, components })));
	const installers = objects.filter(({ kind, metadata }) => kind === "DaemonSet" && metadata.name === "berth");
	expect(installers.length).toBe(RENDERINGS.length + 1);
	for (const { spec } of installers) {
		const { command, startupProbe, readinessProbe } = spec.template.spec.containers[0];
		if (command[1] === "uninstall") {
			expect([startupProbe, readinessProbe]).toEqual([undefined, undefined]);
			continue;
		}
		const wanted = ["/berth", "verify", ...command.slice(2).filter((flag: string) => flag !== "--stay")];
		expect(startupProbe.exec.command).toEqual(wanted);
		expect(readinessProbe.exec.command).toEqual(wanted);
	}
});

/** The rules of `kinds` that are for an account. */
function rulesOf(account: string, kinds: RegExp): KubeObject[] {
	const objects = readManifest(INSTALL);
	const bound = objects.filter(({ kind, subjects }) => subjects?.[0].name === account && kinds.test(kind));
	return bound.flatMap(({ roleRef }) => {
		const role = objects.find(({ kind, metadata }) => kind === roleRef.kind && metadata.name === roleRef.name);
		return role.rules;
	});
}

/** What an account may do in a namespace, but for what everybody may ask about itself. */
async function rightsOf(account: string, namespace: string): Promise<KubeObject[]> {
	const token = await kube.token("kube-system", account);
	const review = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectRulesReview", spec: { namespace } };
	const { json } = await kube.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review, {
		token,
	});
	const rules: KubeObject[] = json.status.resourceRules;
	return rules.filter(({ apiGroups }) => !/^auth(orization|entication)\.k8s\.io$/.test(apiGroups[0]));
}

for (const account of ["berth", "berth-reconcile", "berth-dhcp"]) {
	test(`the account ${account} may do what its roles say, and nothing else`, async () => {
		const sets = (rules: KubeObject[]): Set<string> =>
			new Set(
				rules.map(({ apiGroups, resources, resourceNames = [], verbs }) =>
					JSON.stringify([apiGroups, resources, resourceNames, verbs]),
				),
			);
		expect(sets(await rightsOf(account, "kube-system"))).toEqual(sets(rulesOf(account, /^(Cluster)?RoleBinding$/)));
		expect(sets(await rightsOf(account, "default"))).toEqual(sets(rulesOf(account, /^ClusterRoleBinding$/)));
	});
}

test("the image has the version of the package", () => {
	const images = podTemplates(readManifest(INSTALL)).map(({ template }) => template.spec.containers[0].image);
	expect(images).toEqual(Array(3).fill(`localhost/berth:${version}`));
});

test("the way back in docs/install.md takes all away but the kinds", async () => {
	const page = readFileSync(join(manifests, "../docs/install.md"), "utf8");
	const deletions = [...page.matchAll(/^kubectl (.*delete [^#\n]*-l [^#\s]*)/gm)].map(([, args]) =>
		args!.trim().split(" "),
	);
	expect(deletions).toHaveLength(2);
	for (const rendering of RENDERINGS) {
		const objects = await kustomize(rendering);
		expect((await kubectl(["apply", "--filename=-", "--server-side", "--force-conflicts"], objects)).exitCode).toBe(0);
	}
	for (const args of deletions) expect((await kubectl(args)).exitCode).toBe(0);
	expect(await ourObjects()).toEqual([]);
	expect(await kindsLeft()).toBe(3);
});

test("helm install, upgrade to the uninstaller, uninstall", async () => {
	const executable = await buildHelm();
	const helm = (...args: string[]) => execa(executable, [...args, "--namespace=kube-system"], { env: asAdmin() });
	await helm("install", "berth", chart);
	expect(await ourObjects()).toHaveLength(readManifest(INSTALL).length - 3);
	await helm("upgrade", "berth", chart, "--set=uninstall=true");
	const { json } = await kube.request("GET", "/apis/apps/v1/namespaces/kube-system/daemonsets/berth");
	expect(json.spec.template.spec.containers[0].command).toContain("uninstall");
	await helm("uninstall", "berth");
	expect(await ourObjects()).toEqual([]);
	expect(await kindsLeft()).toBe(3);
});
