/**
 * The settings of a VF that its PF enforces, and what there is to know of each. The order in which the kernel is
 * given them, groups, messages, records, recovery, CHECK and the table in docs/sriov.md come from here.
 */
import type { JsonObject, JsonValue } from "../../lib/cni/types.ts";
import { parseMac } from "../../lib/ip/mac.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import { integer, text } from "../../lib/state/json.ts";
import type { SriovConfig } from "./schema.ts";

export type VfField = keyof VfSettings;
type ConfigKey = keyof { [K in keyof SriovConfig as string extends K ? never : K]: 1 };

interface Setting<V> {
	/** What users call it: its key in the configuration, and its name in messages. */
	readonly key: ConfigKey;
	/** The key that makes ADD change it, where that is another: it then gets its default if its own is absent. */
	readonly setBy?: ConfigKey;
	/** Go's key in `OrigVfState`. */
	readonly goKey: string;
	/** Settings of one group are one to the kernel, which takes them only together. */
	readonly group: string;
	/** Where drivers begin; undefined where that differs from VF to VF. */
	readonly default: V | undefined;
	/** False where the VF's own driver can do it, too. */
	readonly needsPf: boolean;
	/** Of the user's value, whose shape has been checked; left out where config.ts does it. */
	readonly fromUser?: (value: unknown) => V | undefined;
	/** As in a record. Undefined is what a driver does not tell. */
	readonly toRecord: (value: V | undefined) => JsonValue;
	readonly fromRecord: (value: JsonValue | undefined) => V;
	/** Whether drivers may keep it to themselves: then our part of the record says so, since Go's cannot. */
	readonly mayBeUntold?: true;
}

type Kind<V> = Pick<Setting<V>, "fromUser" | "toRecord" | "fromRecord" | "mayBeUntold">;

/** A whole number up to `most`. */
const upTo = (most: number): Kind<number> => ({
	fromUser: (value) => value as number | undefined,
	toRecord: (value) => value ?? 0,
	fromRecord: (value) => integer(value, most) ?? 0,
});

/** "on" or "off". Go takes the kernel's "not known" for on. */
const flag: Kind<boolean | undefined> = {
	fromUser: (value) => (value === undefined || value === "" ? undefined : value === "on"),
	toRecord: (value) => value ?? true,
	fromRecord: (value) => value === true,
	mayBeUntold: true,
};

/** One of the words, which are these numbers in records. The first is what an unknown number is taken for. */
function word<V extends string>(numbers: Readonly<Record<V, number>>): Kind<V> {
	const words = Object.keys(numbers) as V[];
	const [first] = words as [V];
	return {
		fromUser: (value) => (text(value as JsonValue | undefined).toLowerCase() || undefined) as V | undefined,
		toRecord: (value) => numbers[value ?? first],
		fromRecord: (value) => words.find((each) => numbers[each] === value) ?? first,
	};
}

/** A MAC of a record, which may hold anything; "" where it is not known. */
export const macOrNone = (value: JsonValue | undefined): string =>
	parseMac(text(value)) === undefined ? "" : text(value);

const mac: Kind<string> = { toRecord: (value) => value ?? "", fromRecord: macOrNone };

/** In the order in which the kernel is given them. */
export const SETTINGS = {
	vlan: { key: "vlan", goKey: "Vlan", group: "vlan", default: 0, needsPf: true, ...upTo(4095) },
	vlanQos: { key: "vlanQoS", setBy: "vlan", goKey: "VlanQoS", group: "vlan", default: 0, needsPf: true, ...upTo(7) },
	vlanProto: {
		key: "vlanProto",
		setBy: "vlan",
		goKey: "VlanProto",
		group: "vlan",
		default: "802.1q",
		needsPf: true,
		...word({ "802.1q": 0x8100, "802.1ad": 0x88a8 }),
	},
	mac: { key: "mac", goKey: "AdminMAC", group: "mac", default: undefined, needsPf: false, ...mac },
	minTxRate: { key: "min_tx_rate", goKey: "MinTxRate", group: "rate", default: 0, needsPf: true, ...upTo(0xffff_ffff) },
	maxTxRate: { key: "max_tx_rate", goKey: "MaxTxRate", group: "rate", default: 0, needsPf: true, ...upTo(0xffff_ffff) },
	spoofCheck: { key: "spoofchk", goKey: "SpoofChk", group: "spoofchk", default: true, needsPf: true, ...flag },
	trust: { key: "trust", goKey: "Trust", group: "trust", default: false, needsPf: true, ...flag },
	linkState: {
		key: "link_state",
		goKey: "LinkState",
		group: "link_state",
		default: "auto",
		needsPf: true,
		...word({ auto: 0, enable: 1, disable: 2 }),
	},
} as const satisfies { readonly [K in VfField]: Setting<VfSettings[K]> };

