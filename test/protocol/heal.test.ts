/**
 * `berth heal` where no card is needed: addresses, records of devices that are not there, and what it must not touch.
 * In a mount namespace with a state directory of its own, which it must take for the host's: process 1 is hidden.
 */
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { binaries } from "../lab/executables.ts";

/** Shell functions and variables of all scripts. */
const PROLOGUE = `mount -t tmpfs tmpfs /proc/1; mount -t tmpfs tmpfs /var/lib; mount -t tmpfs tmpfs /run
mkdir -p /run/netns /var/lib/cni/sriov/pci /var/lib/cni/rdma /var/lib/cni/whereabouts/attachments /var/lib/cni/networks
boot=$(cat /proc/sys/kernel/random/boot_id)
heal() { ${binaries}/berth heal -cni-path ${binaries} "$@"; }
sandbox() { unshare -n sleep 300 >/run/sleep 2>&1 & sleeper=$!; sleepers="\${sleepers:-} $sleeper"; trap "kill $sleepers" EXIT; until [ "$(readlink /proc/$sleeper/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
touch /run/netns/$1; mount --bind /proc/$sleeper/ns/net /run/netns/$1; }
address() { CNI_COMMAND=ADD CNI_CONTAINERID=$1 CNI_IFNAME=net1 CNI_NETNS=/run/netns/$1 CNI_PATH=${binaries} ${binaries}/host-local >/dev/null <<END
{"cniVersion":"1.1.0","name":"net","type":"sriov","ipam":{"type":"host-local","subnet":"10.56.217.0/24","reclaimAfterReboot":true}}
END
}
reboot() { echo 11111111-2222-3333-4444-555555555555 >/run/boot; mount --bind /run/boot /proc/sys/kernel/random/boot_id; }
vf() { cat >/var/lib/cni/sriov/$1-net1 <<END
{"cniVersion":"1.1.0","name":"net","type":"sriov","deviceID":"$2","VFID":1,"Master":"","MAC":"","MTU":1500,
"ipam":{"type":"\${4-host-local}","subnet":"10.56.217.0/24"},
"OrigVfState":{"HostIFName":"","EffectiveMAC":"","Vlan":0,"VlanQoS":0,"MTU":0},
"berth":{"containerID":"$1","ifname":"net1","netns":"/run/netns/$1","netnsIdentity":"","bootId":"\${3-$boot}","netdev":null,"settings":null}}
END
printf /run/netns/$1 >/var/lib/cni/sriov/pci/$2; }
rdma() { cat >/var/lib/cni/rdma/net-$1-net1 <<END
{"version":"1.0","deviceID":"0000:ff:00.1","sandboxRdmaDevName":"","containerRdmaDevName":"mlx5_9",
"berth":{"network":"net","containerID":"$1","ifname":"net1","netns":"/run/netns/$1","netnsIdentity":"","bootId":"\${2-$boot}"}}
END
}
claim() { inode=$(stat -Lc %i /run/netns/$1 2>/dev/null || echo 0); cat >/var/lib/cni/whereabouts/attachments/net-$1-net1 <<END
{"version":1,"network":"net","containerId":"$1","ifName":"net1","podRef":"default/$1","claims":[],"netns":"/run/netns/$1","inode":$inode,"boot":"\${2-$boot}"}
END
}
state() { find /var/lib/cni /run/netns -printf '%p %T@ %C@ %s\\n' | sort; }
`;

async function node(script: string) {
	const { exitCode, stdout, stderr } = await execa("unshare", ["-m", "sh", "-euc", PROLOGUE + script], {
		env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
		extendEnv: false,
		reject: false,
		timeout: 50_000,
	});
	return { status: exitCode, stdout, stderr };
}

const files = "find /var/lib/cni -type f ! -name '*lock' ! -path '*/.berth/*' ! -name 'last_reserved*' | sort";

test("a new node has nothing to heal, and nothing is made", async () => {
	expect(await node("rm -r /var/lib/cni; heal; ls -A /var/lib")).toEqual({
		status: 0,
		stdout: "nothing to heal",
		stderr: "",
	});
});

