/**
 * Elements that a wrong length has taken into the value before them: they would travel inside a number or a stream of bytes,
 * where nobody decides about them.
 */
import { dictionaryVr } from './dictionary';
import { elementEnd, isItemTag, newHeader, readHeader } from './elements';
import type { Encoding } from './elements';
import { ByteSource, NeedMore, Unreadable } from './source';
import { hasLongHeader, vrOf } from './vr';

/** Bytes at the end and at the beginning of a value that are looked at. */
export const MOST_LOOKED_AT = 256 << 10;

/** VRs of words and UIDs: what a short value of them holds can be told from numbers. */
const WORDY: ReadonlySet<string> = new Set(['AE', 'CS', 'DA', 'DT', 'LO', 'LT', 'PN', 'SH', 'ST', 'TM', 'UC', 'UI', 'UR', 'UT']);
/** Of these, the ones that are ASCII whatever the character set (PS3.5, 6.1.2.3). */
const ASCII: ReadonlySet<string> = new Set(['AE', 'CS', 'DA', 'DT', 'TM', 'UI', 'UR']);
const SHORTEST_WORD = 4;
const LONGEST_LOOKED_AT = 64;

/**
 * Whether the last bytes of a value of the element `tag` read as whole elements that could follow it: in ascending order, up
 * to its very end, at least one with a value; or whether an element of words that the dictionary knows stands anywhere in
 * them. `value` as it stands in the file.
 */
export function carriesElements(value: Buffer, tag: number, encoding: Encoding): boolean {
  let source: ByteSource | undefined;
  for (let at = 0; at + 8 < value.length; at += 1) {
    if (isWordy(value, at, encoding)) return true;
    if (at % 2 !== value.length % 2 || !mayBegin(value, at, tag, encoding)) continue;
    source ??= ByteSource.prefix(value, value.length);
    if (isChain(source, at, tag, encoding)) return true;
  }
  return false;
}

/** Whether an element of words begins here: its tag and VR as in the dictionary, or private, and its value printable as far as it is there. */
function isWordy(bytes: Buffer, at: number, { explicit, bigEndian }: Encoding): boolean {
  // Groups up to 00ff, which are nearly all; the rest costs one comparison.
  if (bytes[bigEndian ? at : at + 1] !== 0) return false;
  const written = explicit ? vrOf(bytes[at + 4]!, bytes[at + 5]!) : undefined;
  if (explicit && (written === undefined || written !== 'UN' && !WORDY.has(written))) return false;
  const tag = bigEndian ? bytes.readUInt16BE(at) * 65_536 + bytes.readUInt16BE(at + 2) : bytes.readUInt16LE(at) * 65_536 + bytes.readUInt16LE(at + 2);
  const foreign = explicit && (tag >>> 16) % 2 === 1 && (tag & 0xffff) >= 0x10;
  const vr = foreign ? written : dictionaryVr(tag);
  if (vr === undefined || !foreign && !WORDY.has(vr) || written !== undefined && written !== vr) return false;
  const long = explicit && hasLongHeader(vr);
  const start = at + (long ? 12 : 8);
  if (start > bytes.length) return false;
  const short = explicit && !long;
  const length = short ? (bigEndian ? bytes.readUInt16BE(start - 2) : bytes.readUInt16LE(start - 2)) : bigEndian ? bytes.readUInt32BE(start - 4) : bytes.readUInt32LE(start - 4);
  if (Math.min(bytes.length - start, length) < SHORTEST_WORD || !explicit && length > bytes.length) return false;
  // Tag and VR that agree are no chance; a tag and a length could be.
  return explicit && !foreign || isPrintable(bytes, start, length, vr);
}

/**
 * Whether the value of a VR of words can be one, as far as it is there. 0xff is the upper half of small negative numbers, which
 * signals are full of, and hardly in a text of any character set.
 */
function isPrintable(bytes: Buffer, start: number, length: number, vr: string): boolean {
  const end = Math.min(bytes.length, start + Math.min(length, LONGEST_LOOKED_AT));
  const most = ASCII.has(vr) ? 0x7e : 0xfe;
  for (let i = start; i < end; i += 1) {
    const code = bytes[i]!;
    if (code > most || code < 0x20 && !(code === 0 && i >= end - 2)) return false;
  }
  return true;
}

/** What can be said from eight bytes, which is enough for nearly every place. */
function mayBegin(value: Buffer, at: number, owner: number, { explicit, bigEndian }: Encoding): boolean {
  if (explicit && vrOf(value[at + 4]!, value[at + 5]!) === undefined) return false;
  const tag = bigEndian
    ? value.readUInt16BE(at) * 65_536 + value.readUInt16BE(at + 2)
    : value.readUInt16LE(at) * 65_536 + value.readUInt16LE(at + 2);
  if (tag <= owner || isItemTag(tag) || !isKnown(tag)) return false;
  if (explicit) return true;
  // A group length would be any two small numbers of four bytes; what it is of begins behind it.
  if (tag % 65_536 === 0) return false;
  const length = bigEndian ? value.readUInt32BE(at + 4) : value.readUInt32LE(at + 4);
  if (length !== 0xffffffff && at + 8 + length > value.length) return false;
  return (tag >>> 16) % 2 === 0 || isPrintable(value, at + 8, length, 'LO');
}

/**
 * Whether elements can be told from bytes that happen to read as one by its tag: of the standard, or a private creator, which
 * comes before what is private (PS3.5, 7.8.1). Two letters and a length alone stand in every surface of some size.
 */
const isKnown = (tag: number): boolean => dictionaryVr(tag) !== undefined;

function isChain(source: ByteSource, start: number, owner: number, encoding: Encoding): boolean {
  const header = newHeader();
  let previous = owner;
  let filled = false;
  try {
    for (let at = start; at < source.size;) {
      const tag = readHeader(source, at, source.size, encoding, header);
      if (tag <= previous || isItemTag(tag)) return false;
      if (header.length !== 0) filled = true;
      previous = tag;
      at = elementEnd(source, at, source.size, encoding, header);
    }
    return filled;
  } catch (thrown) {
    if (thrown instanceof Unreadable || thrown instanceof NeedMore) return false;
    throw thrown;
  }
}
