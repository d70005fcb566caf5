/**
 * DHCPv6 messages: what is truncated or of somebody else is no answer. Layout: RFC 8415, sections 8 and 21.
 */
import { expect, it } from "vitest";
import { fromHex } from "../../../ipam/dhcp/wire/bytes.ts";
import { decodeReply6, dnsOf } from "../../../ipam/dhcp/wire/dhcpv6.ts";

const MAC = fromHex("02005e000007")!;
const CLIENT = "0001 000a 00030001 02005e000007";
const SERVER = "0002 000a 00030001 02005e0000fe";
/** fd00:7::1ab, preferred for 100 s, valid for 120 s. */
const ADDRESS = "0005 0018 fd000007000000000000000000000 1ab 00000064 00000078";
const DNS = "0017 0010 fd000007000000000000000000000053";
const SEARCH = "0018 0009 03 6c616e 03 6e6574 00";

const message = (...parts: string[]): Uint8Array => fromHex(parts.join("").replaceAll(" ", ""))!;
const reply = (ia: string, ...more: string[]): Uint8Array => message("07 123456", CLIENT, SERVER, ia, ...more);
const association = (times: string, inner: string, iaid = "5e000007"): string => {
	const value = `${iaid}${times}${inner}`.replaceAll(" ", "");
	return `0003 ${(value.length / 2).toString(16).padStart(4, "0")} ${value}`;
};

it("reads address, lifetimes and DNS", () => {
	const read = decodeReply6(reply(association("0000000a 00000014", ADDRESS), DNS, SEARCH), MAC)!;
	expect(read).toMatchObject({
		type: 7,
		xid: 0x123456,
		isRapid: false,
		association: { address: "fd00:7::1ab", validMs: 120_000, renewMs: 10_000, rebindMs: 20_000 },
		refusal: undefined,
	});
	expect(dnsOf(read.dns)).toEqual({ nameservers: ["fd00:7::53"], search: ["lan.net"] });
});

it("takes T1 and T2 of the preferred lifetime where the server leaves them to us, or has them the wrong way round", () => {
	for (const times of ["00000000 00000000", "00000014 0000000a"]) {
		expect(decodeReply6(reply(association(times, ADDRESS)), MAC)!.association).toMatchObject({
			renewMs: 50_000,
			rebindMs: 80_000,
		});
	}
});

it("says why there is no address", () => {
	const refused = decodeReply6(reply(association("00000000 00000000", "000d 0002 0002")), MAC)!;
	expect(refused).toMatchObject({ association: undefined, refusal: "NoAddrsAvail" });
	expect(decodeReply6(reply("", "000d 0004 0001 6e6f"), MAC)!.refusal).toBe("UnspecFail");
});

it("does not take an association of another, nor an address that is valid for less than it is preferred", () => {
	expect(decodeReply6(reply(association("00000000 00000000", ADDRESS, "5e000008")), MAC)!.association).toBeUndefined();
	const odd = ADDRESS.replace("00000078", "00000001");
	expect(decodeReply6(reply(association("00000000 00000000", odd)), MAC)!.association).toBeUndefined();
});

it("is nothing when it is truncated anywhere but between options, or names no server or client", () => {
	const whole = reply(association("0000000a 00000014", ADDRESS), DNS);
	const ends = [32, 76];
	for (let length = 0; length < whole.length; length++) {
		const read = decodeReply6(whole.subarray(0, length), MAC);
		if (!ends.includes(length)) expect(read, `${length} bytes`).toBeUndefined();
	}
	expect(decodeReply6(message("07 123456", CLIENT), MAC)).toBeUndefined();
	expect(decodeReply6(message("07 123456", SERVER), MAC)).toBeUndefined();
	expect(decodeReply6(message("03 123456", CLIENT, SERVER), MAC)).toBeUndefined();
});
