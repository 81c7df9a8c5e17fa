/**
 * Where the data set of a file begins and how it is really encoded: from preamble, prefix and File Meta Information
 * (PS3.10, 7.1) where they are there and right, from the bytes where they are not.
 */
import { constants, inflateRawSync } from 'node:zlib';
import { EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, newHeader, readHeader, UNDEFINED } from './elements';
import type { Encoding } from './elements';
import { ByteSource, NeedMore, Unreadable } from './source';
import {
  EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, TRANSFER_SYNTAXES,
} from './transfer-syntaxes';
import { vrOf } from './vr';

export interface Layout {
  /** Bytes from the start of the file to the data set. */
  readonly dataSetOffset: number;
  /** Of the data set, after inflating where it is deflated. */
  readonly encoding: Encoding;
  readonly deflated: boolean;
  /** The one that the data set is really in: as written, unless the bytes prove otherwise. Empty where nothing tells. */
  readonly transferSyntaxUID: string;
  readonly mediaStorageSOPClassUID: string;
  readonly mediaStorageSOPInstanceUID: string;
  /** A prefix or File Meta Information was there, so the file means to be DICOM whatever follows. */
  readonly declared: boolean;
  /** Preamble, prefix and File Meta Information are all there, complete and true. */
  readonly part10: boolean;
}

const MEDIA_STORAGE_SOP_CLASS = 0x00020002;
const MEDIA_STORAGE_SOP_INSTANCE = 0x00020003;
const TRANSFER_SYNTAX = 0x00020010;
const PREFIX = 0x4449434d;
/** Nothing that tells where the data set begins is longer. */
const LONGEST_META_VALUE = 1 << 20;
/** So many elements in a row that make sense are no accident. */
const ENOUGH = 4;

interface Meta {
  readonly end: number;
  readonly sopClass: string;
  readonly sopInstance: string;
  readonly transferSyntax: string;
  readonly right: boolean;
}

/** The value as text, trailing NUL and spaces removed; at most `most` bytes of it are read. */
export function textAt(source: ByteSource, offset: number, length: number, most = 4096): string {
  const count = Math.min(length, most);
  const at = source.at(offset, count);
  let to = at + count;
  while (to > at && (source.bytes[to - 1] === 0 || source.bytes[to - 1] === 0x20)) to--;
  return source.bytes.toString('latin1', at, to);
}

/**
 * @returns undefined where nothing suggests DICOM.
 * @throws {Unreadable} where the file declares itself DICOM and then cannot be read. @throws {NeedMore}
 */
export function findLayout(source: ByteSource): Layout | undefined {
  const { size } = source;
  if (size < 8) return undefined;
  if (size >= 132 && prefixAt(source, 128)) {
    if (size >= 140 && groupTwoAt(source, 132)) return withMeta(source, 132, true);
    // The four letters also occur in the middle of a data set without preamble.
    const fromStart = sniff(source, 0);
    if (fromStart !== undefined) return bareLayout(0, fromStart, false);
    const bare = sniff(source, 132);
    if (bare !== undefined) return bareLayout(132, bare, true);
    throw new Unreadable(132, 'nothing that can be read follows the prefix');
  }
  if (size >= 12 && prefixAt(source, 0) && groupTwoAt(source, 4)) return withMeta(source, 4, false);
  if (groupTwoAt(source, 0)) return withMeta(source, 0, false);
  const bare = sniff(source, 0);
  return bare === undefined ? undefined : bareLayout(0, bare, false);
}

function prefixAt(source: ByteSource, offset: number): boolean {
  const at = source.at(offset, 4);
  return source.bytes.readUInt32BE(at) === PREFIX;
}

/** Whether File Meta Information begins here; some writers leave out its group length, some the VRs. */
function groupTwoAt(source: ByteSource, offset: number): boolean {
  const at = source.at(offset, 8);
  const { bytes } = source;
  if (bytes.readUInt16LE(at) !== 2 || bytes.readUInt16LE(at + 2) > 0x102) return false;
  return vrOf(bytes[at + 4]!, bytes[at + 5]!) !== undefined || bytes.readUInt32LE(at + 4) <= 1024;
}

