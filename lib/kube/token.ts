/**
 * What a token says of itself: a JSON Web Token (RFC 7519), read and not verified.
 */
import { isObject } from "../cni/json.ts";
import { formatTime } from "../sys/calendar.ts";
import * as sys from "../sys/sys.ts";
import { decodeBase64 } from "./base64.ts";

/** When a token expired, as RFC 3339 has it; undefined where it has not, or does not say. */
export function tokenExpiry(token: string): string | undefined {
	const [, payload = ""] = token.split(".");
	try {
		const claims: unknown = JSON.parse(decodeBase64(payload) ?? "");
		const expiry = isObject(claims) ? claims.exp : undefined;
		if (typeof expiry !== "number" || expiry * 1000 > sys.realtimeMs()) return undefined;
		return formatTime(expiry * 1000);
	} catch {
		return undefined;
	}
}
