/** Whether Pixel Data is as long as the image that it belongs to: what stands behind the last pixel is no pixel. */
import { carriesElements, MOST_LOOKED_AT } from './carried';
import type { Encoding } from './elements';
import { UNDEFINED } from './elements';
import type { ByteSource } from './source';
import { countLetters, isText, readsAsWords } from './wordlike';

const SAMPLES = 0x00280002;
const PHOTOMETRIC_INTERPRETATION = 0x00280004;
const FRAMES = 0x00280008;
const ROWS = 0x00280010;
const COLUMNS = 0x00280011;
const BITS_ALLOCATED = 0x00280100;
const FLOAT_PIXEL_DATA = 0x7fe00008;
const PIXEL_DATA = 0x7fe00010;

/** An image of so few bytes may as well be a text, which can be read in all of it. */
const FEW = 4096;
/** Bytes at the end of pixels that are looked at where nobody knows how many they should be, or there should be more. */
const LAST = 64;
/** So many pixels tell whether letters are among their greys, and one in so many bytes is enough: then a word is no sign. */
const GREYS = { least: 256, most: 4096, letters: 8 };

interface Pixels {
  readonly tag: number;
  readonly offset: number;
  readonly length: number;
}

/** An element that is there twice is looked at twice; so many times it is in no file. */
const MOST = 16;

/** Hears of the top-level elements one after the other. */
export class PixelLength {
  readonly #source: ByteSource;
  readonly #encoding: Encoding;
  readonly #numbers = new Map<number, number>();
  #subsampled = false;
  readonly #pixels: Pixels[] = [];

  constructor(source: ByteSource, encoding: Encoding) {
    this.#source = source;
    this.#encoding = encoding;
  }

  /** @param vr as written; undefined where nothing is. */
  hear(tag: number, vr: string | undefined, valueOffset: number, length: number): void {
    if (tag < SAMPLES || tag > PIXEL_DATA || length === UNDEFINED) return;
    switch (tag) {
      case SAMPLES: case ROWS: case COLUMNS: case BITS_ALLOCATED:
        // Anything but one number says nothing.
        if (!this.#numbers.has(tag)) this.#numbers.set(tag, length === 2 && (vr ?? 'US') === 'US' ? this.#short(valueOffset) : Number.NaN);
        break;
      case FRAMES:
        if (length > 0 && length <= 16) this.#numbers.set(tag, Number.parseInt(this.#text(valueOffset, length), 10) || 1);
        break;
      case PHOTOMETRIC_INTERPRETATION:
        if (length <= 16) this.#subsampled = this.#text(valueOffset, length).startsWith('YBR_FULL_422');
        break;
      default:
        if (tag >= FLOAT_PIXEL_DATA && this.#pixels.length < MOST) this.#pixels.push({ tag, offset: valueOffset, length });
    }
  }

  #short(offset: number): number {
    const at = this.#source.at(offset, 2);
    const { bytes } = this.#source;
    return this.#encoding.bigEndian ? bytes.readUInt16BE(at) : bytes.readUInt16LE(at);
  }

  #text(offset: number, length: number): string {
    const at = this.#source.at(offset, length);
    return this.#source.bytes.toString('latin1', at, at + length).trim();
  }

  /** Bytes of all pixels; undefined where the data set does not say. */
  #expected(): number | undefined {
    const value = (tag: number): number | undefined => this.#numbers.get(tag);
    const rows = value(ROWS);
    const columns = value(COLUMNS);
    const bits = value(BITS_ALLOCATED);
    if (rows === undefined || columns === undefined || bits === undefined) return undefined;
    const samples = this.#subsampled ? 2 : value(SAMPLES) ?? 1;
    const bytes = Math.ceil((rows * columns * samples * bits * (value(FRAMES) ?? 1)) / 8);
    return Number.isFinite(bytes) ? bytes : undefined;
  }

  /**
   * What native Pixel Data has swallowed: whether it goes on behind the last pixel with elements or words, or is words
   * where there should be more pixels. Where nothing says how many pixels there are, or there are fewer, elements are looked for
   * in all of it, as far as `MOST_LOOKED_AT`, and words at its end. Where the pixels before it have letters among their greys, as
   * those of a frame that is not counted have, only a text is words.
   */
  swallowed(): 'elements' | 'words' | undefined {
    for (const pixels of this.#pixels) {
      const found = this.#swallowedBy(pixels);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #swallowedBy({ tag, offset, length }: Pixels): 'elements' | 'words' | undefined {
    const stop = Math.min(offset + length, this.#source.size);
    const expected = this.#expected();
    const exceeds = expected !== undefined && expected <= length;
    if (stop - offset <= FEW && !(exceeds && expected > 0) && this.#areWords(this.#text(offset, stop - offset), offset, stop)) return 'words';
    const last = Math.max(offset, stop - LAST);
    if (!exceeds && this.#areWords(this.#text(last, stop - last), offset, last)) return 'words';
    const start = exceeds ? offset + expected : offset;
    if (stop - start <= 8) return undefined;
    const count = Math.min(stop - start, MOST_LOOKED_AT);
    for (const from of [stop - count, start]) {
      const bytes = this.#read(from, count);
      if (carriesElements(bytes, tag, this.#encoding)) return 'elements';
      if (exceeds && this.#areWords(bytes.toString('latin1'), offset, start)) return 'words';
    }
    return undefined;
  }

  /** Whether a text, by `latin1`, that stands among or behind pixels from `offset` to `end` is none of them. */
  #areWords(text: string, offset: number, end: number): boolean {
    return readsAsWords(text) && (isText(text) || !this.#haveLetters(offset, end));
  }

  #haveLetters(offset: number, end: number): boolean {
    const count = Math.min(end - offset, GREYS.most);
    return count >= GREYS.least && countLetters(this.#text(end - count, count)) * GREYS.letters > count;
  }

  #read(offset: number, count: number): Buffer {
    const bytes = Buffer.allocUnsafe(count);
    this.#source.copy(offset, count, bytes, 0);
    return bytes;
  }
}
