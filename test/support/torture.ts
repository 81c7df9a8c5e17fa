/** How much a torture test does: a selection in every run of the tests, all of it where EXDICOM_TORTURE says `full`. */

const FULL = process.env['EXDICOM_TORTURE'] === 'full';

/** `full` in a full run, else `selection`. */
export const amount = <T>(full: T, selection: T): T => (FULL ? full : selection);

export type Roll = (below: number) => number;

/** Whole numbers from 0 to below, the same for the same seed in any process. */
export function dice(seed: number): Roll {
  let state = Math.imul(seed, 0x9e3779b1) | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export const pick = <T>(roll: Roll, from: readonly T[]): T => from[roll(from.length)] as T; // `from` is never empty

/** A line of figures under the test that made them. */
export function figures(what: string, of: Readonly<Record<string, number | string>>): void {
  console.log(`${what}: ${Object.entries(of).map(([name, value]) => `${name} ${value}`).join(', ')}`);
}
