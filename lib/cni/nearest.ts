/**
 * What a person may have meant who wrote a word that nobody knows.
 */

/** Changes of a letter (put in, taken out, replaced) after which a word is still taken for a slip. */
const MAX_CHANGES = 2;

/** The one of `names` that `word` is nearest to, whatever the case of letters; undefined where none is near. */
export function nearest(word: string, names: readonly string[]): string | undefined {
	// Of a short word, two changes leave nothing.
	let most = Math.min(MAX_CHANGES, Math.floor(word.length / 2));
	let best: string | undefined;
	for (const name of names) {
		if (Math.abs(name.length - word.length) > most) continue;
		const changes = changesBetween(word.toLowerCase(), name.toLowerCase());
		if (changes > most) continue;
		best = name;
		most = changes - 1;
	}
	return best;
}

function changesBetween(a: string, b: string): number {
	let row = Array.from({ length: b.length + 1 }, (_, index) => index);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++) {
			next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
		}
		row = next;
	}
	return row[b.length]!;
}
