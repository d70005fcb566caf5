/**
 * What a token says of itself: a JSON Web Token (RFC 7519), read and not verified.
 */
import { parseObject } from "../cni/json.ts";
import * as sys from "../sys/sys.ts";
import { decodeBase64 } from "./base64.ts";

/** Whose it is ("system:serviceaccount:NAMESPACE:NAME"), and ms since 1970. Nothing of a token of another kind. */
export function claimsOf(token: string): { subject?: string; issuedMs?: number; expiryMs?: number } {
	const [, payload = ""] = token.split(".");
	const { sub, iat, exp } = parseObject(decodeBase64(payload) ?? "") ?? {};
	return {
		...(typeof sub === "string" && { subject: sub }),
		...(isTime(iat) && { issuedMs: iat * 1000 }),
		...(isTime(exp) && { expiryMs: exp * 1000 }),
	};
}

/** Seconds since 1970 that a calendar has a date for. */
const isTime = (value: unknown): value is number => typeof value === "number" && Math.abs(value) < 8.64e12;

/** When a token expired, as RFC 3339 has it; undefined where it has not, or does not say. */
export function tokenExpiry(token: string): string | undefined {
	const { expiryMs } = claimsOf(token);
	if (expiryMs === undefined || expiryMs > sys.realtimeMs()) return undefined;
	return new Date(expiryMs).toISOString();
}
