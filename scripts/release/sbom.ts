/**
 * What is in the executable, as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/).
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Part } from "./linked.ts";

interface Product {
	readonly name: string;
	readonly version: string;
	readonly licence: string;
	readonly description: string;
	/** amd64 */
	readonly architecture: string;
	/** The file. */
	readonly executable: string;
	/** Seconds since 1970. */
	readonly time: number;
}

/** The bill of materials; the same bytes for the same arguments. */
export function bill(product: Product, parts: readonly Part[]): string {
	const sorted = parts.toSorted((a, b) => (a.purl < b.purl ? -1 : 1));
	const own = `pkg:generic/${product.name}@${product.version}?arch=${product.architecture}`;
	const document = {
		$schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
		bomFormat: "CycloneDX",
		specVersion: "1.6",
		version: 1,
		metadata: {
			timestamp: new Date(product.time * 1000).toISOString(),
			component: {
				type: "application",
				"bom-ref": own,
				name: product.name,
				version: product.version,
				description: product.description,
				licenses: [{ expression: product.licence }],
				hashes: [{ alg: "SHA-256", content: sha256(product.executable) }],
				purl: own,
			},
		},
		components: sorted.map(({ name, version, licence, purl, description, checksum }) => ({
			type: "library",
			"bom-ref": purl,
			name,
			version,
			...(description !== undefined && { description }),
			licenses: [{ expression: licence }],
			...(checksum !== undefined && { hashes: [{ alg: checksum.algorithm, content: checksum.hex }] }),
			purl,
		})),
		dependencies: [
			{ ref: own, dependsOn: sorted.filter(({ isDirect }) => isDirect).map(({ purl }) => purl) },
			...sorted.map(({ purl, uses }) => ({ ref: purl, dependsOn: uses })),
		],
	};
	return `${JSON.stringify(document, undefined, "\t")}\n`;
}

/** As hexadecimal digits. */
export const sha256 = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");
