/**
 * Rewrites the headers of a data set and copies its values, for what cannot go to a peer as it lies on disk: from Explicit
 * to Implicit VR Little Endian (PS3.5, 10.1), or with every value padded to an even length (PS3.5, 7.1), without which no
 * fragment of it may be sent. Lengths change, so sequences and items get undefined ones and delimiters (PS3.5, 7.5), and
 * group lengths, retired and wrong from then on, are left out (PS3.5, 7.2). Streams, so a file of any size needs the same
 * memory.
 */
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { dictionaryVr } from '../dicom/dictionary';
import { hasLongHeader, paddingByte, vrOf } from '../dicom/vr';
import { ExdicomError } from '../errors';
import type { TaskContext } from '../workers/task';
import { openDataSet } from './part10-file';

const WINDOW = 256 * 1024;
const UNDEFINED = 0xffffffff;
const ITEM = 0xfffee000;
const ITEM_END = 0xfffee00d;
const SEQUENCE_END = 0xfffee0dd;
const DEEPEST = 64;

/** How headers are written, in Little Endian. */
export type Headers = 'explicit' | 'implicit';

export interface Reencoding {
  readonly path: string;
  readonly bytes: number;
  readonly target: string;
  /** `bytes`: the data set is a stream of bytes, deflated for one; it only gets the NUL that makes it even (PS3.5, A.5). */
  readonly from: Headers | 'bytes';
  readonly to: Headers | 'bytes';
}

/**
 * Writes the data set of a Part 10 file, without preamble and File Meta Information, to `target`, which is there and empty.
 * @throws {ExdicomError} DICOM_UNREADABLE with the offset; NO_CONTEXT where values are encapsulated and it is to be implicit
 */
export function reencode({ path, bytes, target, from, to }: Reencoding, context: TaskContext): { readonly length: number } {
  using file = openDataSet({ path, bytes });
  const out = openSync(target, 'r+');
  try {
    const writer = new Writer(out);
    const reencoder = new Reencoder(new Reader(file.fd, file.offset, bytes), writer, (at) => { context.progress(at, bytes); });
    if (from === 'bytes' || to === 'bytes') reencoder.value(file.length, 0);
    else reencoder.elements({ from, to }, bytes, 'defined', 0);
    writer.flush();
    fsyncSync(out);
    return { length: writer.length };
  } finally {
    closeSync(out);
  }
}

class Reader {
  readonly #window = Buffer.allocUnsafe(WINDOW);
  #from = 0;
  #filled = 0;

  constructor(private readonly fd: number, public at: number, private readonly size: number) {}

  /** The next `length` bytes, at most a window; valid until the next call. */
  take(length: number): Buffer {
    if (length > this.size - this.at) throw unreadable(this.at);
    if (this.at < this.#from || this.at + length > this.#from + this.#filled) {
      this.#from = this.at;
      this.#filled = readSync(this.fd, this.#window, 0, WINDOW, this.at);
      if (this.#filled < length) throw unreadable(this.at);
    }
    const bytes = this.#window.subarray(this.at - this.#from, this.at - this.#from + length);
    this.at += length;
    return bytes;
  }
}

class Writer {
  readonly #buffer = Buffer.allocUnsafe(WINDOW);
  #used = 0;
  length = 0;

  constructor(private readonly fd: number) {}

