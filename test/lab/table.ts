/** Tables for people, of text in columns. */

/** Columns two spaces apart; the first `left` are flush left, numbers flush right. */
export function alignColumns(rows: readonly string[][], left: number): string {
	const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
	const lines = rows.map((row) =>
		row
			.map((cell, column) => (column < left ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
			.join("  ")
			.trimEnd(),
	);
	return lines.join("\n");
}
