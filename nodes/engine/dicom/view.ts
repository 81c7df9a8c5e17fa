/** An element as the rules see it, read from the source when they ask. */
import type { ElementView, Tag } from './rewrite-types';
import type { ByteSource } from './source';
import { swap } from './vr';

/** Longer values are for copying, not for looking at. */
export const LONGEST_VALUE = 1 << 20;

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

  ascii(): string {
    const value = this.value();
    let end = value.length;
    while (end > 0 && (value[end - 1] === 0 || value[end - 1] === 0x20)) end--;
    return value.toString('latin1', 0, end);
  }
}
