import { describe, expect, it } from "vitest";
import { parseCniArgs, podOf } from "../../../lib/cni/args.ts";
import { CniError } from "../../../lib/cni/error.ts";

function failure(text: string): CniError {
	try {
		parseCniArgs(text, ["IP", "MAC"]);
	} catch (error) {
		if (error instanceof CniError) return error;
		throw error;
	}
	throw new Error(`${text} was accepted`);
}

describe("CNI_ARGS", () => {
	it.each([
		["", {}],
		["IP=10.0.0.1", { IP: "10.0.0.1" }],
		["IP=;MAC=x", { IP: "", MAC: "x" }],
		["IP=1;IP=2", { IP: "2" }],
		["K8S_POD_NAME=p;IP=1;IgnoreUnknown=1", { IP: "1" }],
		["IgnoreUnknown=TRUE;ip=1;constructor=2", {}],
	])("%j gives the values of known keys", (text, values) => {
		expect(parseCniArgs(text, ["IP", "MAC"])).toEqual(values);
	});

	it.each([
		["IP", 'ARGS: invalid pair "IP"'],
		["IP=1;", 'ARGS: invalid pair ""'],
		["IP=a=b", 'ARGS: invalid pair "IP=a=b"'],
		["A=1;IP=2;B=3", 'ARGS: unknown args ["A=1" "B=3"]'],
		["A=1;IgnoreUnknown=0", 'ARGS: unknown args ["A=1"]'],
		["ip=1", 'ARGS: unknown args ["ip=1"]'],
		[
			"IgnoreUnknown=Maybe",
			'ARGS: error parsing value of pair "IgnoreUnknown=Maybe": boolean unmarshal error: invalid input maybe',
		],
		['A="\u0007', 'ARGS: unknown args ["A=\\"\\a"]'],
	])("%j is refused as in Go, with code 4", (text, message) => {
		expect(failure(text)).toMatchObject({ code: 4, message });
	});
});

describe("the pod in CNI_ARGS", () => {
	it.each([
		["IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web-0;K8S_POD_UID=7f9c", { pod: "ns/web-0", podUid: "7f9c" }],
		["K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=ns", { pod: "ns/web-0", podUid: "" }],
		["K8S_POD_NAME=web-0;XK8S_POD_NAMESPACE=ns", { pod: "", podUid: "" }],
		["K8S_POD_UID=a=b;K8S_POD_UID=c", { pod: "", podUid: "a" }],
		["", { pod: "", podUid: "" }],
	])("%j", (args, pod) => {
		expect(podOf(args)).toEqual(pod);
	});
});
