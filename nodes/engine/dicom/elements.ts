/** The lowest layer that knows data elements (PS3.5, 7): headers, lengths, and where an element ends. */
import { ByteSource, Unreadable } from './source';
import { isLongVr, looksLikeVr, vrOf } from './vr';

export interface Encoding {
  readonly explicit: boolean;
  readonly bigEndian: boolean;
}

export const EXPLICIT_LITTLE: Encoding = { explicit: true, bigEndian: false };
export const IMPLICIT_LITTLE: Encoding = { explicit: false, bigEndian: false };
export const EXPLICIT_BIG: Encoding = { explicit: true, bigEndian: true };

export const ITEM = 0xfffee000;
export const ITEM_DELIMITATION = 0xfffee00d;
export const SEQUENCE_DELIMITATION = 0xfffee0dd;
export const PIXEL_DATA = 0x7fe00010;

/** Whether a tag is of items and delimiters, which stand nowhere else (PS3.5, 7.5). */
export const isItemTag = (tag: number): boolean => tag >= 0xfffe0000 && tag <= 0xfffeffff;

/** Deeper nesting than any object of the standard has; more is an attack. */
export const DEEPEST = 512;
/** In place of a length that is undefined (0xFFFFFFFF). */
export const UNDEFINED = -1;

/** One header as read; reused, so that reading allocates nothing. */
export interface Header {
  tag: number;
  /** As written; `UN` where it is written so or as something that the standard does not know; undefined in Implicit VR. */
  vr: string | undefined;
  /** Bytes from the element's first byte to its value. */
  headerLength: number;
  /** Bytes of the value, or UNDEFINED. */
  length: number;
}

export const newHeader = (): Header => ({ tag: 0, vr: undefined, headerLength: 0, length: 0 });

function tagAt(bytes: Buffer, at: number, bigEndian: boolean): number {
  return bigEndian
    ? (bytes[at]! << 8 | bytes[at + 1]!) * 65_536 + (bytes[at + 2]! << 8 | bytes[at + 3]!)
    : (bytes[at + 1]! << 8 | bytes[at]!) * 65_536 + (bytes[at + 3]! << 8 | bytes[at + 2]!);
}

function lengthAt(bytes: Buffer, at: number, bigEndian: boolean): number {
  const length = bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
  return length === 0xffffffff ? UNDEFINED : length;
}

/**
 * Reads the header of the element at `offset`, of a data set or item that ends at `end` at the latest; gives its tag.
 * @throws {Unreadable}
 */
export function readHeader(source: ByteSource, offset: number, end: number, encoding: Encoding, header: Header): number {
  const room = end - offset;
  if (room < 8) throw new Unreadable(offset, 'an element header is cut off');
  const at = source.at(offset, room < 12 ? 8 : 12);
  const { bytes } = source;
  const { bigEndian } = encoding;
  const tag = tagAt(bytes, at, bigEndian);
  header.tag = tag;
  header.headerLength = 8;
  if (!encoding.explicit || isItemTag(tag)) {
    header.vr = undefined;
    header.length = lengthAt(bytes, at + 4, bigEndian);
    return tag;
  }
  const first = bytes[at + 4]!;
  const second = bytes[at + 5]!;
  const vr = vrOf(first, second);
  if (vr === undefined) {
    readOddHeader(source, offset, end, encoding, header, looksLikeVr(first, second));
  } else if (isLongVr(first, second)) {
    if (room < 12) throw new Unreadable(offset, 'an element header is cut off');
    header.vr = vr;
    header.headerLength = 12;
    header.length = lengthAt(bytes, at + 8, bigEndian);
  } else {
    header.vr = vr;
    header.length = bigEndian ? bytes.readUInt16BE(at + 6) : bytes.readUInt16LE(at + 6);
  }
  return tag;
}

/**
 * An explicit header whose VR the standard does not know. Later VRs have the long header (PS3.5, 7.1.2, note); writers in the
 * field also leave out the VR or fill it with rubbish before a short length. The reading counts that ends where another
 * element begins.
 */
function readOddHeader(source: ByteSource, offset: number, end: number, encoding: Encoding, header: Header, capital: boolean): void {
  const room = end - offset;
  const at = source.at(offset, room < 12 ? 8 : 12);
  const { bytes } = source;
  const { bigEndian } = encoding;
  const short = bigEndian ? bytes.readUInt16BE(at + 6) : bytes.readUInt16LE(at + 6);
  const implicit = lengthAt(bytes, at + 4, bigEndian);
  const long = room < 12 ? UNDEFINED : lengthAt(bytes, at + 8, bigEndian);
  const readings: Array<readonly [headerLength: number, length: number]> = capital ? [[12, long], [8, short]] : [[8, short], [12, long], [8, implicit]];
  for (const [headerLength, length] of readings) {
    if (length === UNDEFINED || !landsWell(source, offset + headerLength + length, end, encoding, header.tag)) continue;
    header.vr = 'UN';
    header.headerLength = headerLength;
    header.length = length;
    return;
  }
  throw new Unreadable(offset, 'an element has a Value Representation that nobody knows');
}

