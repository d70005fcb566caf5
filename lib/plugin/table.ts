/**
 * Tables for people.
 */

/** Columns as wide as what is in them, two spaces between. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
	const all = [head, ...rows];
	const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
	const line = (row: readonly string[]): string => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ");
	return all.map((row) => `${line(row).trimEnd()}\n`).join("");
}
