/**
 * DEL: there is nothing to release.
 */
export function del(): void {}
