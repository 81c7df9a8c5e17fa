/**
 * Explicit VR Little Endian to Implicit VR Little Endian (PS3.5, 7.1): every header is rewritten, every value is copied.
 * Headers change their size, so sequences and items get undefined lengths and delimiters (PS3.5, 7.5), and group lengths,
 * retired and wrong from then on, are left out (PS3.5, 7.2). Streams, so a file of any size needs the same memory.
 */
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { ExdicomError } from '../errors';
import { hasLongHeader, vrOf } from '../dicom/vr';
import type { TaskContext } from '../workers/tasks';
import { openDataSet } from './part10-file';

const WINDOW = 256 * 1024;
const UNDEFINED = 0xffffffff;
const ITEM = 0xfffee000;
const ITEM_END = 0xfffee00d;
const SEQUENCE_END = 0xfffee0dd;
const DEEPEST = 64;
export interface Conversion {
  readonly path: string;
  readonly bytes: number;
  readonly target: string;
}

/**
 * Writes the data set of a Part 10 file, without preamble and File Meta Information, to `target`, which must not exist.
 * @throws {ExdicomError} DICOM_UNREADABLE with the offset; NO_CONTEXT where values are encapsulated
 */
export function writeImplicit({ path, bytes, target }: Conversion, context: TaskContext): { readonly length: number } {
  using file = openDataSet({ path, bytes });
  const out = openSync(target, 'wx', 0o600);
  try {
    const writer = new Writer(out);
    new Converter(new Reader(file.fd, file.offset, bytes), writer, (at) => { context.progress(at, bytes); }).elements(bytes, 'defined', 0);
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

  write(bytes: Buffer): void {
    if (this.#used + bytes.length > WINDOW) this.flush();
    bytes.copy(this.#buffer, this.#used);
    this.#used += bytes.length;
    this.length += bytes.length;
  }

  header(tag: number, length: number): void {
    if (this.#used + 8 > WINDOW) this.flush();
    this.#buffer.writeUInt16LE(tag >>> 16, this.#used);
    this.#buffer.writeUInt16LE(tag & 0xffff, this.#used + 2);
    this.#buffer.writeUInt32LE(length, this.#used + 4);
    this.#used += 8;
    this.length += 8;
  }

  flush(): void {
    for (let from = 0; from < this.#used;) from += writeSync(this.fd, this.#buffer, from, this.#used - from);
    this.#used = 0;
  }
}

const unreadable = (offset: number): ExdicomError => new ExdicomError('DICOM_UNREADABLE', { stage: 'deliver', detail: `offset ${offset}` });

/** How what is being read ends: at an offset, or at its delimiter. */
type Extent = 'defined' | 'delimited';

class Converter {
  constructor(private readonly from: Reader, private readonly to: Writer, private readonly progress: (at: number) => void) {}

  /** Elements of a data set or item, in Explicit VR. */
  elements(end: number, extent: Extent, depth: number): void {
    while (this.#more(end, extent)) {
      const start = this.from.at;
      const tag = this.#tag();
      if (tag === ITEM_END && extent === 'delimited') {
        this.from.take(4);
        return;
      }
      const name = this.from.take(2);
      const vr = vrOf(name.readUInt8(0), name.readUInt8(1));
      if (vr === undefined) throw unreadable(start);
      const long = hasLongHeader(vr);
      if (long) this.from.take(2);
      const length = long ? this.from.take(4).readUInt32LE(0) : this.from.take(2).readUInt16LE(0);
      if (length !== UNDEFINED && length > end - this.from.at) throw unreadable(start);
      if (vr === 'SQ') this.#sequence(tag, length, end, depth, 'explicit');
      // Of unknown VR and undefined length: a sequence in Implicit VR (PS3.5, 6.2.2).
      else if (length === UNDEFINED && vr === 'UN') this.#sequence(tag, length, end, depth, 'implicit');
      else if (length === UNDEFINED) throw new ExdicomError('NO_CONTEXT', { detail: 'encapsulated values cannot be sent in Implicit VR Little Endian' });
      else if ((tag & 0xffff) === 0) this.#skip(length);
      else this.#value(tag, length);
    }
  }

  /** Elements of an item that is in Implicit VR already; only the way through it matters. */
  #implicitElements(end: number, extent: Extent, depth: number): void {
    while (this.#more(end, extent)) {
      const start = this.from.at;
      const tag = this.#tag();
      const length = this.from.take(4).readUInt32LE(0);
      if (tag === ITEM_END && extent === 'delimited') return;
      if (length === UNDEFINED) {
        this.#sequence(tag, length, end, depth, 'implicit');
      } else {
        if (length > end - this.from.at) throw unreadable(start);
        this.#value(tag, length);
      }
    }
  }

  #sequence(tag: number, length: number, end: number, depth: number, encoding: 'explicit' | 'implicit'): void {
    if (depth >= DEEPEST) throw unreadable(this.from.at);
    if (length === 0) {
      this.to.header(tag, 0);
      return;
    }
    this.to.header(tag, UNDEFINED);
    const extent = length === UNDEFINED ? 'delimited' : 'defined';
    const sequenceEnd = length === UNDEFINED ? end : this.from.at + length;
    while (this.#more(sequenceEnd, extent)) {
      const start = this.from.at;
      const item = this.#tag();
      const itemLength = this.from.take(4).readUInt32LE(0);
      if (item === SEQUENCE_END && extent === 'delimited') break;
      if (item !== ITEM || (itemLength !== UNDEFINED && itemLength > sequenceEnd - this.from.at)) throw unreadable(start);
      this.#item(itemLength, sequenceEnd, depth, encoding);
    }
    this.to.header(SEQUENCE_END, 0);
  }

  #item(length: number, end: number, depth: number, encoding: 'explicit' | 'implicit'): void {
    if (length === 0) {
      this.to.header(ITEM, 0);
      return;
    }
    this.to.header(ITEM, UNDEFINED);
    const extent = length === UNDEFINED ? 'delimited' : 'defined';
    const itemEnd = length === UNDEFINED ? end : this.from.at + length;
    if (encoding === 'explicit') this.elements(itemEnd, extent, depth + 1);
    else this.#implicitElements(itemEnd, extent, depth + 1);
    this.to.header(ITEM_END, 0);
  }

  #more(end: number, extent: Extent): boolean {
    return extent === 'delimited' || this.from.at < end;
  }

  #value(tag: number, length: number): void {
    this.to.header(tag, length);
    for (let left = length; left > 0;) {
      const bytes = this.from.take(Math.min(left, WINDOW));
      this.to.write(bytes);
      left -= bytes.length;
      this.progress(this.from.at);
    }
  }

  #skip(length: number): void {
    for (let left = length; left > 0; left -= Math.min(left, WINDOW)) this.from.take(Math.min(left, WINDOW));
  }

  #tag(): number {
    const bytes = this.from.take(4);
    return (bytes.readUInt16LE(0) << 16 | bytes.readUInt16LE(2)) >>> 0;
  }
}
