/** Instance numbers as people and programs write them. */

/** Instances that one request may name. */
const MOST = 100_000;

/** `3`, `[1, 3]` or `1-3, 7` as numbers without repetition; undefined where it is none of these. */
export function numbersOf(given: string | number | readonly unknown[]): readonly number[] | undefined {
  const parts = typeof given === 'string' ? given.split(',', MOST + 1) : typeof given === 'number' ? [given] : given;
  if (parts.length > MOST) return undefined;
  const numbers = new Set<number>();
  for (const part of parts) {
    if (typeof part !== 'string' && typeof part !== 'number') return undefined;
    const [, from, to] = /^\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*$/.exec(String(part)) ?? [];
    const [first, last] = [Number(from), Number(to ?? from)];
    if (from === undefined || first < 1 || last < first || last - first >= MOST || numbers.size + last - first >= MOST) return undefined;
    for (let number = first; number <= last; number += 1) numbers.add(number);
  }
  return numbers.size === 0 ? undefined : [...numbers];
}
