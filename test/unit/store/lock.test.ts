import { expect, it, vi } from "vitest";
import { CniError, Code } from "../../../lib/cni/error.ts";
import { Store } from "../../../lib/store/store.ts";

const deadlines: number[] = [];
vi.mock("../../../lib/sys/sys.ts", async (original) => ({
	...(await original<typeof import("../../../lib/sys/sys.ts")>()),
	openat: () => 9,
	discard: () => {},
	// Nobody tells who has it.
	statat: () => undefined,
	readFileIfPresent: () => undefined,
	// Someone else holds the lock until the deadline.
	flock: (_fd: number, _operation: number, deadlineMs: number) => {
		deadlines.push(deadlineMs);
		return false;
	},
}));

it("gives up on a lock that another process keeps, names the file and says to try again", () => {
	for (const open of [Store.open, Store.openIfPresent]) {
		const error = (() => {
			try {
				open("/data/net");
			} catch (thrown) {
				return thrown;
			}
		})();
		expect(error).toBeInstanceOf(CniError);
		expect(error).toMatchObject({
			code: Code.tryAgain,
			message:
				"time out while waiting to acquire exclusive lock on the addresses in /data/net: another process has held /data/net/lock for 60 s",
		});
	}
	expect(deadlines).toEqual([60_000, 60_000]);
});