function bareLayout(dataSetOffset: number, encoding: Encoding, declared: boolean): Layout {
  return {
    dataSetOffset, encoding, deflated: false, transferSyntaxUID: syntaxOf(encoding),
    mediaStorageSOPClassUID: '', mediaStorageSOPInstanceUID: '', declared, part10: false,
  };
}

const syntaxOf = ({ explicit, bigEndian }: Encoding): string =>
  bigEndian ? EXPLICIT_VR_BIG_ENDIAN : explicit ? EXPLICIT_VR_LITTLE_ENDIAN : IMPLICIT_VR_LITTLE_ENDIAN;

function withMeta(source: ByteSource, start: number, preamble: boolean): Layout {
  const meta = readMeta(source, start);
  const facts = {
    dataSetOffset: meta.end, mediaStorageSOPClassUID: meta.sopClass, mediaStorageSOPInstanceUID: meta.sopInstance, declared: true,
  };
  const known = TRANSFER_SYNTAXES.get(meta.transferSyntax);
  const complete = preamble && meta.right;
  if (meta.end >= source.size) {
    return { ...facts, encoding: EXPLICIT_LITTLE, deflated: false, transferSyntaxUID: meta.transferSyntax, part10: complete };
  }
  if (known?.deflated === true) {
    if (inflates(source, meta.end)) return { ...facts, encoding: EXPLICIT_LITTLE, deflated: true, transferSyntaxUID: known.uid, part10: complete };
    const found = sniff(source, meta.end);
    if (found === undefined) throw new Unreadable(meta.end, 'the deflated data set cannot be inflated');
    return { ...facts, encoding: found, deflated: false, transferSyntaxUID: syntaxOf(found), part10: false };
  }
  const claimed: Encoding | undefined = known === undefined ? undefined : { explicit: known.explicit, bigEndian: known.bigEndian };
  // Without a Transfer Syntax UID the default one holds (PS3.5, 10.1); private ones are mostly a codec within explicit data sets.
  const presumed = claimed ?? (meta.transferSyntax === '' ? IMPLICIT_LITTLE : EXPLICIT_LITTLE);
  const encoding = sniff(source, meta.end, presumed) ?? presumed;
  const same = claimed !== undefined && claimed.explicit === encoding.explicit && claimed.bigEndian === encoding.bigEndian;
  // An unknown UID may well be true; a known one that is contradicted is replaced, if it does not tell of a codec too.
  const truth = same || meta.transferSyntax !== '' && (known === undefined || known.encapsulated);
  return { ...facts, encoding, deflated: false, transferSyntaxUID: truth ? meta.transferSyntax : syntaxOf(encoding), part10: complete && truth };
}

/**
 * Reads File Meta Information to the first element of another group. Its group length is compared, and ends it where what
 * follows cannot belong to it: many writers have left it at 0 or have added elements without counting them.
 */
function readMeta(source: ByteSource, start: number): Meta {
  const first = source.at(start, 8);
  const encoding = vrOf(source.bytes[first + 4]!, source.bytes[first + 5]!) === undefined ? IMPLICIT_LITTLE : EXPLICIT_LITTLE;
  const header = newHeader();
  const values = new Map<number, string>();
  let at = start;
  let announced = -1;
  let previous = -1;
  while (at + 8 <= source.size) {
    const index = source.at(at, 8);
    const { bytes } = source;
    if (bytes.readUInt16LE(index) !== 2) break;
    const further = 0x00020000 + bytes.readUInt16LE(index + 2) > previous && encoding.explicit && vrOf(bytes[index + 4]!, bytes[index + 5]!) !== undefined;
    if (at === announced && !further) break;
    readHeader(source, at, source.size, encoding, header);
    const { tag, headerLength, length } = header;
    previous = tag;
    if (length === UNDEFINED || length > LONGEST_META_VALUE) throw new Unreadable(at, 'the File Meta Information cannot be read');
    const next = at + headerLength + length;
    if (next > source.size) throw new Unreadable(at, 'the File Meta Information is cut off');
    if (tag === 0x00020000 && length === 4) announced = next + source.bytes.readUInt32LE(source.at(at + headerLength, 4));
    else if (tag === MEDIA_STORAGE_SOP_CLASS || tag === MEDIA_STORAGE_SOP_INSTANCE || tag === TRANSFER_SYNTAX) {
      values.set(tag, textAt(source, at + headerLength, length));
    }
    at = next;
  }
  const sopClass = values.get(MEDIA_STORAGE_SOP_CLASS) ?? '';
  const sopInstance = values.get(MEDIA_STORAGE_SOP_INSTANCE) ?? '';
  const transferSyntax = values.get(TRANSFER_SYNTAX) ?? '';
  const right = announced === at && encoding.explicit && sopClass !== '' && sopInstance !== '' && transferSyntax !== '';
  return { end: at, sopClass, sopInstance, transferSyntax, right };
}

