/** Whether Pixel Data is as long as the image that it belongs to: what stands behind the last pixel is no pixel. */
import { carriesElements, MOST_LOOKED_AT } from './carried';
import type { Encoding } from './elements';
import { UNDEFINED } from './elements';
import type { ByteSource } from './source';

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
const WORDS = /[0-9A-Za-z ^.-]{8,}/g;

/** Whether something reads as words: letters and digits in a row that are no ramp of greys. */
function readsAsWords(text: string): boolean {
  for (const [run] of text.matchAll(WORDS)) {
    const step = run.charCodeAt(1) - run.charCodeAt(0);
    for (let i = 2; i < run.length; i += 1) if (run.charCodeAt(i) - run.charCodeAt(i - 1) !== step) return true;
  }
  return false;
}

/** Hears of the top-level elements one after the other. */
export class PixelLength {
  readonly #source: ByteSource;
  readonly #encoding: Encoding;
  readonly #numbers = new Map<number, number>();
  #subsampled = false;
  #pixels: { readonly tag: number; readonly offset: number; readonly length: number } | undefined;

  constructor(source: ByteSource, encoding: Encoding) {
    this.#source = source;
    this.#encoding = encoding;
  }

  hear(tag: number, valueOffset: number, length: number): void {
    if (tag < SAMPLES || tag > PIXEL_DATA || length === UNDEFINED) return;
    switch (tag) {
      case SAMPLES: case ROWS: case COLUMNS: case BITS_ALLOCATED:
        if (length >= 2 && !this.#numbers.has(tag)) this.#numbers.set(tag, this.#short(valueOffset));
        break;
      case FRAMES:
        if (length > 0 && length <= 16) this.#numbers.set(tag, Number.parseInt(this.#text(valueOffset, length), 10) || 1);
        break;
      case PHOTOMETRIC_INTERPRETATION:
        if (length <= 16) this.#subsampled = this.#text(valueOffset, length).startsWith('YBR_FULL_422');
        break;
      default:
        if (tag >= FLOAT_PIXEL_DATA && this.#pixels === undefined) this.#pixels = { tag, offset: valueOffset, length };
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
    return Math.ceil((rows * columns * samples * bits * (value(FRAMES) ?? 1)) / 8);
  }

  /**
   * Whether native Pixel Data goes on behind the last pixel with elements or words that its length has swallowed, or is words
   * where there should be more pixels. Where nothing says how many there are, elements are looked for in all of it, as far as
   * `MOST_LOOKED_AT`.
   */
  swallowsElements(): boolean {
    if (this.#pixels === undefined) return false;
    const { tag, offset, length } = this.#pixels;
    const end = Math.min(offset + length, this.#source.size);
    const expected = this.#expected();
    if (end - offset <= FEW && (expected ?? Infinity) > length && readsAsWords(this.#text(offset, end - offset))) return true;
    const start = Math.min(offset + (expected ?? 0), end);
    if (end - start <= 8) return false;
    const count = Math.min(end - start, MOST_LOOKED_AT);
    const tail = this.#read(end - count, count);
    if (carriesElements(tail, tag, this.#encoding) || expected !== undefined && readsAsWords(tail.toString('latin1'))) return true;
    if (count === end - start) return false;
    const head = this.#read(start, count);
    return carriesElements(head, tag, this.#encoding) || expected !== undefined && readsAsWords(head.toString('latin1'));
  }

  #read(offset: number, count: number): Buffer {
    const bytes = Buffer.allocUnsafe(count);
    this.#source.copy(offset, count, bytes, 0);
    return bytes;
  }
}
