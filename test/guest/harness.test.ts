import { beforeAll, describe, expect, it } from "vitest";
import type { Guest } from "../lab/guest.ts";
import { useGuest } from "../lab/guest-session.ts";
import type { RunningCommand } from "../lab/machine.ts";
import { createRdmaDevices, createVfs, EVERY_SETTING, listVfs, removeVfs, until, type Vf } from "../lab/sriov.ts";

const guest = useGuest();

/** A command with a child that sleeps; the child's process id. */
async function startSleeper(on: Guest): Promise<{ command: RunningCommand; child: string }> {
	let told: (child: string) => void = () => {};
	const child = new Promise<string>((resolve) => {
		told = resolve;
	});
	const command = on.start(["sh", "-c", "sleep 1000 & echo $!; wait"], {
		ok: false,
		onStdout: (bytes) => told(Buffer.from(bytes).toString().trim()),
	});
	command.result.catch(() => {}); // ends with the connection in one of the tests
	return { command, child: await child };
}

function untilGone(on: Guest, child: string): Promise<boolean> {
	return until(`the end of process ${child}`, async () => {
		return (await on.run(["test", "-e", `/proc/${child}`], { ok: false })).status === 1;
	});
}

describe("a connection", () => {
	it("that ends takes its commands along, and the next one works", async () => {
		const { child } = await startSleeper(guest());
		guest().disconnect();
		await expect(guest().run(["true"])).rejects.toThrow("the connection to the guest is closed");
		await guest.reconnect();
		await untilGone(guest(), child);
	});
});

describe("commands", () => {
	it("give exit status, stdout and stderr apart", async () => {
		const result = await guest().run(["sh", "-c", "echo out; echo err >&2; exit 3"], { ok: false });
		expect(result).toMatchObject({ status: 3, signal: null, stdout: "out\n", stderr: "err\n" });
	});

	it("throw on a failure that was not expected, with what was printed", async () => {
		await expect(guest().run(["sh", "-c", "echo oh no >&2; exit 4"])).rejects.toThrow(/exit status 4\nstderr: oh no/);
	});

	it("say which signal ended them", async () => {
		const result = await guest().run(["sh", "-c", "kill -TERM $$"], { ok: false });
		expect(result).toMatchObject({ status: null, signal: "SIGTERM" });
	});

	it("throw when the program is not there", async () => {
		await expect(guest().run(["/no/such/program"])).rejects.toThrow("could not start: no such file or directory");
	});

	it("get their input, environment and directory", async () => {
		const result = await guest().run(["sh", "-c", 'cat; echo "$BERTH_WORD"; pwd'], {
			stdin: "in\n",
			env: { BERTH_WORD: "word" },
			cwd: "/etc",
		});
		expect(result.stdout).toBe("in\nword\n/etc\n");
	});

	it("pass 20 MB through, unchanged, both ways", async () => {
		const bytes = new Uint8Array(20_000_000).map((_, index) => (index * 31 + (index >> 13)) & 0xff);
		const result = await guest().run(["cat"], { stdin: bytes });
		expect(Buffer.compare(result.stdoutBytes, bytes)).toBe(0);
	});

	it("run side by side", async () => {
		// Each waits for the next one's file: no order of one after the other ends this.
		const script = 'touch /run/side.$1; until [ -e /run/side.$2 ]; do sleep 0.05; done; echo "$1"';
		const all = Array.from({ length: 8 }, (_, index) => {
			return guest().run(["sh", "-c", script, "sh", String(index), String((index + 1) % 8)]);
		});
		expect((await Promise.all(all)).map((result) => result.stdout.trim())).toEqual([..."01234567"]);
	});

	it("are killed by signal, with their children", async () => {
		const started = await startSleeper(guest());
		started.command.kill("SIGKILL");
		expect(await started.command.result).toMatchObject({ status: null, signal: "SIGKILL" });
		await untilGone(guest(), started.child);
	});

	it("are killed when their time is over", async () => {
		await expect(guest().run(["sleep", "1000"], { timeoutMs: 300 })).rejects.toThrow("killed after 0.3 s");
	});

	it("read and write files without a program, and name errno", async () => {
		await guest().writeFile("/run/note", "noted");
		expect(await guest().readFile("/run/note")).toBe("noted");
		await expect(guest().readFile("/run/nothing")).rejects.toThrow("read /run/nothing: no such file or directory");
	});
});

