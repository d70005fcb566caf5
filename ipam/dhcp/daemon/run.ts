/**
 * `dhcp daemon`: keeps the leases of this node's pods until it is told to end. The leases stay, in the journal and at
 * the servers.
 */
import { sentence } from "../../../lib/cni/failures.ts";
import { Loop } from "../../../lib/loop/loop.ts";
import { readGone, watchNamespaces } from "../../../lib/netlink/nsid.ts";
import type { Command } from "../../../lib/plugin/command.ts";
import { parseFlags } from "../../../lib/plugin/flags.ts";
import { Log } from "../../../lib/plugin/log.ts";
import { bootId } from "../../../lib/sys/boot.ts";
import { makeDirectories, removeIfPresent, statIfPresent, writeAtomic } from "../../../lib/sys/files.ts";
import { Lock } from "../../../lib/sys/lock.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { unixAddress } from "../../../lib/sys/unix-socket.ts";
import { Journal } from "./journal.ts";
import { Leases } from "./leases.ts";
import { DEFAULT_SOCKET, releasedDirectory, stateDirectory } from "./protocol.ts";
import { Server } from "./server.ts";

const BACKLOG = 4096;
/** A daemon before us may be about to end. */
const LOCK_DEADLINE_MS = 5000;
/** The first descriptor that systemd passes, sd_listen_fds(3). */
const FIRST_PASSED_FD = 3;

/** `dhcp daemon`: the process that keeps the leases. */
export const daemon: Command = {
	about: "keeps the leases of this node; the plugin asks it",
	synopsis:
		"[-pidfile PATH] [-hostprefix DIR] [-socketpath PATH] [-broadcast] [-timeout 10s] [-resendmax 62s] [-resendtimeout 208s]",
	help: `Stays in the foreground until SIGTERM or SIGINT; leases stay where they are, and the next daemon goes on with them.

  -pidfile PATH        where its process id is written, an absolute path
  -hostprefix DIR      put before the path of the socket
  -socketpath PATH     the socket (${DEFAULT_SOCKET}); its state is beside it
  -broadcast           servers are asked to answer by broadcast
  -timeout 10s         for a carrier after the interface is up, and for the answer to a REQUEST
  -resendmax 62s       longest pause before a question is repeated
  -resendtimeout 208s  for all of an ADD
`,
	run: runDaemon,
};

function runDaemon(args: readonly string[]): number {
	const flags = parseFlags(args, {
		pidfile: "",
		hostprefix: "",
		socketpath: DEFAULT_SOCKET,
		broadcast: false,
		timeout: 10_000,
		resendmax: 62_000,
		resendtimeout: 208_000,
	});
	// Go's words.
	if (flags.pidfile !== "" && !flags.pidfile.startsWith("/")) {
		throw new Error(`Error writing pidfile "${flags.pidfile}": path not absolute`);
	}
	const log = new Log({ fields: { cniName: "dhcp" } });
	const socketPath = flags.hostprefix + flags.socketpath;
	makeDirectories(socketPath.slice(0, socketPath.lastIndexOf("/")) || "/", 0o700);
	makeDirectories(stateDirectory(socketPath), 0o700);
	const lock = Lock.acquire(`${stateDirectory(socketPath)}/lock`, { deadlineMs: LOCK_DEADLINE_MS, mode: 0o600 });
	if (lock === undefined) throw new Error(`another DHCP daemon has ${socketPath}`);
	// Before anything that could be left half done.
	const signals = sys.signalFd([sys.SIGINT, sys.SIGTERM]);
	if (flags.pidfile !== "") writeAtomic(flags.pidfile, `${sys.pid()}`, 0o644);

	const loop = new Loop((error) => {
		log.error(sentence(error), {
			stack: error instanceof Error && !sys.isSystemError(error) ? error.stack : undefined,
		});
	});
	const settings = {
		hostPrefix: flags.hostprefix,
		broadcast: flags.broadcast,
		timeoutMs: flags.timeout,
		resendMaxMs: flags.resendmax,
		resendTimeoutMs: flags.resendtimeout,
	};
	const leases = new Leases(settings, loop, new Journal(`${stateDirectory(socketPath)}/leases`, bootId()), log);
	watchForEnds(loop, leases);
	leases.load(releasedDirectory(socketPath));

	const passed = passedSocket();
	new Server(passed ?? listen(socketPath), loop, leases);
	loop.watch({ fd: signals, events: sys.POLLIN, onReady: () => loop.stop() });
	log.info(`listening on ${socketPath}`);
	loop.run();
	log.info("ending: the leases go on with the next daemon");
	// systemd's own socket stays.
	if (passed === undefined) removeIfPresent(socketPath);
	if (flags.pidfile !== "") removeIfPresent(flags.pidfile);
	return 0;
}

/** Hears when interfaces and namespaces go. */
function watchForEnds(loop: Loop, leases: Leases): void {
	const socket = watchNamespaces();
	const onReady = (): void => {
		const { links, anything } = readGone(socket);
		leases.onGone(anything ? undefined : links);
	};
	loop.watch({ fd: socket.fd, events: sys.POLLIN, onReady });
}

/** The socket of systemd's socket activation; undefined: there is none. */
function passedSocket(): number | undefined {
	const count = sys.variable("LISTEN_FDS");
	if (sys.variable("LISTEN_PID") !== `${sys.pid()}` || count === undefined) return undefined;
	// Go's words.
	if (count !== "1") throw new Error(`Too many (${count}) FDs passed through socket activation`);
	return FIRST_PASSED_FD;
}

/** A socket for root alone. What a killed daemon left there is nobody's: we have the lock. */
function listen(path: string): number {
	const address = unixAddress(path);
	if (address === undefined) throw new Error(`the path of the socket is too long, 107 bytes is the most: ${path}`);
	const there = statIfPresent(path);
	if (there !== undefined && !sys.isSocket(there.mode))
		throw new Error(`${path} is there and is no socket: it stays as it is`);
	removeIfPresent(path);
	const fd = sys.socket(sys.AF_UNIX, sys.SOCK_STREAM, 0);
	// bind(2) takes the mode of the socket for that of its file.
	sys.fchmod(fd, 0o600);
	sys.bind(fd, address);
	sys.listen(fd, BACKLOG);
	return fd;
}
