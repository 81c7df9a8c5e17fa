/**
 * Overlays in the bits of Pixel Data that no sample uses (PS3.5, 8.1.2; retired, and still in the archives of many a CT): with
 * their group gone nobody would look for them there, and what they show would travel on.
 */
import type { Encoding } from './elements';
import { PIXEL_DATA, UNDEFINED } from './elements';
import type { ByteSource } from './source';

const BITS_ALLOCATED = 0x00280100;
const BITS_STORED = 0x00280101;
const HIGH_BIT = 0x00280102;
const FIRST_OVERLAY = 0x60000000;
const LAST_OVERLAY = 0x60ffffff;
const BIT_POSITION = 0x0102;
const OVERLAY_DATA = 0x3000;

/** A range of the source of which the same bits of each cell are cleared on the way into the result. */
export interface Mask {
  readonly start: number;
  readonly end: number;
  /** By the bytes of a cell: the bits that stay. */
  readonly cell: Uint8Array;
}

/** Clears bits of `block` between `from` and `to`, which stand at `offset` in the source. */
export function clear({ start, end, cell }: Mask, offset: number, block: Buffer, from: number, to: number): void {
  const first = Math.max(start - offset, 0);
  const last = Math.min(end - offset, to - from);
  let place = (offset + first - start) % cell.length;
  for (let at = from + first; at < from + last; at += 1) {
    block[at]! &= cell[place]!;
    place = place + 1 === cell.length ? 0 : place + 1;
  }
}

/** Hears of the top-level elements one after the other. */
export class OverlayBits {
  readonly #source: ByteSource;
  readonly #encoding: Encoding;
  readonly #numbers = new Map<number, number>();
  /** By group, the positions that are told. */
  readonly #positions = new Map<number, number[]>();
  /** Groups with data of their own. */
  readonly #separate = new Set<number>();
  readonly #pixels: Array<{ readonly start: number; readonly end: number }> = [];
  #encapsulated = false;

  constructor(source: ByteSource, encoding: Encoding) {
    this.#source = source;
    this.#encoding = encoding;
  }

  hear(tag: number, valueOffset: number, length: number): void {
    if (tag < BITS_ALLOCATED) return;
    if (tag === BITS_ALLOCATED || tag === BITS_STORED || tag === HIGH_BIT) {
      if (length === 2 && !this.#numbers.has(tag)) this.#numbers.set(tag, this.#short(valueOffset));
    } else if (tag >= FIRST_OVERLAY && tag <= LAST_OVERLAY) {
      this.#hearOverlay(tag >>> 16, tag & 0xffff, valueOffset, length);
    } else if (tag === PIXEL_DATA) {
      if (length === UNDEFINED) this.#encapsulated = true;
      else this.#pixels.push({ start: valueOffset, end: valueOffset + length });
    }
  }

  #hearOverlay(group: number, element: number, valueOffset: number, length: number): void {
    if (element === OVERLAY_DATA && length !== 0) this.#separate.add(group);
    if (element !== BIT_POSITION || length !== 2) return;
    const position = this.#short(valueOffset);
    const known = this.#positions.get(group);
    if (known === undefined) this.#positions.set(group, [position]);
    else known.push(position);
  }

  #short(offset: number): number {
    const at = this.#source.at(offset, 2);
    const { bytes } = this.#source;
    return this.#encoding.bigEndian ? bytes.readUInt16BE(at) : bytes.readUInt16LE(at);
  }

  /** What is to be cleared; undefined where there are such overlays and their bits cannot be told or reached. */
  masks(): readonly Mask[] | undefined {
    const allocated = this.#numbers.get(BITS_ALLOCATED);
    const stored = this.#numbers.get(BITS_STORED) ?? allocated;
    if (this.#positions.size === 0 || !this.#encapsulated && this.#pixels.length === 0 || allocated === undefined || stored === undefined) return [];
    const high = this.#numbers.get(HIGH_BIT) ?? stored - 1;
    const free = (position: number): boolean => position < allocated && (position > high || position <= high - stored);
    const embedded = [...this.#positions].flatMap(([group, positions]) => (this.#separate.has(group) ? [] : positions)).filter(free);
    if (embedded.length === 0) return [];
    if (this.#encapsulated || allocated !== 8 && allocated !== 16) return undefined;
    const cell = new Uint8Array(allocated / 8).fill(0xff);
    for (const position of embedded) cell[position >>> 3]! &= ~(1 << (position & 7));
    if (this.#encoding.bigEndian) cell.reverse();
    return this.#pixels.map((pixels) => ({ ...pixels, cell }));
  }
}
