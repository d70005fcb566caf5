/**
 * The attachments that a runtime calls valid in GC. Source: specification 1.1.0, section 4, and cni issue #1101.
 */
import { CniError, Code } from "./error.ts";
import { isObject } from "./json.ts";
import { foldKeys } from "./keys.ts";
import { excerpt } from "./quote.ts";
import type { JsonObject, ValidAttachment } from "./types.ts";

// libcni sends both: the first is what its types say, the second what the tagged text of the specification says.
const KEYS = ["cni.dev/valid-attachments", "cni.dev/attachments"];

const ATTACHMENT = { members: { containerID: {}, ifname: {} } };
const TREE = { members: { [KEYS[0]!]: { items: ATTACHMENT }, [KEYS[1]!]: { items: ATTACHMENT } } };

/**
 * The list, or undefined where the runtime sent none (or null): `cnitool gc` does so. Go plugins would take that for
 * "none is valid" and release everything that every pod holds. Throws code 6 for a list of another shape.
 */
export function validAttachments(config: JsonObject): ValidAttachment[] | undefined {
	const folded = foldKeys(config, TREE) as JsonObject;
	const key = KEYS.find((each) => folded[each] !== undefined);
	if (key === undefined) return undefined;
	const list = folded[key];
	if (!Array.isArray(list)) throw new CniError(Code.decoding, `${key} must be a list, not ${excerpt(list)}`);
	return list.map((entry, index) => {
		const { containerID, ifname } = isObject(entry) ? entry : {};
		if (typeof containerID !== "string" || typeof ifname !== "string") {
			throw new CniError(
				Code.decoding,
				`${key}[${index}] must be an object with containerID and ifname, not ${excerpt(entry)}`,
			);
		}
		return { containerID, ifname };
	});
}
