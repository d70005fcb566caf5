/**
 * Metrics for node-exporter's textfile collector. Source: Prometheus text format 0.0.4.
 */

export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** A gauge; nothing where there is no sample. */
export function gauge(name: string, help: string, samples: readonly Sample[]): string {
	if (samples.length === 0) return "";
	const lines = samples.map(([labels, value]) => {
		const pairs = Object.entries(labels).map(([key, text]) => `${key}="${quoted(text)}"`);
		return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}\n`;
	});
	return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join("")}`;
}

const quoted = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
