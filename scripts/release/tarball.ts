/**
 * A directory as a gzipped tar file that depends on nothing but its files' names, bytes and executable bits.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { run } from "../build/host.ts";

/** Writes `parent`/`name` to `path`. Everything in it is of root and of the second `time` (since 1970). */
export function writeTarball(parent: string, name: string, time: number, path: string): void {
	const owner = "--owner=0 --group=0 --numeric-owner --mode=a=rX,u+w";
	const options = `--format=ustar --sort=name --mtime=@${time} ${owner}`.split(" ");
	const tar = `${path}.tar`;
	run("tar", [...options, "--create", `--file=${tar}`, name], {
		cwd: parent,
		environment: { LC_ALL: "C", TAR_OPTIONS: "" },
		what: "tar",
	});
	// Node's gzip writes neither a time nor a name.
	writeFileSync(path, gzipSync(readFileSync(tar), { level: 9 }));
	rmSync(tar);
}
