/** An element as the rules see it, read from the source when they ask. */
import type { ElementView, Tag } from './rewrite-types';
import type { ByteSource } from './source';
import { swap, swapUnit } from './vr';

/** Longer values are for copying, not for looking at. */
export const LONGEST_VALUE = 1 << 20;

const isPadding = (code: number): boolean => code === 0 || code === 0x20;

export class View implements ElementView {
  tag: Tag = 0;
  vr = 'UN';
  length: number | undefined = 0;
  path: readonly Tag[] = [];
  item: number | undefined;
  privateCreator: string | undefined;
  /** Offset of the value in the source. */
  valueOffset = 0;
  bigEndian = false;
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  value(): Buffer {
    const { length } = this;
    if (length === undefined || this.vr === 'SQ') throw new RangeError('a sequence has no value');
    if (length > LONGEST_VALUE) throw new RangeError('a value above 1 MiB is not read');
    const value = Buffer.allocUnsafe(length);
    this.#source.copy(this.valueOffset, length, value, 0);
    if (this.bigEndian) swap(value, this.vr);
    return value;
  }

  latin1(): string {
    const { length } = this;
    if (length === undefined || length > LONGEST_VALUE || this.vr === 'SQ' || this.bigEndian && swapUnit(this.vr) > 1) return this.value().toString('latin1');
    return this.#source.latin1(this.valueOffset, length);
  }

  ascii(): string {
    const value = this.latin1();
    let end = value.length;
    while (end > 0 && isPadding(value.charCodeAt(end - 1))) end--;
    return end === value.length ? value : value.slice(0, end);
  }
}
