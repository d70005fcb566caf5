/**
 * The configuration of one attachment: shape by the generated validator, meaning here.
 */
import validator from "validator:rdma";
import { parseCniArgs } from "../../lib/cni/args.ts";
import { loadConfig, usableConfig } from "../../lib/cni/config.ts";
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import { toDeviceId } from "../../lib/rdma/device.ts";
import { type WantedDevice, wantedDevice } from "../../lib/rdma/wanted.ts";
import type { RdmaConfig } from "./schema.ts";

/** An attachment as the user wants it. */
export interface Attachment {
	readonly config: RdmaConfig;
	readonly wanted: WantedDevice;
	/** The device that has the RDMA device; undefined: to be found by the interface of prevResult. */
	readonly deviceId: string | undefined;
}

/** Reads the configuration of ADD and CHECK. Throws CniError 4, 6 and 7 with a sentence that names the value. */
export function loadAttachment(request: Request): Attachment {
	parseCniArgs(request.args, []);
	const config = loadConfig<RdmaConfig>(request.config, validator);
	const wanted = wantedIn(config);
	const given = givenDeviceId(config);
	const deviceId = toDeviceId(given);
	if (given && deviceId === undefined) {
		throw new CniError(
			Code.invalidConfig,
			`deviceID "${given}" is neither a PCI address such as 0000:3b:02.1 nor the name of an auxiliary device such as mlx5_core.sf.4`,
		);
	}
	return { config, wanted, deviceId };
}

const wantedIn = (config: RdmaConfig): WantedDevice =>
	wantedDevice(config, config.args?.cni?.rdmaDeviceName || config.rdmaDeviceName);

/** The configuration with all that can be checked without a device. Throws CniError 6 and 7. */
export function strictConfig(request: Request): RdmaConfig {
	const config = loadConfig<RdmaConfig>(request.config, validator);
	wantedIn(config);
	return config;
}

/** The configuration of a verb that must work with what is left of it. */
export const looseConfig = (request: Request): RdmaConfig => usableConfig<RdmaConfig>(request.config, validator);

const givenDeviceId = (config: RdmaConfig): string =>
	config.deviceID || config.runtimeConfig?.deviceID || config.pciBusID || "";

/** The device of a configuration that may have lost other fields (DEL), or undefined where it names none. */
export const deviceIdIfAny = (config: RdmaConfig): string | undefined => toDeviceId(givenDeviceId(config));
