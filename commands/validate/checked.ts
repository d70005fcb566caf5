/**
 * The plugins of this executable, as far as their configurations can be checked: the schema, and the function that ADD
 * reads the configuration with.
 */
import dhcpValidator from "validator:dhcp";
import hostLocalValidator from "validator:host-local";
import rdmaValidator from "validator:rdma";
import sriovValidator from "validator:sriov";
import staticValidator from "validator:static";
import whereaboutsValidator from "validator:whereabouts";
import { loadWanted } from "../../ipam/dhcp/config.ts";
import { loadHostLocal } from "../../ipam/host-local/config.ts";
import { loadStatic } from "../../ipam/static/config.ts";
import { loadWhereabouts } from "../../ipam/whereabouts/config.ts";
import type { Validator } from "../../lib/cni/config.ts";
import type { Request } from "../../lib/cni/types.ts";
import { loadAttachment as loadRdma } from "../../plugins/rdma/config.ts";
import { loadAttachment as loadSriov } from "../../plugins/sriov/config.ts";

export interface Checked {
	readonly validator: Validator;
	/** Throws CniError for what ADD refuses before it looks at the node. */
	readonly load: (request: Request) => unknown;
}

export const MAIN_PLUGINS: Readonly<Record<string, Checked>> = {
	sriov: { validator: sriovValidator, load: loadSriov },
	rdma: { validator: rdmaValidator, load: loadRdma },
};

export const IPAM_PLUGINS: Readonly<Record<string, Checked>> = {
	dhcp: { validator: dhcpValidator, load: loadWanted },
	"host-local": { validator: hostLocalValidator, load: loadHostLocal },
	static: { validator: staticValidator, load: loadStatic },
	whereabouts: { validator: whereaboutsValidator, load: loadWhereabouts },
};

/** The entry of `plugins` that is called `name`. */
export const entryOf = (plugins: Readonly<Record<string, Checked>>, name: string | undefined): Checked | undefined =>
	name !== undefined && Object.hasOwn(plugins, name) ? plugins[name] : undefined;
