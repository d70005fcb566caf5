/**
 * `directory/name`, cleaned by its text alone as Go's filepath.Join does: `..` takes away the name before it, though
 * that be a symbolic link, which the kernel would follow first. A path that Go joins must be joined so here, or the two
 * use different files.
 */
export function joinPath(directory: string, name: string): string {
	const names: string[] = [];
	const isAbsolute = directory.startsWith("/");
	for (const part of `${directory}/${name}`.split("/")) {
		if (part === "" || part === ".") continue;
		if (part !== "..") names.push(part);
		else if (names.length > 0 && names[names.length - 1] !== "..") names.pop();
		else if (!isAbsolute) names.push(part);
	}
	return `${isAbsolute ? "/" : ""}${names.join("/")}`;
}
