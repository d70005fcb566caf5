import { expect, test } from "vitest";
import type { VfSettings } from "../../../lib/netlink/vf.ts";
import type { SriovConfig } from "../../../plugins/sriov/schema.ts";
import { defaultsOf, settingsFromRecord, settingsFromRest, settingsOf } from "../../../plugins/sriov/vf-settings.ts";

const config = (keys: Partial<SriovConfig>): SriovConfig => ({ name: "net", ...keys });
const now = {
	mac: "02:00:00:00:00:01",
	vlan: 5,
	spoofCheck: undefined,
	trust: true,
	linkState: "disable",
} as VfSettings;

test("ADD sets what the configuration has, and with a VLAN its priority and protocol", () => {
	expect(settingsOf(config({}))).toEqual({});
	expect(settingsOf(config({ vlan: 0 }))).toEqual({ vlan: 0, vlanQos: 0, vlanProto: "802.1q" });
	expect(settingsOf(config({ vlan: 7, vlanQoS: 3, vlanProto: "802.1AD" }))).toEqual({
		vlan: 7,
		vlanQos: 3,
		vlanProto: "802.1ad",
	});
	expect(settingsOf(config({ max_tx_rate: 0, spoofchk: "off", trust: "", link_state: "enable" }))).toEqual({
		maxTxRate: 0,
		spoofCheck: false,
		linkState: "enable",
	});
	// In any notation, and from other places too: config.ts reads it.
	expect(settingsOf(config({ mac: "02-00-00-00-00-02" }))).toEqual({});
});

test("the defaults are those of what ADD had set and the driver tells of", () => {
	expect(defaultsOf(config({ mac: "02:00:00:00:00:02", mtu: 1400 }), now)).toEqual({});
	expect(defaultsOf(config({ vlan: 7, spoofchk: "off", trust: "on", link_state: "enable" }), now)).toEqual({
		vlan: 0,
		trust: false,
		linkState: "auto",
	});
});

/** As sriov-cni v2.10.0 writes it for a driver that tells of everything. */
const go = {
	HostIFName: "eth5",
	SpoofChk: false,
	Trust: true,
	AdminMAC: "02:00:00:00:00:02",
	EffectiveMAC: "02:00:00:00:00:01",
	Vlan: 55,
	VlanQoS: 1,
	VlanProto: 34984,
	MinTxRate: 10,
	MaxTxRate: 100,
	LinkState: 2,
	MTU: 1500,
};

test("a record of Go's is read", () => {
	expect(settingsFromRecord(go, undefined)).toEqual({
		vlan: 55,
		vlanQos: 1,
		vlanProto: "802.1ad",
		mac: "02:00:00:00:00:02",
		minTxRate: 10,
		maxTxRate: 100,
		spoofCheck: false,
		trust: true,
		linkState: "disable",
	});
	expect(settingsFromRecord(go, null)).toBeUndefined();
	expect(settingsFromRecord(go, { spoofchk: null, trust: true })).toMatchObject({ spoofCheck: undefined, trust: true });
});

test("what is left of a truncated one says nothing of the rest", () => {
	expect(settingsFromRest({ HostIFName: "eth5", SpoofChk: false, Vlan: 55 }, undefined)).toEqual({
		spoofCheck: false,
		vlan: 55,
	});
	expect(settingsFromRest({}, undefined)).toEqual({});
});