export const FIELDS = Object.keys(SETTINGS) as VfField[];

/** The table without the types of the values: for loops over fields. */
const settingOf = (field: VfField): Setting<unknown> => SETTINGS[field] as Setting<unknown>;

/** What users call a setting. */
export const nameOf = (field: VfField): string => SETTINGS[field].key;

/** The settings that go to the kernel together with `field`, itself among them. */
export const groupOf = (field: VfField): VfField[] =>
	FIELDS.filter((each) => SETTINGS[each].group === SETTINGS[field].group);

/** One field of each group. */
export const LEADERS: readonly VfField[] = FIELDS.filter((field) => groupOf(field)[0] === field);

const fromFields = (value: (field: VfField) => unknown): Partial<VfSettings> =>
	Object.fromEntries(FIELDS.map((field) => [field, value(field)]).filter(([, each]) => each !== undefined));

const isSet = (value: unknown): boolean => value !== undefined && value !== null && value !== "";

/** What ADD sets by a configuration whose shape has been checked, the MAC apart. */
export function settingsOf(config: SriovConfig): Partial<VfSettings> {
	return fromFields((field) => {
		const { key, setBy = key, fromUser, default: initial } = settingOf(field);
		return fromUser?.(config[key]) ?? (setBy !== key && isSet(config[setBy]) ? initial : undefined);
	});
}

/**
 * Where drivers begin, for what ADD sets by `config` and the driver tells of: the Go plugin undoes no more either.
 */
export function defaultsOf(config: SriovConfig, now: VfSettings): Partial<VfSettings> {
	return fromFields((field) => {
		const { key, setBy = key, default: initial } = settingOf(field);
		return isSet(config[setBy]) && now[field] !== undefined ? initial : undefined;
	});
}

/** The part of a record that Go knows, `OrigVfState`. `settings` undefined: the PF reports none. */
export function settingsToGo(settings: VfSettings | undefined): JsonObject {
	return Object.fromEntries(FIELDS.map((field) => [SETTINGS[field].goKey, toRecord(field, settings)]));
}

/** What Go's part cannot say: that the PF reports no settings (null), or not this one. */
export function settingsToOwn(settings: VfSettings | undefined): JsonObject | null {
	if (settings === undefined) return null;
	const own = FIELDS.filter((field) => settingOf(field).mayBeUntold);
	const value = (field: VfField) => (settings[field] === undefined ? null : toRecord(field, settings));
	return Object.fromEntries(own.map((field) => [SETTINGS[field].key, value(field)]));
}

const toRecord = (field: VfField, settings: VfSettings | undefined): JsonValue =>
	settingOf(field).toRecord(settings?.[field]);

/** Reads both parts: `own` is undefined in a record of Go's, null where the PF reports no settings. */
export function settingsFromRecord(go: JsonObject, own: JsonObject | null | undefined): VfSettings | undefined {
	if (own === null) return undefined;
	const value = (field: VfField): unknown => {
		const { key, goKey, fromRecord } = settingOf(field);
		return own?.[key] === null ? undefined : fromRecord(go[goKey]);
	};
	return Object.fromEntries(FIELDS.map((field) => [field, value(field)])) as unknown as VfSettings;
}

/** The same of a record that was truncated: only what is left of it. */
export function settingsFromRest(go: JsonObject, own: JsonObject | null | undefined): Partial<VfSettings> {
	const all = settingsFromRecord(go, own);
	return fromFields((field) => (SETTINGS[field].goKey in go ? all?.[field] : undefined));
}

/** A setting as users write it. */
export const shown = (value: unknown): string => (typeof value === "boolean" ? (value ? "on" : "off") : String(value));
