/**
 * CNI_ARGS: "K=V;K2=V2". Source: containernetworking/cni v1.3.0, pkg/types LoadArgs.
 */
import { CniError, Code } from "./error.ts";
import { quote } from "./quote.ts";

/**
 * The values of `knownKeys` in `text`; keys match to the letter, a later pair wins. A key of someone else is an error
 * (code 4) unless IgnoreUnknown is true; so is a pair that is not K=V: a value cannot hold "=".
 */
export function parseCniArgs(text: string, knownKeys: readonly string[]): Record<string, string> {
	const values: Record<string, string> = {};
	if (text === "") return values;
	const unknown: string[] = [];
	let ignoreUnknown = false;
	for (const pair of text.split(";")) {
		const sides = pair.split("=");
		if (sides.length !== 2) throw new CniError(Code.invalidEnvironment, `ARGS: invalid pair ${quote(pair)}`);
		const key = sides[0]!;
		const value = sides[1]!;
		if (key === "IgnoreUnknown") ignoreUnknown = parseBoolean(value, pair);
		else if (knownKeys.includes(key)) values[key] = value;
		else unknown.push(pair);
	}
	if (unknown.length > 0 && !ignoreUnknown) {
		throw new CniError(Code.invalidEnvironment, `ARGS: unknown args [${unknown.map(quote).join(" ")}]`);
	}
	return values;
}

function parseBoolean(text: string, pair: string): boolean {
	const lower = text.toLowerCase();
	if (lower === "1" || lower === "true") return true;
	if (lower === "0" || lower === "false") return false;
	throw new CniError(
		Code.invalidEnvironment,
		`ARGS: error parsing value of pair ${quote(pair)}: boolean unmarshal error: invalid input ${lower}`,
	);
}

/** The pod that Kubernetes' runtimes name in CNI_ARGS: "namespace/name" and UID, "" where they do not. */
export function podOf(args: string): { pod: string; podUid: string } {
	const namespace = argOf("K8S_POD_NAMESPACE", args);
	const name = argOf("K8S_POD_NAME", args);
	return { pod: namespace && name && `${namespace}/${name}`, podUid: argOf("K8S_POD_UID", args) };
}

/** Of the first pair with that key; "" where there is none. */
function argOf(key: string, args: string): string {
	const at = `;${args}`.indexOf(`;${key}=`);
	return at < 0 ? "" : /^[^;=]*/.exec(args.slice(at + key.length + 1))![0];
}
