/**
 * `items.map(change)`; of none, none. The engine's own asks each list what constructor the new one shall have, which
 * takes as long as three items.
 */
export function mapped<T, Made>(items: readonly T[] | undefined, change: (item: T, index: number) => Made): Made[] {
	const made: Made[] = [];
	if (items === undefined) return made;
	for (let index = 0; index < items.length; index++) made[index] = change(items[index]!, index);
	return made;
}
