import { expect, it } from "vitest";
import { formatTime, parseTime } from "../../../lib/sys/calendar.ts";

it("reads and writes times as Date does", () => {
	for (const time of [
		"1970-01-01T00:00:00.000Z",
		"2024-02-29T23:59:59.000Z",
		"2026-11-26T22:15:01.000Z",
		"2100-03-01T00:00:00.000Z",
	]) {
		expect(formatTime(Date.parse(time))).toBe(time);
		expect(parseTime(time)).toBe(Date.parse(time));
	}
	expect(parseTime("2026-11-26T22:15:00.123456Z")).toBe(Date.parse("2026-11-26T22:15:00Z"));
	expect(parseTime("yesterday")).toBeUndefined();
});
