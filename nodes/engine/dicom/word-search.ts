/** Looks for many words at once in bytes, fast enough for pixels: most bytes are never looked at. */

const SHORTEST = 6;
const LONGEST = 64;
const MOST_WORDS = 4096;
/** Bytes are looked at in pairs as the processor reads them, at every fourth byte: each word begins, or has begun, within three. */
const STEP = 4;

/** What parts a value into words: delimiters of values and names, and control characters. Words of fewer than six are found in any noise. */
const WORDS = /[\x21-\x3c\x3e-\x5b\x5d\x5f-\x7e\x80-\xff]{6,}/g;

/** Shorter values have few words, whatever they are. */
const SHORTEST_NOISE = 256;
/**
 * Of the bytes of compressed images and the like, more than one in so many have the highest bit, more than one in so many are
 * controls, and for each NUL there are more controls than this. A text has no controls, elements and records have many NULs.
 */
const NOISE = { high: 4, controls: 32, controlsPerNul: 8 };

/** Whether a byte stands in words, as in WORDS. */
const IN_WORDS = Uint8Array.from({ length: 256 }, (_, byte) => (byte > 0x20 && byte !== 0x3d && byte !== 0x5c && byte !== 0x5e && byte !== 0x7f ? 1 : 0));
/** Whether a byte is a control character that no text has, but NUL. */
const CONTROL = Uint8Array.from({ length: 256 }, (_, byte) => ((byte < 0x20 && ![0, 9, 10, 12, 13, 27].includes(byte)) || byte === 0x7f ? 1 : 0));

/** Whether a value is too much of a noise for a text in any character set, or for elements and records with text in them. */
function isNoise(value: Uint8Array): boolean {
  if (value.length < SHORTEST_NOISE) return false;
  let high = 0;
  let controls = 0;
  let nuls = 0;
  for (let i = 0; i < value.length; i += 1) {
    const code = value[i]!;
    high += code >> 7;
    controls += CONTROL[code]!;
    if (code === 0) nuls += 1;
  }
  return high * NOISE.high > value.length && controls * NOISE.controls > value.length && controls > nuls * NOISE.controlsPerNul;
}

/** Bytes of the longest stretch of ASCII. Without a branch: in noise, none would be foreseen by the processor. */
function longestAscii(value: Uint8Array, start: number, end: number): number {
  let longest = 0;
  let count = 0;
  for (let at = start; at < end; at += 1) {
    count = (count + 1) * (value[at]! >> 7 ^ 1);
    longest = Math.max(longest, count);
  }
  return longest;
}

/** Whether the bytes are whole characters of UTF-8. */
function isUtf8(value: Uint8Array, start: number, end: number): boolean {
  /** Bytes that a character still wants. */
  let more = 0;
  for (let at = start; at < end; at += 1) {
    const code = value[at]!;
    if (more > 0 ? code < 0x80 || code > 0xbf : code >= 0x80 && (code < 0xc2 || code > 0xf4)) return false;
    if (more > 0) more -= 1;
    else if (code >= 0x80) more = code < 0xe0 ? 1 : code < 0xf0 ? 2 : 3;
  }
  return more === 0;
}

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Two bytes as the one number that the processor makes of them. */
const pairOf = (first: number, second: number): number => (LITTLE_ENDIAN ? second << 8 | first : first << 8 | second);
/** Of the second byte of a pair, the bits of which each character of a word has one at least. */
const SECOND_IN_WORD = LITTLE_ENDIAN ? 0xe0_00 : 0xe0;

/** Whether a text has three different characters. */
function isVaried(text: string): boolean {
  const first = text.charCodeAt(0);
  let second = first;
  for (let i = 1; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === first || code === second) continue;
    if (second !== first) return true;
    second = code;
  }
  return false;
}

/**
 * Whether the characters of a text follow each other in order, up or down: 123456, 112233, fedcba. Ramps of greys, palettes and
 * the tables of JPEG (ISO/IEC 10918-1, K.3) pass through them, whoever's number it is.
 */
function isRamp(text: string): boolean {
  let direction = 0;
  for (let i = 1; i < text.length; i += 1) {
    const step = text.charCodeAt(i) - text.charCodeAt(i - 1);
    if (step === 0) continue;
    if (Math.abs(step) > 1 || step === -direction) return false;
    direction = step;
  }
  return true;
}

/**
 * From `start` on in steps of STEP bytes, how far no pair stands in a word, or as far as eight steps at once reach before
 * `end`. A function that does nothing else: in pixels it goes round a hundred million times. Most pixels have so few bits that
 * none of their high bytes is a character, which is seen without looking any of them up.
 */
function pass(pairs: Uint8Array, read: Uint16Array, start: number, end: number): number {
  let i = start;
  for (; i + 14 < end; i += 16) {
    const a = read[i]!;
    const b = read[i + 2]!;
    const c = read[i + 4]!;
    const d = read[i + 6]!;
    const e = read[i + 8]!;
    const f = read[i + 10]!;
    const g = read[i + 12]!;
    const h = read[i + 14]!;
    if (((a | b | c | d | e | f | g | h) & SECOND_IN_WORD) === 0) continue;
    if ((pairs[a]! | pairs[b]! | pairs[c]! | pairs[d]! | pairs[e]! | pairs[f]! | pairs[g]! | pairs[h]!) !== 0) return i;
  }
  return i;
}

