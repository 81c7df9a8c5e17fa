/** Whether bytes that should be numbers or pixels read as words. */

const RUN = /[0-9A-Za-z ^.-]{8,}/g;

/**
 * Whether there are `least` letters and digits in a row, 8 or more, that go up and down as words do: tables of greys and
 * colours, which pass through all letters, go one way.
 */
export function readsAsWords(text: string, least = 8): boolean {
  for (const [run] of text.matchAll(RUN)) {
    if (run.length < least) continue;
    let up = false;
    let down = false;
    for (let i = 1; i < run.length; i += 1) {
      const step = run.charCodeAt(i) - run.charCodeAt(i - 1);
      up ||= step > 0;
      down ||= step < 0;
    }
    if (up && down) return true;
  }
  return false;
}

/** Of numbers, some read as fewer letters by chance: the bytes of a floating-point number, the three values of a colour. */
const SHORTEST_TEXT = 7;
/** One character in so many of a text may be something else than a letter. */
const OTHERS = 16;

/** Whether a byte is a letter, a digit or what stands between them, as in RUN. */
const LETTERS = Uint8Array.from({ length: 256 }, (_, byte) => (/[0-9A-Za-z ^.-]/.test(String.fromCharCode(byte)) ? 1 : 0));

/**
 * Whether bytes that should be numbers are a text, by `latin1`: nearly all of them letters and digits, which go up and down.
 * NULs do not count: they pad, and stand beside each letter of two bytes. A run of letters alone says nothing, as coordinates,
 * colours and samples of a signal have them, too.
 */
export function isText(text: string): boolean {
  let letters = 0;
  let others = 0;
  let previous = 0;
  let up = false;
  let down = false;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === 0) continue;
    if (LETTERS[code] !== 1) {
      others += 1;
      if (others * OTHERS > text.length) return false;
      continue;
    }
    if (letters > 0) {
      up ||= code > previous;
      down ||= code < previous;
    }
    previous = code;
    letters += 1;
  }
  return letters >= SHORTEST_TEXT && others * OTHERS <= letters + others && up && down;
}

/** How many characters of a text are letters, digits and what stands between them. */
export function countLetters(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i += 1) count += LETTERS[text.charCodeAt(i)]!;
  return count;
}
