/**
 * The vocabulary of the protocol: requests, results, plugins. Source: CNI specification 1.1.0, sections 2, 4 and 5.
 */

/** What a plugin does. VERSION is answered for it. */
export type Verb = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS";

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export type JsonObject = { [key: string]: JsonValue };

/** One call of the runtime, after the checks that every plugin shares (environment, JSON, name, version). */
export interface Request {
	readonly verb: Verb;
	/** CNI_CONTAINERID; "" for GC and STATUS. */
	readonly containerId: string;
	/** CNI_NETNS: path of the sandbox; may be "" for DEL. */
	readonly netns: string;
	/** CNI_IFNAME; "" for GC and STATUS. */
	readonly ifName: string;
	/** CNI_ARGS, raw. */
	readonly args: string;
	/** CNI_PATH, raw: directories separated by ":". */
	readonly path: string;
	/** stdin as it came: delegates get the same bytes. */
	readonly stdin: Uint8Array;
	/** stdin, parsed. Keys as they came; `loadConfig` folds them. */
	readonly config: JsonObject;
	/** `name` of the configuration. */
	readonly network: string;
	/** `cniVersion` of the configuration; "0.1.0" where it has none. */
	readonly cniVersion: string;
	/** The plugins in this executable: delegates of these names need no process. */
	readonly plugins: Plugins;
}

/** Result of ADD in its newest form (specification 1.1.0, section 5.1); `resultAsVersion` converts it down. */
export interface CniResult {
	interfaces?: CniInterface[];
	ips?: CniIp[];
	routes?: CniRoute[];
	dns?: CniDns;
}
export interface CniInterface {
	name: string;
	mac?: string;
	mtu?: number;
	sandbox?: string;
	socketPath?: string;
	pciID?: string;
}
export interface CniIp {
	/** Index into `interfaces`. */
	interface?: number;
	/** CIDR, host bits kept: "10.1.2.3/24". */
	address: string;
	gateway?: string;
}
export interface CniRoute {
	dst: string;
	gw?: string;
	mtu?: number;
	advmss?: number;
	priority?: number;
	table?: number;
	scope?: number;
}
export interface CniDns {
	nameservers?: string[];
	domain?: string;
	search?: string[];
	options?: string[];
}

/** An attachment that the runtime calls valid in GC: key `cni.dev/valid-attachments`. */
export interface ValidAttachment {
	readonly containerID: string;
	readonly ifname: string;
}

/** A plugin. Throwing a `CniError` is the way to fail; anything else thrown is a bug (code 999). */
export interface Plugin {
	/** First line of what is said when there is no CNI_COMMAND; "" for none, which makes that an error. */
	readonly about: string;
	/** It has delegates, and can be nobody's: not an IPAM plugin. */
	readonly isMain?: true;
	add(request: Request): CniResult;
	del(request: Request): void;
	check(request: Request): void;
	/** `valid` is undefined where the runtime sent no list: then nothing may be released. */
	gc(request: Request, valid: readonly ValidAttachment[] | undefined): void;
	status(request: Request): void;
	/** What the plugin prints for its command line; undefined: nothing, it does what CNI_COMMAND says. */
	answerFlags?(args: readonly string[]): string | undefined;
}

/** By name. */
export type Plugins = Readonly<Record<string, Plugin>>;