describe("an igb card with vfshim", () => {
	let vfs: Vf[];
	const vfInfo = async (index: number) => {
		const [link] = await guest().json(["ip", "-j", "-d", "link", "show", "eth0"]);
		return link.vfinfo_list[index];
	};

	beforeAll(async () => {
		vfs = await createVfs(guest(), "eth0", 4);
		await createRdmaDevices(guest(), vfs);
		vfs = await listVfs(guest(), "eth0");
	});

	it("has VFs that are PCI functions with netdevs and IOMMU groups", async () => {
		expect(vfs.map((vf) => vf.pci)).toEqual(["0000:01:10.0", "0000:01:10.2", "0000:01:10.4", "0000:01:10.6"]);
		expect(vfs.every((vf) => vf.driver === "igbvf" && vf.netdev !== undefined)).toBe(true);
		const { stdout } = await guest().run([
			"readlink",
			...vfs.map((vf) => `/sys/bus/pci/devices/${vf.pci}/iommu_group`),
		]);
		expect(new Set(stdout.trim().split("\n")).size).toBe(4);
	});

	it("moves a VF's netdev into a namespace and out again", async () => {
		const netdev = vfs[3]!.netdev!;
		await guest().run(["ip", "netns", "add", "move"]);
		await guest().run(["ip", "link", "set", netdev, "netns", "move"]);
		expect((await listVfs(guest(), "eth0"))[3]!.netdev).toBeUndefined();
		await guest().run(["ip", "-n", "move", "link", "set", netdev, "netns", "1"]);
		expect((await listVfs(guest(), "eth0"))[3]!.netdev).toBe(netdev);
		await guest().run(["ip", "netns", "delete", "move"]);
	});

	it("takes every setting of a VF and shows it", async () => {
		await guest().run(["ip", "link", "set", "eth0", "vf", "1", ...EVERY_SETTING.words.split(" ")]);
		expect(await vfInfo(1)).toMatchObject(EVERY_SETTING.shown);
	});

	it("refuses a setting on demand, as often as asked", async () => {
		const trust = (value: string) =>
			guest().run(["ip", "link", "set", "eth0", "vf", "2", "trust", value], { ok: false });
		await guest().writeFile("/sys/module/vfshim/parameters/refuse", "trust:1:1");
		expect((await trust("on")).status).toBe(0);
		expect((await trust("off")).stderr).toMatch(/Operation not supported/);
		expect((await trust("off")).status).toBe(0);
		await guest().writeFile("/sys/module/vfshim/parameters/refuse", "");
	});

	it("has an RDMA device per VF, under its PCI function, that goes to another namespace and back", async () => {
		expect(vfs.map((vf) => vf.rdma)).toEqual(["mlx5_0", "mlx5_1", "mlx5_2", "mlx5_3"]);
		const names = async (...prefix: string[]) => {
			const devices = await guest().json([...prefix, "rdma", "-j", "dev"]);
			return devices.map((device: { ifname: string }) => device.ifname);
		};
		await guest().run(["ip", "netns", "add", "rdma"]);
		await guest().run(["rdma", "dev", "set", "mlx5_3", "netns", "rdma"]);
		expect(await names()).not.toContain("mlx5_3");
		expect(await names("ip", "netns", "exec", "rdma")).toEqual(["mlx5_3"]);
		await guest().run(["ip", "netns", "delete", "rdma"]);
		await until("the RDMA device on the host", async () => (await names()).includes("mlx5_3"));
	});

	it("keeps an RDMA device when its netdev changes namespace", async () => {
		await guest().run(["ip", "netns", "add", "keep"]);
		await guest().run(["ip", "link", "set", vfs[2]!.netdev!, "netns", "keep"]);
		expect((await listVfs(guest(), "eth0"))[2]!.rdma).toBe("mlx5_2");
		await guest().run(["ip", "-n", "keep", "link", "set", vfs[2]!.netdev!, "netns", "1"]);
		await guest().run(["ip", "netns", "delete", "keep"]);
	});

	it("carries traffic between VFs of one VLAN in two namespaces", async () => {
		const script = `set -e
for n in 2 3; do ip link set eth0 vf $n vlan 7; done
ip netns add wire0; ip netns add wire1
ip link set $1 netns wire0; ip -n wire0 address add 192.0.2.1/24 dev $1; ip -n wire0 link set $1 up
ip link set $2 netns wire1; ip -n wire1 address add 192.0.2.2/24 dev $2; ip -n wire1 link set $2 up
# A VF has carrier some time after "up".
i=0; until ip netns exec wire0 ping -c 1 -W 1 192.0.2.2; do i=$((i + 1)); [ $i -lt 30 ]; done
ip netns delete wire0; ip netns delete wire1`;
		const { stdout } = await guest().run(["sh", "-c", script, "sh", vfs[2]!.netdev!, vfs[3]!.netdev!]);
		expect(stdout).toContain("1 received");
	});

	it("gives its VFs up", async () => {
		await removeVfs(guest(), "eth0");
		expect(await listVfs(guest(), "eth0")).toEqual([]);
	});
});
