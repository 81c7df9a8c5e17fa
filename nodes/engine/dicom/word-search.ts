/** Looks for many words at once in bytes, fast enough for pixels: most bytes are never looked at. */

/** Shorter ones are found in any noise. */
const SHORTEST = 6;
const LONGEST = 64;
const MOST_WORDS = 4096;
/** A word of SHORTEST bytes has this many pairs of bytes, so every such step meets one of them. */
const STRIDE = SHORTEST - 1;
/** Fewer different bytes than this are a ruler, a counter, or a grey that is everywhere. */
const LEAST_DIFFERENT = 3;

/** What parts a value into words: delimiters of values and names, and control characters. */
const WORDS = /[\x21-\x3c\x3e-\x5b\x5d\x5f-\x7e\x80-\xff]{6,}/g;

interface Place {
  readonly word: Buffer;
  readonly offset: number;
}

export class WordSearch {
  readonly #pairs = new Uint8Array(65_536);
  readonly #places = new Map<number, Place[]>();
  readonly #known = new Set<string>();

  get empty(): boolean {
    return this.#known.size === 0;
  }

  clear(): void {
    if (this.empty) return;
    this.#pairs.fill(0);
    this.#places.clear();
    this.#known.clear();
  }

  /** The words of a value, by `latin1`. */
  add(value: string): void {
    for (const [found] of value.matchAll(WORDS)) {
      const text = found.slice(0, LONGEST);
      if (this.#known.size >= MOST_WORDS || this.#known.has(text) || new Set(text).size < LEAST_DIFFERENT) continue;
      this.#known.add(text);
      const word = Buffer.from(text, 'latin1');
      for (let offset = 0; offset < STRIDE; offset += 1) {
        const pair = word[offset]! * 256 + word[offset + 1]!;
        this.#pairs[pair] = 1;
        const places = this.#places.get(pair);
        if (places === undefined) this.#places.set(pair, [{ word, offset }]);
        else places.push({ word, offset });
      }
    }
  }

  /** Whether any of the words stands in the first `length` bytes. */
  isIn(bytes: Buffer, length: number): boolean {
    const pairs = this.#pairs;
    for (let at = 0; at + 1 < length; at += STRIDE) {
      if (pairs[bytes[at]! * 256 + bytes[at + 1]!] === 1 && this.#stands(bytes, length, at)) return true;
    }
    return false;
  }

  /** Bytes that two looks at the parts of one value must share, so that no word is missed between them. */
  static readonly overlap = LONGEST;

  #stands(bytes: Buffer, length: number, at: number): boolean {
    for (const { word, offset } of this.#places.get(bytes[at]! * 256 + bytes[at + 1]!) ?? []) {
      const start = at - offset;
      if (start >= 0 && start + word.length <= length && word.compare(bytes, start, start + word.length) === 0) return true;
    }
    return false;
  }
}
