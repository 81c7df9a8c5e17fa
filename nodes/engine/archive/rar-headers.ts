/**
 * The headers of RAR 4 and RAR 5 archives, walked without unpacking: what unrar does not tell (links, raw names, how far the
 * archive reaches), and what is checked before anything is unpacked.
 */
import { crc32 } from 'node:zlib';
import type { ByteSource } from './byte-source';
import { RAR4_SIGNATURE, RAR5_SIGNATURE } from './format';

export interface RarHeader {
  /** Undefined where unrar decodes the name well: RAR 5 and RAR 4 with the Unicode flag. */
  readonly rawName: Buffer | undefined;
  /** `copy`: the archive holds the content once and this entry is a copy of an earlier one. */
  readonly link: 'none' | 'link' | 'copy';
  readonly nameBytes: number;
  /** False where the archive was made from a stream, so that nobody knew. */
  readonly sizeKnown: boolean;
  /** Bytes of the dictionary that unpacking allocates. */
  readonly dictionary: number;
}

/** Bytes that unrar is to see in the place of others. */
export interface RarMask {
  /** From the beginning of the file. */
  readonly position: number;
  readonly bytes: Buffer;
}

export interface RarVolume {
  readonly version: 4 | 5;
  readonly multiVolume: boolean;
  /** `x.part1.rar` rather than `x.rar`, `x.r00`. */
  readonly newNaming: boolean;
  readonly solid: boolean;
  readonly encryptedHeaders: boolean;
  /** False for a volume that continues another one. */
  readonly first: boolean;
  /** Files that begin in this volume; undefined where the headers are encrypted. */
  readonly files: readonly RarHeader[] | undefined;
  /** One for each header that is damaged but leads to the next one all the same: unrar stops at these, and steps over what it does not know. */
  readonly masks: readonly RarMask[];
  /** `more`: another volume follows. `cut`: the archive ends in the middle of something. `unknown`: nothing tells, as in encrypted headers and before RAR 3. */
  readonly end: 'end' | 'more' | 'cut' | 'unknown';
}

/** A header larger than unrar takes. */
const HEADER_MAX = 0x200000;

/** Damaged headers that are stepped over, and how long they may be: so much is kept in memory. */
const MASKS_MAX = 256;
const MASK_BYTES = 1 << 16;

class Cut extends Error {}

/** Data of an entry that is stepped over, from this many bytes on, is not read with the headers around it. */
const FAR = 1 << 16;
const NEAR = 1 << 12;

/** Reads headers: of a large archive on a network share these alone, of small entries many at a time. */
class Headers {
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;
  constructor(private readonly source: ByteSource) {}

  /** Good until the next call. */
  read(position: number, length: number): Buffer {
    const inside = position - this.#start;
    if (inside >= 0 && inside + length <= this.#bytes.length) return this.#bytes.subarray(inside, inside + length);
    const far = position - this.#end > FAR;
    this.#end = position + length;
    if (!far) return this.source.view(position, length);
    this.#start = position;
    this.#bytes = this.source.read(position, Math.max(length, NEAR));
    return this.#bytes.subarray(0, length);
  }
}

/** Reads numbers one after the other. */
class Cursor {
  at = 0;
  constructor(readonly bytes: Buffer) {}

  /** RAR 5's variable-length integer. */
  vint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new Cut();
  }

  byte(): number {
    const byte = this.bytes[this.at];
    if (byte === undefined) throw new Cut();
    this.at += 1;
    return byte;
  }

  u16(): number {
    return this.byte() + this.byte() * 0x100;
  }

  u32(): number {
    return this.u16() + this.u16() * 0x10000;
  }