describe("what is gone", () => {
	const gone =
		"address c1; vf c1 0000:ff:00.1; rdma c1; claim c1; address c2; vf c2 0000:ff:00.2 00000000-0000-0000-0000-000000000000";
	test("goes back once: VFs with their addresses, RDMA devices, records of whereabouts", async () => {
		const { status, stdout } = await node(`${gone}; heal; ${files}; echo; heal`);
		expect(status).toBe(0);
		const [first, second] = stdout.split("\n\n");
		expect(first!.split("\n").map((line) => line.split(/ {2,}/).slice(0, 7))).toEqual([
			["KIND", "NAME", "CONTAINER", "INTERFACE", "NETWORK", "WHY", "OUTCOME"],
			["RDMA device", "0000:ff:00.1", "c1", "net1", "net", "sandbox /run/netns/c1 is gone", "freed"],
			["VF", "0000:ff:00.1", "c1", "net1", "net", "sandbox /run/netns/c1 is gone", "freed"],
			["VF", "0000:ff:00.2", "c2", "net1", "net", "from before the last boot", "freed"],
			["address", "?", "c1", "net1", "net", "sandbox /run/netns/c1 is gone", "freed"],
		]);
		expect(second).toBe("nothing to heal");
	});
	test("--dry-run lists the same, exits with 1, and writes nothing, not even a lock", async () => {
		const { status, stdout } = await node(
			`${gone}; reboot; rm /var/lib/cni/networks/net/lock; state >/run/1; heal --dry-run --json || echo "exit $?"; state >/run/2; cmp /run/1 /run/2`,
		);
		expect(status).toBe(0);
		const [json, exit] = stdout.split("\nexit ");
		expect(exit).toBe("1");
		const found: { kind: string; container: string; outcome: string }[] = JSON.parse(json!);
		expect(found.map(({ kind, container, outcome }) => [kind, container, outcome])).toEqual([
			["RDMA device", "c1", "would be freed"],
			["VF", "c1", "would be freed"],
			["VF", "c2", "would be freed"],
			["address", "c1", "would be freed"],
			["address", "", "would be freed"],
		]);
	});
	test("a record stays as long as the addresses cannot be released that it alone knows of", async () => {
		const { status, stdout } = await node(
			`vf c1 0000:ff:00.1 $boot missing-ipam; heal || echo "exit $?"; ls /var/lib/cni/sriov; vf c1 0000:ff:00.1; heal`,
		);
		expect(status).toBe(0);
		expect(stdout).toMatch(/failed: .*missing-ipam.*\nexit 1\nc1-net1\n/);
		expect(stdout).toMatch(/ freed$/);
	});
	test("is healed though nobody reads the table", async () => {
		const { status, stdout } = await node(
			`vf c1 0000:ff:00.1; { heal; echo "exit $?" >/run/end; } | :; cat /run/end; ${files}`,
		);
		expect({ status, stdout }).toEqual({ status: 0, stdout: "exit 0" });
	});
});

describe("addresses of host-local", () => {
	test("go back where the index is of an earlier boot; others stay, and do not count", async () => {
		const { status, stdout } = await node(
			`address c1; address c2; heal; ${files}; reboot; address c3 || true; heal; ${files}`,
		);
		expect(status).toBe(0);
		expect(stdout).toMatch(/2 in use .*nothing tells whether their containers live +left alone\n.*217\.2\n.*217\.3\n/);
		// The ADD after the boot has reclaimed them by itself.
		expect(stdout).toMatch(/1 in use .*\n[^\n]*217\.4$/);
	});
	test("of before the boot go back without any ADD", async () => {
		const { status, stdout } = await node(`address c1; address c2; reboot; heal; ${files}; heal`);
		expect(status).toBe(0);
		expect(stdout).toMatch(/10\.56\.217\.2 10\.56\.217\.3 .*from before the last boot +freed\nnothing to heal$/);
	});
});

describe("what may live is not touched", () => {
	test("a sandbox that is there", async () => {
		const { status, stdout } = await node(
			`sandbox c1; address c1; vf c1 0000:ff:00.1; rdma c1; claim c1; state >/run/1; heal; state >/run/2; cmp /run/1 /run/2`,
		);
		expect({ status, stdout }).toEqual({ status: 0, stdout: "nothing to heal" });
	});
	test("a sandbox whose path is gone, as long as a process is in it", async () => {
		const { status, stdout } = await node(
			`sandbox c1; claim c1; umount /run/netns/c1; rm /run/netns/c1; heal; kill $sleeper; wait $sleeper || true; trap - EXIT; heal`,
		);
		expect(status).toBe(0);
		expect(stdout).toMatch(/^nothing to heal\nKIND.*\naddress .* freed$/s);
	});
	test("a record of Go's without a marker, and one whose boot is nonsense", async () => {
		const { status, stdout } = await node(
			`sandbox c2; vf c2 0000:ff:00.2 nonsense; sed -i 's/"berth":.*/"x":{}}/' /var/lib/cni/sriov/c2-net1; vf c1 0000:ff:00.1 nonsense; sandbox c1
sed -i 's/"berth":.*/"x":{}}/' /var/lib/cni/sriov/c1-net1; rm /var/lib/cni/sriov/pci/0000:ff:00.1; heal; ls /var/lib/cni/sriov`,
		);
		expect(status).toBe(0);
		expect(stdout).toMatch(
			/^KIND.*\nVF +0000:ff:00\.1 .* its sandbox is not known +left alone\nc1-net1\nc2-net1\npci$/s,
		);
	});
});

