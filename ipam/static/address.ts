/**
 * A configured address as results have it.
 */
import type { CniIp } from "../../lib/cni/types.ts";
import { formatIp } from "../../lib/ip/address.ts";
import { formatCidr } from "../../lib/ip/cidr.ts";
import type { StaticAddress } from "./config.ts";

export const inResult = ({ cidr, gateway }: StaticAddress): CniIp => ({
	address: formatCidr(cidr),
	...(gateway && { gateway: formatIp(gateway) }),
});
