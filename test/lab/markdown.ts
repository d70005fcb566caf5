/** Pages with parts that are made. */

/**
 * A page with `text` between `<!-- NAME -->` and `<!-- /NAME -->`; the end has what stands before a colon in NAME.
 * Throws for a page without such a place.
 */
export function withBlock(page: string, name: string, text: string): string {
	const start = `<!-- ${name} -->\n`;
	const end = `<!-- /${name.split(":")[0]} -->`;
	const at = page.indexOf(start) + start.length;
	const rest = page.indexOf(end, at);
	if (!page.includes(start) || rest < 0) throw new Error(`there is no place between ${start.trim()} and ${end}`);
	return `${page.slice(0, at)}${text}\n${page.slice(rest)}`;
}
