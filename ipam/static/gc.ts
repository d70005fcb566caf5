/**
 * GC: there is nothing to release.
 */
export function gc(): void {}