  take(length: number): Buffer {
    if (this.at + length > this.bytes.length) throw new Cut();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

const UNKNOWN_TYPE_5 = 0x3f;
const REDIRECTION = 5;
const FILE_COPY = 5;

function readFile5(cursor: Cursor, extra: Buffer): RarHeader {
  const flags = cursor.vint();
  cursor.vint();
  cursor.vint();
  if ((flags & 2) !== 0) cursor.u32();
  if ((flags & 4) !== 0) cursor.u32();
  const compression = cursor.vint();
  cursor.vint();
  const nameBytes = cursor.vint();
  let link: RarHeader['link'] = 'none';
  const records = new Cursor(extra);
  while (records.at < extra.length) {
    const record = new Cursor(records.take(records.vint()));
    if (record.bytes.length > 0 && record.vint() === REDIRECTION) link = record.vint() === FILE_COPY ? 'copy' : 'link';
  }
  const folder = (flags & 1) !== 0;
  return { rawName: undefined, link, nameBytes, sizeKnown: (flags & 8) === 0, dictionary: folder ? 0 : 0x20000 * 2 ** ((compression >>> 10) & 0xf) };
}

/** Of RAR 5: what it says of itself is right. A header is CRC-32, length, and as many bytes. */
function isSound5(header: Buffer): boolean {
  try {
    const cursor = new Cursor(header);
    const crc = cursor.u32();
    const length = cursor.vint();
    return length > 0 && crc32(header.subarray(4, cursor.at + length)) === crc && cursor.at + length <= header.length;
  } catch (thrown) {
    if (thrown instanceof Cut) return false;
    throw thrown;
  }
}

/** Whether a sound header begins here. */
function isHeader5(source: ByteSource, at: number, end: number): boolean {
  try {
    const prefix = new Cursor(source.read(at, Math.min(16, Math.max(0, end - at))));
    prefix.u32();
    const length = prefix.vint();
    return length <= HEADER_MAX && isSound5(source.read(at, Math.min(prefix.at + length, end - at)));
  } catch (thrown) {
    if (thrown instanceof Cut) return false;
    throw thrown;
  }
}

/** A header of a type that nobody knows, as long as this one and with as much data behind it. */
function mask5(header: Buffer, dataLength: number): Buffer {
  const mask = Buffer.from(header);
  const cursor = new Cursor(mask);
  cursor.u32();
  cursor.vint();
  const fields = [UNKNOWN_TYPE_5, 2];
  for (let rest = dataLength, more = true; more; rest = Math.floor(rest / 128)) {
    more = rest >= 128;
    fields.push(rest % 128 | (more ? 128 : 0));
  }
  mask.fill(0, cursor.at);
  mask.set(fields, cursor.at);
  mask.writeUInt32LE(crc32(mask.subarray(4)), 0);
  return mask;
}

function walk5(source: ByteSource, start: number, bounds: { readonly end: number }): RarVolume {
  const files: RarHeader[] = [];
  const masks: RarMask[] = [];
  let volume = { multiVolume: false, solid: false, first: true };
  const told = (end: RarVolume['end'], encryptedHeaders = false): RarVolume => ({ version: 5, newNaming: true, ...volume, encryptedHeaders, files: encryptedHeaders ? undefined : files, masks, end });
  const headers = new Headers(source);
  for (let at = start + RAR5_SIGNATURE.length; at < bounds.end;) {
    const prefix = new Cursor(headers.read(at, Math.min(16, bounds.end - at)));
    let next: number;
    try {
      prefix.u32();
      const length = prefix.vint();
      if (length === 0 || length > HEADER_MAX || at + prefix.at + length > bounds.end) return told('cut');
      const header = new Cursor(Buffer.from(headers.read(at + prefix.at, length)));
      const type = header.vint();
      const flags = header.vint();
      const extraLength = (flags & 1) !== 0 ? header.vint() : 0;
      const dataLength = (flags & 2) !== 0 ? header.vint() : 0;
      next = at + prefix.at + length + dataLength;
      const whole = headers.read(at, prefix.at + length);
      if (type !== 1 && type !== 4 && type !== 5 && !isSound5(whole) && whole.length <= MASK_BYTES && masks.length < MASKS_MAX) {
        const mask = mask5(whole, dataLength);
        if (isHeader5(source, next, bounds.end)) {
          masks.push({ position: at, bytes: mask });
          at = next;
          continue;
        }
      }
      if (type === 4) return told('unknown', true);
      if (type === 5) return told((header.vint() & 1) !== 0 ? 'more' : 'end');
      if (type === 1) {
        const archive = header.vint();
        const number = (archive & 2) !== 0 ? header.vint() : 0;
        volume = { multiVolume: (archive & 1) !== 0, solid: (archive & 4) !== 0, first: number === 0 };
      } else if (type === 2 && (flags & 8) === 0) {
        files.push(readFile5(header, header.bytes.subarray(Math.max(0, header.bytes.length - extraLength))));
      }
    } catch (thrown) {
      if (thrown instanceof Cut) return told('cut');
      throw thrown;
    }
    if (next > bounds.end) return told('cut');
    at = next;
  }
  // Version 5 always has an end block, so entries are missing where there is none.
  return told('cut');
}

const UNKNOWN_TYPE_4 = 0x79;

/** Old RAR keeps the dictionary in three bits, from 64 kB; seven means a folder. */
function readFile4(header: Cursor, flags: number): RarHeader & { readonly packed: number } {
  let packed = header.u32();
  header.u32();
  const host = header.byte();
  header.take(8);
  header.take(2);
  const nameBytes = header.u16();
  const attributes = header.u32();
  if ((flags & 0x100) !== 0) {
    packed += header.u32() * 0x100000000;
    header.u32();
  }
  const name = header.take(nameBytes);
  const window = (flags >>> 5) & 7;
  return {
    packed, nameBytes, sizeKnown: true,
    rawName: (flags & 0x200) === 0 ? name : undefined,
    link: host === 3 && (attributes & 0xf000) === 0xa000 ? 'link' : 'none',
    dictionary: window === 7 ? 0 : 0x10000 * 2 ** window,
  };
}

/** Of RAR 4: what it says of itself is right. With a comment in it the checksum is of a part. */
function isSound4(header: Buffer): boolean {
  if (header.length < 7 || header.readUInt16LE(5) < 7 || header.readUInt16LE(5) > header.length) return false;
  return (header.readUInt16LE(3) & 8) !== 0 || (crc32(header.subarray(2, header.readUInt16LE(5))) & 0xffff) === header.readUInt16LE(0);
}

/** The same as `mask5`; undefined where there is more data than such a header can tell of. */
function mask4(header: Buffer, dataLength: number): Buffer | undefined {
  if (dataLength > 0xffffffff) return undefined;
  const mask = Buffer.from(header);
  mask[2] = UNKNOWN_TYPE_4;
  mask.writeUInt16LE(0x8000, 3);
  mask.fill(0, 7);
  mask.writeUInt32LE(dataLength, 7);
  mask.writeUInt16LE(crc32(mask.subarray(2)) & 0xffff, 0);
  return mask;
}

function walk4(source: ByteSource, start: number, bounds: { readonly end: number }): RarVolume {
  const files: RarHeader[] = [];
  const masks: RarMask[] = [];
  let volume = { multiVolume: false, newNaming: false, solid: false, first: true };
  const told = (end: RarVolume['end'], encryptedHeaders = false): RarVolume => ({ version: 4, ...volume, encryptedHeaders, files: encryptedHeaders ? undefined : files, masks, end });
  const headers = new Headers(source);
  for (let at = start + RAR4_SIGNATURE.length; at < bounds.end;) {
    const head = headers.read(at, Math.min(7, bounds.end - at));
    if (head.length < 7) return told(at + head.length === bounds.end ? 'cut' : 'unknown');
    const type = head[2]!;
    const flags = head.readUInt16LE(3);
    const size = head.readUInt16LE(5);
    if (size < 7 || at + size > bounds.end) return told('cut');
    if (type < 0x72 || type > 0x7b) return told('cut');
    let next = at + size;
    try {
      const header = new Cursor(Buffer.from(headers.read(at, size)));
      header.take(7);
      if (type === 0x7b) return told((flags & 1) !== 0 ? 'more' : 'end');
      if (type === 0x73) {
        volume = { multiVolume: (flags & 1) !== 0, newNaming: (flags & 0x10) !== 0, solid: (flags & 8) !== 0, first: true };
        if ((flags & 0x80) !== 0) return told('unknown', true);
      } else if (type === 0x74 || type === 0x7a) {
        const { packed, ...file } = readFile4(header, flags);
        next += packed;
        const leadsOn = (): boolean => next === bounds.end || (next < bounds.end && isSound4(source.read(next, Math.min(0xffff, bounds.end - next))));
        const mask = isSound4(header.bytes) || masks.length >= MASKS_MAX || !leadsOn() ? undefined : mask4(header.bytes, packed);
        if (mask !== undefined) masks.push({ position: at, bytes: mask });
        else if (type === 0x74 && (flags & 1) === 0) files.push(file);
        else if (type === 0x74 && files.length === 0) volume = { ...volume, first: false };
      } else if ((flags & 0x8000) !== 0) {
        next += header.u32();
      }
    } catch (thrown) {
      if (thrown instanceof Cut) return told('cut');
      throw thrown;
    }
    if (next > bounds.end) return told('cut');
    at = next;
  }
  // Before RAR 3 there was no end block.
  return told('unknown');
}

/** @param start where the signature stands. @returns undefined where there is none. */
export function readRarVolume(source: ByteSource, start: number, end = source.size): RarVolume | undefined {
  const signature = source.read(start, RAR5_SIGNATURE.length);
  if (signature.equals(RAR5_SIGNATURE)) return walk5(source, start, { end });
  if (signature.subarray(0, RAR4_SIGNATURE.length).equals(RAR4_SIGNATURE)) return walk4(source, start, { end });
  return undefined;
}
