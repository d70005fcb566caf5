import { describe, expect, it } from "vitest";
import {
	delegateCandidates,
	delegateNotFound,
	readDelegateResult,
	requireSuccess,
} from "../../../lib/cni/delegation.ts";
import { failure } from "./failure.ts";

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const end = (stdout: string, status = 0, stoppedBy?: string) => ({
	stdout: new TextEncoder().encode(stdout),
	status,
	stoppedBy,
});

describe("where a delegate may be", () => {
	it("is every directory of CNI_PATH in order, but never the current one", () => {
		expect(delegateCandidates("x", "/opt/cni/bin:/a/::/b")).toEqual(["/opt/cni/bin/x", "/a/x", "/b/x"]);
	});

	it.each([
		["", "/bin", "no plugin name provided"],
		["../x", "/bin", "invalid plugin name: ../x"],
		["x", "", "no paths provided"],
	])("type %j in %j is refused as in Go", (type, path, message) => {
		expect(failure(() => delegateCandidates(type, path))).toMatchObject({ code: 103, message });
	});

	it("is told when it is nowhere", () => {
		expect(delegateNotFound("x", "/a:/b").message).toBe('failed to find plugin "x" in path [/a /b]');
	});
});

describe("a delegate's answer", () => {
	it("is its result, of the configuration's version where it names none", () => {
		expect(readDelegateResult("x", end('{"ip4":{"ip":"10.0.0.1/8"}}'), "0.2.0", decode)).toEqual({
			ips: [{ address: "10.0.0.1/8" }],
		});
	});

	it("is its error with code, message and details", () => {
		const answer = end('{"cniVersion":"1.0.0","code":11,"msg":"busy","details":"later"}', 1);
		expect(failure(() => readDelegateResult("x", answer, "1.0.0", decode))).toMatchObject({
			code: 11,
			message: "busy",
			details: "later",
		});
		expect(failure(() => requireSuccess("x", answer, decode)).code).toBe(11);
	});

	it.each([
		[end("", 2), 'plugin "x" failed with exit status 2 and no error message', /stderr/],
		[end("panic: oh", 2), 'plugin "x": it failed and its error message is not JSON: invalid character', /panic: oh/],
		[end('{"ips":[]}', 1), 'plugin "x": it failed and its answer is not an error with code and msg', /ips/],
		[end("", 0, "signal 9"), 'plugin "x" was stopped by signal 9', /^$/],
		[end(""), 'plugin "x": failed to unmarshal raw result: unexpected end of JSON input', /printed ""/],
		[end('{"cniVersion":"9"}'), 'plugin "x": unsupported CNI result version "9"', /printed/],
	])("%o is code 103 with a sentence and what it printed", (answer, message, details) => {
		const error = failure(() => readDelegateResult("x", answer, "1.0.0", decode));
		expect(error.code).toBe(103);
		expect(error.message.slice(0, message.length)).toBe(message);
		expect(error.details).toMatch(details);
	});
});
