/** Log lines, by the one that sriov writes where nothing was attached and its IPAM plugin is not there. */
import { expect, test } from "vitest";
import { call, ours } from "../lab/ipam.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

async function line(environment: string): Promise<string> {
	const config = { cniVersion: "1.1.0", name: "net", type: "sriov", ipam: { type: "none-such" } };
	const { status, stderr } = await call(ours("sriov"), "DEL", { config, script: `${environment}; exec "$@"` });
	expect(status).toBe(0);
	return stderr;
}

test.each([`00-${TRACE}-${SPAN}-01`, `00-${TRACE}-${SPAN}-00`, `01-${TRACE}-${SPAN}-01-more`])(
	"the trace of TRACEPARENT %s is in the line",
	async (value) => {
		expect(await line(`export TRACEPARENT=${value}`)).toMatch(new RegExp(`msg="nothing was.* traceId="${TRACE}"\n$`));
	},
);

test.each([
	"",
	TRACE,
	`00-${"0".repeat(32)}-${SPAN}-01`,
	`00-${TRACE}-${"0".repeat(16)}-01`,
	`ff-${TRACE}-${SPAN}-01`,
	`00-${TRACE.toUpperCase()}-${SPAN}-01`,
	`00-${TRACE}-${SPAN}-01-more`,
	`00-${TRACE}-${SPAN}-01x`,
])("TRACEPARENT %j is passed over", async (value) => {
	const written = await line(`export TRACEPARENT='${value}'`);
	expect(written).toContain("nothing was attached");
	expect(written).not.toContain("trace");
});
