/**
 * Tables for people.
 */
import * as sys from "../sys/sys.ts";

/** Columns as wide as what is in them, two spaces between. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
	const all = [head, ...rows];
	const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
	const line = (row: readonly string[]): string => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ");
	return all.map((row) => `${line(row).trimEnd()}\n`).join("");
}

/** The same for stdout: where that is a terminal too narrow for it, a paragraph for each row. */
export function formatTableForTerminal(head: readonly string[], rows: readonly (readonly string[])[]): string {
	const table = formatTable(head, rows);
	const columns = sys.terminalColumns(1);
	if (columns === 0 || table.split("\n").every((line) => line.length <= columns)) return table;
	const width = Math.max(...head.map((name) => name.length));
	const paragraph = (row: readonly string[]): string =>
		head.map((name, column) => `${name.padEnd(width)}  ${row[column]}\n`).join("");
	return rows.map(paragraph).join("\n");
}
