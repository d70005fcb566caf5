/**
 * What ADD would refuse: the plugin's own function says it, and it is asked again without the part that it named, until
 * it finds no more.
 */
import { everyViolation, type Validator } from "../../lib/cni/config.ts";
import { CniError } from "../../lib/cni/error.ts";
import { attempt } from "../../lib/cni/failures.ts";
import { isObject } from "../../lib/cni/json.ts";
import { foldKeys } from "../../lib/cni/keys.ts";
import { nearest } from "../../lib/cni/nearest.ts";
import type { JsonObject, JsonValue, Request } from "../../lib/cni/types.ts";
import { encodeUtf8 } from "../../lib/sys/sys.ts";
import type { Checked } from "./checked.ts";
import type { Report } from "./problem.ts";
import type { Path } from "./tree.ts";

/** More parts are not taken out of one configuration: who has so many mistakes mends some first. */
const MAX_ROUNDS = 50;

/**
 * Reports what `plugin` refuses of `config`, a configuration as ADD gets it. `stand` has the members that the runtime
 * and the node add where the configuration has none.
 */
export function reportRefusals(
	plugin: Checked,
	config: JsonObject,
	stand: (config: JsonObject) => JsonObject,
	report: Report,
): void {
	const folded = foldKeys(config, plugin.validator);
	const violations = everyViolation(folded, plugin.validator);
	const rest = new Remainder(folded, plugin.validator);
	for (const { path, message } of violations) {
		report("error", path, message, hintFor(folded, plugin.validator, path));
	}
	// Those behind first, so that the places of those before stay.
	for (const { path } of violations.toReversed()) rest.takeOut(path);
	for (let round = 0; round < MAX_ROUNDS && isObject(rest.value); round++) {
		// What is required of the whole and not there has been said.
		if (everyViolation(rest.value, plugin.validator).length > 0) return;
		const refusal = refusalOf(plugin, stand(rest.value));
		if (refusal === undefined) return;
		const place = placeOf(refusal, rest.value);
		const path = rest.before(place);
		if (!rest.follows(refusal.message, path)) {
			report("error", path, refusal.message, /^field |^ipam\./.test(refusal.details) ? "" : refusal.details);
		}
		if (!rest.takeOut(place)) return;
	}
}

/** What is left of a configuration when parts have been taken out of it. */
class Remainder {
	value: JsonValue;
	readonly #validator: Validator;
	/** What was wrong in the parts that are out: paths of the whole configuration. */
	readonly #taken: Path[] = [];
	/** Of lists that have lost items: the places in the whole of those that are left. */
	readonly #places = new Map<JsonValue, readonly number[]>();

	constructor(whole: JsonValue, validator: Validator) {
		this.value = whole;
		this.#validator = validator;
	}