/** Whether a data set or item that ends at `end` can go on at `offset` after `previous`. */
function landsWell(source: ByteSource, offset: number, end: number, encoding: Encoding, previous: number): boolean {
  if (offset === end) return true;
  if (offset + 8 > end) return false;
  const at = source.at(offset, 8);
  const tag = tagAt(source.bytes, at, encoding.bigEndian);
  if (tag === ITEM_DELIMITATION) return true;
  return tag > previous && vrOf(source.bytes[at + 4]!, source.bytes[at + 5]!) !== undefined;
}

/** Whether an element of undefined length holds fragments (PS3.5, A.4) rather than items of data sets. */
export function holdsFragments({ vr, tag }: Header): boolean {
  return vr === undefined ? tag === PIXEL_DATA : vr !== 'SQ' && vr !== 'UN';
}

/** The encoding of what is inside a sequence: UN of undefined length is Implicit VR Little Endian (PS3.5, 6.2.2, CP-246). */
export function innerEncoding(vr: string | undefined, encoding: Encoding): Encoding {
  return vr === 'UN' ? IMPLICIT_LITTLE : encoding;
}

/**
 * Where the element ends whose header was read at `offset`. What has a defined length is jumped over.
 * @throws {Unreadable}
 */
export function elementEnd(source: ByteSource, offset: number, end: number, encoding: Encoding, header: Header, depth = 0): number {
  const start = offset + header.headerLength;
  if (header.length !== UNDEFINED) {
    if (start + header.length > end) throw new Unreadable(offset, 'an element is longer than what it lies in');
    return start + header.length;
  }
  const { vr } = header;
  if (vr !== undefined && vr !== 'SQ' && vr !== 'UN' && vr !== 'OB' && vr !== 'OW') {
    throw new Unreadable(offset, 'an element has an undefined length that its Value Representation does not allow');
  }
  return itemsEnd(source, start, end, innerEncoding(vr, encoding), holdsFragments(header), depth + 1);
}

/** Where a sequence of undefined length ends, after its delimiter, given the offset of its first item. */
function itemsEnd(source: ByteSource, offset: number, end: number, encoding: Encoding, fragments: boolean, depth: number): number {
  if (depth > DEEPEST) throw new Unreadable(offset, 'sequences are nested too deeply');
  const header = newHeader();
  let at = offset;
  for (;;) {
    const tag = readHeader(source, at, end, encoding, header);
    if (tag === SEQUENCE_DELIMITATION) return at + 8;
    if (tag !== ITEM) throw new Unreadable(at, 'a sequence holds something that is not an item');
    if (header.length !== UNDEFINED) {
      if (at + 8 + header.length > end) throw new Unreadable(at, 'an item is longer than what it lies in');
      at += 8 + header.length;
    } else if (fragments) {
      throw new Unreadable(at, 'a fragment has an undefined length');
    } else {
      at += 8;
      for (;;) {
        const inner = readHeader(source, at, end, encoding, header);
        if (inner === ITEM_DELIMITATION) break;
        if (isItemTag(inner)) throw new Unreadable(at, 'an item is not delimited');
        at = elementEnd(source, at, end, encoding, header, depth);
      }
      at += 8;
    }
  }
}

export interface TopLevelElement {
  readonly tag: number;
  readonly vr: string | undefined;
  readonly offset: number;
  readonly valueOffset: number;
  /** Bytes of the value; undefined for an undefined length. */
  readonly length: number | undefined;
  /** Offset after the element. */
  readonly end: number;
}

/**
 * The top-level elements of a data set in memory, in order.
 * @throws {Unreadable} where it cannot be read on.
 */
export function* topLevelElements(bytes: Buffer, offset: number, encoding: Encoding): Generator<TopLevelElement> {
  const source = ByteSource.prefix(bytes, bytes.length);
  const header = newHeader();
  for (let at = offset; at < bytes.length;) {
    readHeader(source, at, bytes.length, encoding, header);
    const { tag, vr, headerLength, length } = header;
    const end = elementEnd(source, at, bytes.length, encoding, header);
    yield { tag, vr, offset: at, valueOffset: at + headerLength, length: length === UNDEFINED ? undefined : length, end };
    at = end;
  }
}