test("damaged records: what does not say whose it is stays, the rest is healed", async () => {
	const { status, stdout, stderr } = await node(`cd /var/lib/cni/sriov
vf c1 0000:ff:00.1; vf c2 0000:ff:00.2; truncate -s 300 c2-net1
: >c3-net1; echo '{"version":9}' >c4-net1; echo '[1,2' >c5-net1; mkdir c6-net1; mkfifo c7-net1; ln -s c8-net1 c8-net1
cd ../rdma; : >net-c3-net1; mkdir net-c6-net1; echo '{"version":"9","deviceID":7}' >net-c4-net1; : >.record.tmp
cd ../whereabouts/attachments; : >net-c3-net1; mkdir net-c6-net1
cd ../../networks; : >file; mkdir -p net .hidden; : >net/10.56.217.9; echo odd odd odd >net/10.56.217.10; mkdir net/10.56.217.11
heal; ls /var/lib/cni/sriov /var/lib/cni/rdma; ls -A /var/lib/cni/networks/net`);
	expect(status).toBe(0);
	expect(
		stdout.match(/^(VF|RDMA device|file) .*(freed|left alone)$/gm)?.map((line) => line.split(/ {2,}/).join(",")),
	).toEqual([
		"file,/var/lib/cni/rdma/.record.tmp,-,-,-,a call was killed while it wrote its record,freed",
		"RDMA device,?,c3,net1,net,its sandbox is not known,left alone",
		"RDMA device,?,c4,net1,net,its sandbox is not known,left alone",
		"VF,0000:ff:00.1,c1,net1,net,sandbox /run/netns/c1 is gone,freed",
		"VF,0000:ff:00.2,c2,net1,net,record damaged; sandbox /run/netns/c2 is gone,freed",
		"VF,?,c3,net1,-,record damaged; it does not say of which VF it is,left alone",
		"VF,?,c4,net1,-,record damaged; it does not say of which VF it is,left alone",
		"VF,?,c5,net1,-,record damaged; it does not say of which VF it is,left alone",
	]);
	expect(stdout).toMatch(/c3-net1\nc4-net1\nc5-net1\nc6-net1\nc7-net1\nc8-net1\npci\n/);
	expect(stdout).toMatch(/10\.56\.217\.10\n10\.56\.217\.11\n10\.56\.217\.9\nlock$/);
	expect(stderr).toContain("cannot be read and are passed over");
});

describe("refused before anything is looked at", () => {
	const dead = "vf c1 0000:ff:00.1";
	const kept = 'echo "exit $?"; ls /var/lib/cni/sriov';
	test.each([
		[
			"in the PID namespace of a container",
			`unshare --pid --fork --mount-proc ${binaries}/berth heal`,
			"this is a container",
		],
		[
			"in another network namespace than process 1",
			`umount /proc/1; mkdir /run/1; mkdir -p /run/1/ns; ln -s net:[1] /run/1/ns/net; mount --bind /run/1 /proc/1; heal`,
			"this is a container",
		],
		["without /proc", "mount -t tmpfs tmpfs /proc; heal", "there is no /proc"],
		["without /sys", "mount -t tmpfs tmpfs /sys; heal", "there is no /sys"],
		[
			"for who may not read the records",
			`chmod 700 /var/lib/cni/sriov; setpriv --reuid 65534 --clear-groups --inh-caps=-all --bounding-set=-all ${binaries}/berth heal`,
			"(EACCES)",
		],
	])("%s", async (_, command, sentence) => {
		const { status, stdout, stderr } = await node(`${dead}; (${command}) >/run/out || ${kept}; cat /run/out`);
		expect(status).toBe(0);
		expect(stderr).toContain(sentence);
		expect(stdout).toMatch(/^exit 1\nc1-net1\n/);
	});
	test("a wrong call exits with 2", async () => {
		const { status, stderr } = await node("heal --force");
		expect(status).toBe(2);
		expect(stderr).toContain("flag provided but not defined: --force");
	});
});
