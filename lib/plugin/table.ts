/**
 * Tables for people.
 */
import * as sys from "../sys/sys.ts";

/** What stands in a row, by column; "-" is printed for what is empty. */
type Row<Column extends string> = Readonly<Record<Column, string | number>>;

/** Columns as wide as what is in them, two spaces between. */
export function formatTable<Column extends string>(columns: readonly Column[], rows: readonly Row<Column>[]): string {
	const all = [headOf(columns), ...rows.map((row) => cellsOf(columns, row))];
	const widths = columns.map((_, column) => all.reduce((widest, row) => Math.max(widest, row[column]!.length), 0));
	const line = (row: readonly string[]): string => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ");
	return all.map((row) => `${line(row).trimEnd()}\n`).join("");
}

/** The same for stdout: where that is a terminal too narrow for it, a paragraph for each row. */
export function formatTableForTerminal<Column extends string>(
	columns: readonly Column[],
	rows: readonly Row<Column>[],
): string {
	const table = formatTable(columns, rows);
	const width = sys.terminalColumns(1);
	if (width === 0 || table.split("\n").every((line) => line.length <= width)) return table;
	const head = headOf(columns);
	const widest = Math.max(...head.map((name) => name.length));
	const paragraph = (row: Row<Column>): string =>
		cellsOf(columns, row)
			.map((cell, column) => `${head[column]!.padEnd(widest)}  ${cell}\n`)
			.join("");
	return rows.map(paragraph).join("\n");
}

const headOf = (columns: readonly string[]): string[] => columns.map((column) => column.toUpperCase());

const cellsOf = <Column extends string>(columns: readonly Column[], row: Row<Column>): string[] =>
	columns.map((column) => String(row[column]) || "-");