/** Whether a deflated data set begins here: a part of it inflates to an explicit element. */
function inflates(source: ByteSource, offset: number): boolean {
  const count = Math.min(2048, source.size - offset);
  const at = source.at(offset, count);
  try {
    const start = inflateRawSync(source.bytes.subarray(at, at + count), { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 4 << 20 });
    return start.length === 0 || vrOf(start[4] ?? 0, start[5] ?? 0) !== undefined;
  } catch {
    return false;
  }
}

/**
 * The encoding in which the bytes read as a data set. What is claimed wins unless another reading makes sense where it
 * does not. Without a claim the bytes have to be convincing: a file of any other kind must not pass.
 */
function sniff(source: ByteSource, offset: number, claimed?: Encoding): Encoding | undefined {
  // Explicit goes before a claim of Implicit: an implicit data set never reads as explicit, where two letters would be a length.
  const encodings = claimed === undefined ? [EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE]
    : claimed.explicit ? [claimed, EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG]
      : [EXPLICIT_LITTLE, claimed, EXPLICIT_BIG];
  let best = claimed;
  let bestScore = 0;
  for (const encoding of encodings) {
    const score = sense(source, offset, encoding, claimed === undefined);
    if (score >= ENOUGH) return encoding;
    if (score > bestScore || score === bestScore && encoding === claimed) {
      best = encoding;
      bestScore = score;
    }
  }
  return claimed === undefined ? undefined : best;
}

/** How many elements in a row, up to ENOUGH, make sense: in ascending order, in the file, with a VR that exists. */
function sense(source: ByteSource, offset: number, encoding: Encoding, strict: boolean): number {
  const header = newHeader();
  let score = 0;
  let at = offset;
  let previous = -1;
  try {
    while (score < ENOUGH && at < source.size) {
      const index = source.at(at, Math.min(12, source.size - at));
      if (encoding.explicit && vrOf(source.bytes[index + 4] ?? 0, source.bytes[index + 5] ?? 0) === undefined) return score;
      readHeader(source, at, source.size, encoding, header);
      const { tag, headerLength, length } = header;
      const group = tag >>> 16;
      if (tag <= previous || group === 0 || group === 0xfffe) return score;
      // A data set without meta begins with group 0008 (a DICOMDIR with 0004); its values before pixel data are short.
      if (strict && (previous < 0 ? group !== 0x0008 && group !== 0x0004 : group > 0x0020)) return score;
      if (length !== UNDEFINED && at + headerLength + length > source.size) return score;
      if (strict && length !== UNDEFINED && length > 1 << 16) return score;
      score++;
      if (length === UNDEFINED) return header.vr === undefined || header.vr === 'SQ' || header.vr === 'UN' ? ENOUGH : score;
      previous = tag;
      at += headerLength + length;
    }
    return at === source.size && score > 0 && !strict ? ENOUGH : score;
  } catch (thrown) {
    if (thrown instanceof NeedMore) return score > 0 ? ENOUGH : 0;
    if (thrown instanceof Unreadable) return score;
    throw thrown;
  }
}
