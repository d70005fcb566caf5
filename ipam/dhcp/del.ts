/**
 * DEL: the daemon gives the address back. Where there is no daemon, it finds a note when it comes.
 */
import { sentence } from "../../lib/cni/failures.ts";
import type { Request } from "../../lib/cni/types.ts";
import { makeDirectories, removeIfPresent, writeUntilBoot } from "../../lib/sys/files.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import * as sys from "../../lib/sys/sys.ts";
import { ask, NoDaemonError, QUICK_MS } from "./ask.ts";
import { socketPathOf } from "./config.ts";
import { type Attachment, attachmentOf, releasedDirectory } from "./daemon/protocol.ts";
import { toHex } from "./wire/bytes.ts";

export function del(request: Request): void {
	const socketPath = socketPathOf(request);
	const attachment = attachmentOf(request);
	try {
		ask(socketPath, { method: "del", attachment }, QUICK_MS);
	} catch (error) {
		if (!(error instanceof NoDaemonError)) throw error;
		writeStderr(`dhcp: ${error.message}: the address is given back once there is a daemon again\n`);
		leaveNote(socketPath, attachment);
	}
}

function leaveNote(socketPath: string, attachment: Attachment): void {
	const directory = releasedDirectory(socketPath);
	const note = `${directory}/${toHex(sys.random(8))}`;
	try {
		makeDirectories(directory, 0o700);
		writeUntilBoot(note, JSON.stringify(attachment), 0o600);
		// A daemon that has begun meanwhile may have looked at the notes before this one was there.
		ask(socketPath, { method: "del", attachment }, QUICK_MS);
		removeIfPresent(note);
	} catch (error) {
		// The pod goes all the same: the server takes the address back when the lease is over.
		if (!(error instanceof NoDaemonError)) writeStderr(`dhcp: ${sentence(error)}\n`);
	}
}
