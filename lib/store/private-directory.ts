/**
 * The private state directory of a store: what the Go plugin knows nothing of, outside of the store, which it walks.
 */
/** Private state directory of a store. A network's name begins with a letter or a digit: this is none. */
export function privateDirectory(store: string): string {
	const name = store.lastIndexOf("/") + 1;
	return `${store.slice(0, name)}.berth/${store.slice(name)}`;
}