  write(bytes: Uint8Array): void {
    if (this.#used + bytes.length > WINDOW) this.flush();
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
    this.length += bytes.length;
  }

  /** The header of an element; of an item or delimiter without a VR, as they always are. */
  header(tag: number, vr: string | undefined, length: number): void {
    const long = vr !== undefined && hasLongHeader(vr);
    const bytes = Buffer.alloc(long ? 12 : 8);
    bytes.writeUInt16LE(tag >>> 16, 0);
    bytes.writeUInt16LE(tag & 0xffff, 2);
    if (vr !== undefined) bytes.write(vr, 4, 'latin1');
    if (long) bytes.writeUInt32LE(length, 8);
    else if (vr === undefined) bytes.writeUInt32LE(length, 4);
    else bytes.writeUInt16LE(length, 6);
    this.write(bytes);
  }

  flush(): void {
    for (let from = 0; from < this.#used;) from += writeSync(this.fd, this.#buffer, from, this.#used - from);
    this.#used = 0;
  }
}

const unreadable = (offset: number): ExdicomError => new ExdicomError('DICOM_UNREADABLE', { stage: 'deliver', detail: `offset ${offset}` });

interface Way { readonly from: Headers; readonly to: Headers }

/** How what is being read ends: at an offset, or at its delimiter. */
type Extent = 'defined' | 'delimited';

class Reencoder {
  constructor(private readonly from: Reader, private readonly to: Writer, private readonly progress: (at: number) => void) {}

  /** Elements of a data set or item. */
  elements(way: Way, end: number, extent: Extent, depth: number): void {
    while (this.#more(end, extent)) {
      const start = this.from.at;
      const tag = this.#tag();
      if (tag === ITEM_END && extent === 'delimited') {
        this.from.take(4);
        return;
      }
      const { vr, length } = this.#vrAndLength(way.from, tag);
      if (length !== UNDEFINED && length > end - this.from.at) throw unreadable(start);
      const written = way.to === 'explicit' ? vr : undefined;
      if (vr === 'SQ') {
        this.#sequence(way, tag, written, length, end, depth);
      } else if (length === UNDEFINED && (vr === 'UN' || way.from === 'implicit')) {
        // Of unknown VR and undefined length: a sequence in Implicit VR, whatever is around it (PS3.5, 6.2.2).
        this.#sequence({ from: 'implicit', to: 'implicit' }, tag, written, length, end, depth);
      } else if (length === UNDEFINED) {
        if (way.to === 'implicit') throw new ExdicomError('NO_CONTEXT', { detail: 'encapsulated values cannot be sent in Implicit VR Little Endian' });
        this.#fragments(tag, vr, end);
      } else if ((tag & 0xffff) === 0) {
        this.#skip(length);
      } else {
        const even = length + length % 2;
        if (written !== undefined && !hasLongHeader(written) && even > 0xffff) throw unreadable(start);
        // Without a VR nobody knows whether this is a sequence, which no padding would make even.
        if (even !== length && vr === 'UN' && this.#looksLikeSequence(length)) throw unreadable(start);
        this.to.header(tag, written, even);
        this.value(length, paddingByte(vr));
      }
    }
  }

  /** Copies a value, padded to an even length. */
  value(length: number, padding: number): void {
    for (let left = length; left > 0;) {
      const bytes = this.from.take(Math.min(left, WINDOW));
      this.to.write(bytes);
      left -= bytes.length;
      this.progress(this.from.at);
    }
    if (length % 2 === 1) this.to.write(Buffer.from([padding]));
  }

  #vrAndLength(headers: Headers, tag: number): { vr: string; length: number } {
    if (headers === 'implicit') return { vr: dictionaryVr(tag) ?? 'UN', length: this.from.take(4).readUInt32LE(0) };
    const start = this.from.at;
    const name = this.from.take(2);
    const vr = vrOf(name.readUInt8(0), name.readUInt8(1));
    if (vr === undefined) throw unreadable(start);
    if (!hasLongHeader(vr)) return { vr, length: this.from.take(2).readUInt16LE(0) };
    this.from.take(2);
    return { vr, length: this.from.take(4).readUInt32LE(0) };
  }

  #sequence(way: Way, tag: number, vr: string | undefined, length: number, end: number, depth: number): void {
    if (depth >= DEEPEST) throw unreadable(this.from.at);
    if (length === 0) {
      this.to.header(tag, vr, 0);
      return;
    }
    this.to.header(tag, vr, UNDEFINED);
    const extent = length === UNDEFINED ? 'delimited' : 'defined';
    const sequenceEnd = length === UNDEFINED ? end : this.from.at + length;
    while (this.#more(sequenceEnd, extent)) {
      const start = this.from.at;
      const item = this.#tag();
      const itemLength = this.from.take(4).readUInt32LE(0);
      if (item === SEQUENCE_END && extent === 'delimited') break;
      if (item !== ITEM || (itemLength !== UNDEFINED && itemLength > sequenceEnd - this.from.at)) throw unreadable(start);
      this.#item(way, itemLength, sequenceEnd, depth);
    }
    this.to.header(SEQUENCE_END, undefined, 0);
  }

  #item(way: Way, length: number, end: number, depth: number): void {
    if (length === 0) {
      this.to.header(ITEM, undefined, 0);
      return;
    }
    this.to.header(ITEM, undefined, UNDEFINED);
    if (length === UNDEFINED) this.elements(way, end, 'delimited', depth + 1);
    else this.elements(way, this.from.at + length, 'defined', depth + 1);
    this.to.header(ITEM_END, undefined, 0);
  }

  /** Encapsulated values (PS3.5, A.4). Only the last may be padded: the offset table counts the bytes of those before. */
  #fragments(tag: number, vr: string, end: number): void {
    this.to.header(tag, vr, UNDEFINED);
    for (let odd = false; ;) {
      const start = this.from.at;
      const item = this.#tag();
      const length = this.from.take(4).readUInt32LE(0);
      if (item === SEQUENCE_END) break;
      if (item !== ITEM || odd || length > end - this.from.at) throw unreadable(start);
      odd = length % 2 === 1;
      this.to.header(ITEM, undefined, length + length % 2);
      this.value(length, 0);
    }
    this.to.header(SEQUENCE_END, undefined, 0);
  }

  #more(end: number, extent: Extent): boolean {
    return extent === 'delimited' || this.from.at < end;
  }

  #looksLikeSequence(length: number): boolean {
    if (length < 8) return false;
    const looks = this.#tag() === ITEM;
    this.from.at -= 4;
    return looks;
  }

  #skip(length: number): void {
    for (let left = length; left > 0; left -= Math.min(left, WINDOW)) this.from.take(Math.min(left, WINDOW));
  }

  #tag(): number {
    const bytes = this.from.take(4);
    return (bytes.readUInt16LE(0) << 16 | bytes.readUInt16LE(2)) >>> 0;
  }
}
