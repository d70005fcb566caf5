/**
 * The versions of the specification that we speak.
 */

export const SUPPORTED_VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type SpecVersion = (typeof SUPPORTED_VERSIONS)[number];

/** The newest version: what VERSION names, whatever the input's. */
const NEWEST_VERSION: SpecVersion = "1.1.0";

/** The answer to VERSION: compact, one newline. */
export const VERSION_ANSWER = `${JSON.stringify({ cniVersion: NEWEST_VERSION, supportedVersions: SUPPORTED_VERSIONS })}\n`;
