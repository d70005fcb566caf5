/**
 * STATUS: an ADD would find the API server and an address. It has an answer within two seconds.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { sentence } from "../../lib/cni/failures.ts";
import type { Request } from "../../lib/cni/types.ts";
import { isSystemError } from "../../lib/sys/sys.ts";
import { requireBlockAddress } from "./block-addresses.ts";
import { loadWhereabouts } from "./config.ts";
import { poolOf } from "./pool.ts";
import { addressOfOffset, exhaustion, mayHandOut } from "./ranges.ts";
import { Records } from "./record.ts";
import { type Session, withApiServer } from "./session.ts";

export function status(request: Request): void {
	const config = loadWhereabouts(request);
	const { dataDir } = config;
	try {
		new Records(dataDir).requireWritable();
		if (config.slicing !== undefined) {
			requireBlockAddress(config, config.slicing);
			return;
		}
	} catch (error) {
		const isIo = isSystemError(error) || (error instanceof CniError && error.code === Code.io);
		if (!isIo) throw error;
		throw new CniError(Code.notAvailable, `the state directory cannot be used: ${sentence(error)}`);
	}
	const look = (session: Session): void => {
		for (const range of config.ranges) {
			const pool = poolOf(session, config.networkName, range.network, dataDir);
			const offsets = [...(pool.read()?.keys() ?? [])];
			const used = offsets.filter((offset) => mayHandOut(range, addressOfOffset(range, offset))).length;
			if (BigInt(used) < range.size) continue;
			throw new CniError(
				Code.notAvailable,
				exhaustion(range),
				`pool ${pool.name}: ${used} of ${range.size} addresses are held`,
			);
		}
	};
	withApiServer(config.kubeconfig, look, Code.notAvailable);
}