/** Where the next pair is that stands somewhere in a word, from `start` to before `end` in steps of STEP bytes; -1 where there is none. */
function nextPair(pairs: Uint8Array, read: Uint16Array, start: number, end: number): number {
  let i = pass(pairs, read, start, end);
  for (; i < end; i += 2) if (pairs[read[i]!] === 1) return i;
  return -1;
}

interface Place {
  readonly word: Buffer;
  readonly offset: number;
}

export class WordSearch {
  readonly #pairs = new Uint8Array(65_536);
  /** The memory that was looked at last, in pairs. */
  #read: Uint16Array = new Uint16Array(0);
  /** The words at hand. */
  readonly #known = new Set<string>();
  /** Where a pair stands in a word; filled when one is met for the first time, which in most files none is. */
  readonly #places = new Map<number, Place[]>();

  get empty(): boolean {
    return this.#known.size === 0;
  }

  /** What is looked for. Another search `know`s the same by them. */
  get words(): readonly string[] {
    return [...this.#known];
  }

  clear(): void {
    if (this.empty) return;
    this.#pairs.fill(0);
    this.#places.clear();
    this.#known.clear();
  }

  /** The words of a value of text, by `latin1`. */
  add(value: string): void {
    WORDS.lastIndex = 0;
    for (let found = WORDS.exec(value); found !== null; found = WORDS.exec(value)) this.know(found[0]);
  }

  /**
   * The words of a value of bytes: all that a text has, and of what is noise those that noise hardly has: of ASCII
   * alone, in UTF-8, and what ends with a NUL as strings in records do.
   */
  addOfBytes(value: Buffer): void {
    if (!isNoise(value)) {
      this.add(value.toString('latin1'));
      return;
    }
    for (let at = 0; at < value.length; at += 1) {
      const start = at;
      while (at < value.length && IN_WORDS[value[at]!] === 1) at += 1;
      if (at - start >= SHORTEST) this.#addOfNoise(value, start, at);
    }
  }

  /** The words of noise between two delimiters. */
  #addOfNoise(value: Buffer, start: number, end: number): void {
    const ascii = longestAscii(value, start, end);
    if (ascii >= SHORTEST) this.#addAscii(value, start, end);
    const wanted = ascii < end - start && (end >= value.length || value[end] === 0 || isUtf8(value, start, end));
    if (wanted) this.know(value.toString('latin1', start, end));
  }

  #addAscii(value: Buffer, start: number, end: number): void {
    let from = start;
    for (let at = start; at <= end; at += 1) {
      if (at < end && value[at]! < 0x80) continue;
      if (at - from >= SHORTEST) this.know(value.toString('latin1', from, at));
      from = at + 1;
    }
  }

  /** One word; what is too plain to be looked for is not. */
  know(word: string): void {
    const text = word.slice(0, LONGEST);
    if (this.#known.size >= MOST_WORDS || this.#known.has(text) || !isVaried(text) || isRamp(text)) return;
    this.#places.clear();
    this.#known.add(text);
    for (let offset = 0; offset < STEP; offset += 1) this.#pairs[pairOf(text.charCodeAt(offset), text.charCodeAt(offset + 1))] = 1;
  }

  /** Whether any of the words stands between `from` and `to`, whole. */
  isIn(bytes: Buffer, from: number, to: number): boolean {
    if (to - from < SHORTEST) return false;
    const { buffer, byteOffset } = bytes;
    if (this.#read.buffer !== buffer) this.#read = new Uint16Array(buffer, 0, buffer.byteLength >> 1);
    const pairs = this.#pairs;
    // A word that begins at an odd place of the memory has a pair at the even one behind it.
    const end = byteOffset + to >> 1;
    for (let i = nextPair(pairs, this.#read, byteOffset + from + 1 >> 1, end); i >= 0; i = nextPair(pairs, this.#read, i + STEP / 2, end)) {
      if (this.#stands(bytes, from, to, i * 2 - byteOffset)) return true;
    }
    return false;
  }

  /** Bytes of the longest word that is looked for. */
  static readonly longest = LONGEST;

  #stands(bytes: Buffer, from: number, to: number, at: number): boolean {
    if (this.#places.size === 0) this.#place();
    for (const { word, offset } of this.#places.get(pairOf(bytes[at]!, bytes[at + 1]!)) ?? []) {
      const start = at - offset;
      if (start >= from && start + word.length <= to && word.compare(bytes, start, start + word.length) === 0) return true;
    }
    return false;
  }

  #place(): void {
    for (const text of this.#known) {
      const word = Buffer.from(text, 'latin1');
      for (let offset = 0; offset < STEP; offset += 1) {
        const pair = pairOf(word[offset]!, word[offset + 1]!);
        const places = this.#places.get(pair);
        if (places === undefined) this.#places.set(pair, [{ word, offset }]);
        else places.push({ word, offset });
      }
    }
  }
}
