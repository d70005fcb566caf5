/**
 * The state directory of a main plugin, looked at by STATUS: on file systems of all kinds, which need no device.
 */
import { describe, expect, test } from "vitest";
import { type Answer, call, ours } from "../lab/ipam.ts";

const STATE = "/var/lib/cni/sriov";
const FILLER = `${STATE}/fill.lock`;

/**
 * STATUS of sriov with a tmpfs of one page as its state directory, after `prepare`; and what is in the directory then.
 */
async function status(prepare: string): Promise<Answer & { files: string[] }> {
	const script = `mount -t tmpfs tmpfs /var/lib; mkdir -p ${STATE}; mount -t tmpfs -o size=4k tmpfs ${STATE}; ${prepare}
"$1" && status=0 || status=$?; find ${STATE} -type f >&2; exit $status`;
	const config = { cniVersion: "1.1.0", name: "net", type: "sriov" };
	const answer = await call(ours("sriov"), "STATUS", { config, script });
	return { ...answer, files: answer.stderr.split("\n").filter(Boolean) };
}

describe("STATUS of sriov", () => {
	test.each([
		["full of bytes", `mkdir -p ${STATE}/pci/vf_lock; printf x >${FILLER}`, "ENOSPC", [FILLER]],
		[
			"full of files",
			`mount -o remount,nr_inodes=4 ${STATE}; mkdir -p ${STATE}/pci/vf_lock; touch ${FILLER}`,
			"ENOSPC",
			[FILLER],
		],
		["read-only", `mkdir -p ${STATE}/pci/vf_lock; mount -o remount,ro ${STATE}`, "EROFS", []],
	])(
		"50 with path and errno where the state directory is %s, and nothing is left behind",
		async (_, prepare, code, files) => {
			const answer = await status(prepare);
			expect(answer).toMatchObject({ status: 1, json: { code: 50 }, files });
			expect(answer.json.msg).toMatch(new RegExp(`^no VF can be attached: .*${STATE}.*\\(${code}\\)$`));
		},
	);

	test("finds nothing wrong with one that can be written, and leaves nothing in it", async () => {
		const { stdout, files } = await status("true");
		// Whether this machine has VFs is another matter.
		expect(stdout).not.toContain(STATE);
		expect(files).toEqual([]);
	});
});