	/** Takes out the smallest part with `path` that may be missing. False: there is none. */
	takeOut(path: Path): boolean {
		this.#taken.push(this.before(path));
		const part = optionalPart(this.#validator, path);
		if (part.length === 0 || valueAt(this.value, part) === undefined) return false;
		this.value = this.#without(this.value, part);
		return true;
	}

	/** Where the part that is at `path` now has been before. */
	before(path: Path): Path {
		const listAt = (depth: number): JsonValue => valueAt(this.value, path.slice(0, depth)) ?? null;
		return path.map((key, depth) => this.#places.get(listAt(depth))?.[Number(key)] ?? key);
	}

	#without(value: JsonValue, path: Path): JsonValue {
		const [key, ...rest] = path;
		if (key === undefined) return value;
		if (Array.isArray(value)) {
			const at = Number(key);
			const left = rest.length === 0 ? value.toSpliced(at, 1) : value.with(at, this.#without(value[at]!, rest));
			const places = this.#places.get(value) ?? [...value.keys()];
			this.#places.set(left, rest.length === 0 ? places.toSpliced(at, 1) : places);
			return left;
		}
		if (!isObject(value)) return value;
		if (rest.length > 0) return { ...value, [key]: this.#without(value[key]!, rest) };
		const { [key]: _, ...others } = value;
		return others;
	}

	/** Whether a refusal of the part at `path` only says that what has been taken out is not there. */
	follows(message: string, path: Path): boolean {
		return this.#taken.some((each) => {
			const key = each.findLast((part) => typeof part === "string");
			const isAbove = path.length < each.length && path.every((part, index) => part === each[index]);
			return isAbove || (key !== undefined && message.split(/\W+/).includes(key));
		});
	}
}

/** Of `path` the longest part that leads to what may be missing: an item, or a member that is not required. */
function optionalPart(validator: Validator, path: Path): Path {
	for (let length = path.length; length > 0; length--) {
		const key = path[length - 1]!;
		const above = ruleAt(validator, path.slice(0, length - 1));
		if (typeof key === "number" || !above?.required?.includes(key)) return path.slice(0, length);
	}
	return [];
}

function refusalOf({ load }: Checked, config: JsonObject): CniError | undefined {
	const { name, cniVersion } = config;
	const request: Request = {
		// host-local may have its ranges from the capability, and then has none here; STATUS reads just the same.
		verb: isObject(config.capabilities) && config.capabilities.ipRanges === true ? "STATUS" : "ADD",
		containerId: "validate",
		netns: "/run/netns/validate",
		ifName: "net1",
		args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod",
		path: "/opt/cni/bin",
		stdin: encodeUtf8("{}"),
		config,
		network: typeof name === "string" ? name : "network",
		cniVersion: typeof cniVersion === "string" ? cniVersion : "0.1.0",
		plugins: {},
	};
	const failures: unknown[] = [];
	attempt(failures, () => load(request));
	const [refusal] = failures;
	if (refusal === undefined || refusal instanceof CniError) return refusal;
	throw refusal;
}

/**
 * The part of `config` that a refusal means: the field that it names, or else the part whose value it quotes. Empty:
 * the whole.
 */
function placeOf({ message, details }: CniError, config: JsonValue): Path {
	const named = /^field (\S+)$/.exec(details)?.[1] ?? /^(ipam(?:\.\w+|\[\d+\])+)/.exec(message)?.[1];
	if (named !== undefined) return partNamed(message, parsePath(named), config);
	const key = /^(\w+) /.exec(message)?.[1];
	if (key !== undefined && isObject(config) && Object.hasOwn(config, key)) return [key];
	const scope = scopeOf(message, config);
	const below = valueAt(config, scope);
	if (message.includes("has host bits set") || message.includes("Mask version mismatch")) {
		return within(scope, below, "subnet");
	}
	// Of two that overlap, the second one.
	const second = /^invalid range set \d+: subnets .* and (.*) overlap$/.exec(message)?.[1];
	return partQuoted(second ?? message, scope, below);
}

/** The member of the object at `path` that `message` has the name or the value of; `path` itself where it is none. */
function partNamed(message: string, path: Path, config: JsonValue): Path {
	const value = valueAt(config, path);
	if (!isObject(value)) return path;
	const key = message.split(/\W+/).find((word) => Object.hasOwn(value, word));
	return key === undefined ? partQuoted(message, path, value) : [...path, key];
}

/** The part below `scope` whose value `message` quotes; `scope` itself where there is none. */
function partQuoted(message: string, scope: Path, below: JsonValue | undefined): Path {
	if (below === undefined) return scope;
	// Addresses of IPv6 have colons, ranges are two addresses with a dash between.
	for (const word of [...message.split(/[\s"',;]+/), ...message.split(/[\s"',:;-]+/)]) {
		const found = word.length > 1 ? pathOfValue(below, word) : undefined;
		if (found !== undefined) return [...scope, ...found];
	}
	return scope;
}

/** `[...scope, key]`, through the first items of lists. */
function within(scope: Path, value: JsonValue | undefined, key: string): Path {
	return Array.isArray(value) ? within([...scope, 0], value[0], key) : [...scope, key];
}

/** "invalid range set 1: ...", "range set 0 overlaps with 1": the short form, if there is one, counts first. */
function scopeOf(message: string, config: JsonValue): Path {
	const ipam = isObject(config) ? config.ipam : undefined;
	if (!isObject(ipam)) return [];
	if (message === "no IP ranges specified") return ["ipam"];
	const number = (/^range set \d+ overlaps with (\d+)/.exec(message) ?? /^invalid range set (\d+)/.exec(message))?.[1];
	if (number === undefined) {
		const range = /^ranges \d+ and (\d+) have/.exec(message)?.[1];
		if (range === undefined) return ["ipam"];
		return ["ipam", "ipRanges", Number(range) - (ipam.range ? 1 : 0)];
	}
	const index = Number(number) - (ipam.subnet === undefined ? 0 : 1);
	return index < 0 ? ["ipam"] : ["ipam", "ranges", index];
}

/** `ipam.ranges[0][1].subnet`: ["ipam", "ranges", 0, 1, "subnet"]. */
const parsePath = (text: string): Path =>
	(text.match(/[^.[\]]+/g) ?? []).map((part) => (/^\d+$/.test(part) ? Number(part) : part));

function valueAt(config: JsonValue, path: Path): JsonValue | undefined {
	let value: JsonValue | undefined = config;
	for (const key of path) {
		if (Array.isArray(value)) value = value[Number(key)];
		else value = isObject(value) ? value[key] : undefined;
	}
	return value;
}

/** The first place below `value` that has `text`. */
function pathOfValue(value: JsonValue, text: string): Path | undefined {
	if (typeof value !== "object" || value === null) return String(value) === text ? [] : undefined;
	const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
	for (const [key, below] of entries) {
		const found = pathOfValue(below, text);
		if (found !== undefined) return [key, ...found];
	}
	return undefined;
}

/** What is often behind a value of the wrong sort. */
function hintFor(config: JsonValue, validator: Validator, path: Path): string {
	const value = valueAt(config, path);
	const rule = ruleAt(validator, path);
	if (typeof value !== "string") {
		if (typeof value === "boolean" && rule?.oneOf?.includes("on")) return `write "${value ? "on" : "off"}"`;
		if (typeof value === "number" && rule?.type === "string") return `write it in quotes: "${value}"`;
		const isLone = rule?.type === "list" && value !== undefined && value !== null;
		return isLone ? "put it into brackets: [ ]" : "";
	}
	const isNumber = rule?.type === "integer" || rule?.anyOf?.some(({ type }) => type === "integer");
	if (isNumber && /^\d+$/.test(value)) return `write it without quotes: ${value}`;
	if (rule?.type === "boolean" && /^(true|false)$/.test(value)) return `write it without quotes: ${value}`;
	const words = (rule?.oneOf ?? []).filter((each) => typeof each === "string");
	const meant = nearest(value, words);
	return meant === undefined || meant === "" ? "" : `did you mean "${meant}"?`;
}

function ruleAt(validator: Validator, path: Path): Validator | undefined {
	let rule: Validator | undefined = validator;
	for (const key of path) rule = typeof key === "string" ? (rule?.members?.[key] ?? rule?.items) : rule?.items;
	return rule;
}
