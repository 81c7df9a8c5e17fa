/**
 * The central directory of a zip file (APPNOTE 6.3.10): the only place that is believed. Local headers are asked for nothing
 * but where the data begins, and which of two entries is damaged that claim the same bytes.
 */
import { ExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import { BLOCK, giveBlock, takeBlock } from '../memory';
import type { ByteSource } from './byte-source';
import { sniff } from './format';
import type { RawName } from './names';
import { RATIO_FROM } from './settings';
import type { ExtractLimits } from './settings';
import { readExtras } from './zip-extras';
import { evidenceFor, isLocalHeader, isLocked, LOCAL_SIZE } from './zip-local';
import { isSupported } from './zip-methods';

export interface AesParameters {
  /** AE-1 keeps the CRC-32, AE-2 has the authentication code alone. */
  readonly version: 1 | 2;
  /** Bytes of the key: 16, 24 or 32. */
  readonly keyLength: number;
}

export interface ZipEntry {
  readonly name: RawName;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  /** Of the local header, within all volumes together. */
  readonly offset: number;
  readonly encryption: 'none' | 'zipcrypto' | 'aes' | 'unknown';
  readonly aes?: AesParameters;
  /** The byte that a ZipCrypto password is checked against (APPNOTE 6.1.6). */
  readonly check: number;
  /** Why the entry is not unpacked, known before a byte of it is read. */
  readonly refused?: ErrorCode;
}

export interface ZipDirectory {
  readonly entries: readonly ZipEntry[];
  /** Data of entries ends here. */
  readonly end: number;
}

const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const END_MARK = Buffer.from('504b0506', 'hex');
const CENTRAL_MARK = Buffer.from('504b0102', 'hex');
const END_SIZE = 22;
const END64_SIZE = 56;
const LOCATOR64_SIZE = 20;
/** Of a record of the directory, without name, extra field and comment. */
const RECORD_SIZE = 46;
const COMMENT_MAX = 0xffff;
/** Of `PK00` or the mark of a split set (APPNOTE 8.5.4, 8.5.5). */
const MARK_SIZE = 4;
/** Foreign bytes behind the end record that it is looked for in front of: what padding and downloads leave. */
const TRAILING_MAX = 1 << 24;
/** End records that are looked at: a file made of nothing else would take minutes. */
const CANDIDATES_MAX = 20_000;
/** Bytes of the directory per entry that are read at most, on average: long names and extra fields for all only exist to hurt. */
const BYTES_PER_ENTRY = 512;

/** What is there of an entry whose record is damaged. */
const LOST: ZipEntry = { name: { bytes: Buffer.alloc(0), utf8: false }, method: 0, crc: 0, packed: 0, size: 0, offset: 0, encryption: 'none', check: 0, refused: 'ENTRY_DAMAGED' };

const damaged = (): ExdicomError => new ExdicomError('ARCHIVE_DAMAGED');

interface End {
  readonly count: number;
  readonly size: number;
  /** Of the central directory, as written. */
  readonly offset: number;
  readonly disk: number;
  readonly directoryDisk: number;
  /** Where the end record (the zip64 one, where there is one) begins. */
  readonly position: number;
  readonly zip64: boolean;
}

/** The end record's values; the zip64 record replaces those that did not fit (APPNOTE 4.3.14). */
function readEnd(source: ByteSource, at: number): End | undefined {
  const record = source.read(at, END_SIZE);
  const plain: End = {
    disk: record.readUInt16LE(4), directoryDisk: record.readUInt16LE(6), count: record.readUInt16LE(10),
    size: record.readUInt32LE(12), offset: record.readUInt32LE(16), position: at, zip64: false,
  };
  const locator = source.read(Math.max(0, at - LOCATOR64_SIZE), LOCATOR64_SIZE);
  if (at < LOCATOR64_SIZE || locator.readUInt32LE(0) !== LOCATOR64) return plain;
  const stated = Number(locator.readBigUInt64LE(8)) + (source.volumeStart(locator.readUInt32LE(4)) ?? 0);
  // Bytes in front of the archive shift the record; it then ends where the locator begins.
  for (const position of [stated, at - LOCATOR64_SIZE - END64_SIZE]) {
    if (!Number.isSafeInteger(position) || position < 0) continue;
    const wide = source.read(position, END64_SIZE);
    if (wide.length === END64_SIZE && wide.readUInt32LE(0) === END64) {
      return {
        disk: wide.readUInt32LE(16), directoryDisk: wide.readUInt32LE(20), count: Number(wide.readBigUInt64LE(32)),
        size: Number(wide.readBigUInt64LE(40)), offset: Number(wide.readBigUInt64LE(48)), position, zip64: true,
      };
    }
  }
  return undefined;
}

interface Placed {
  readonly position: number;
  /** Added to what is written of where something is. */
  readonly shift: number;
}

/** Where the directory begins: as written, or shifted by the bytes that were put in front of the archive. */
function placeDirectory(source: ByteSource, end: End): Placed | undefined {
  const first = source.volumeStart(end.directoryDisk);
  const written = first === undefined ? undefined : first + end.offset;
  const touching = end.position - end.size;
  for (const position of [touching, written]) {
    if (position === undefined || position < 0 || position + end.size > end.position) continue;
    // Nearer to the beginning than it was written: bytes in front of it are missing.
    if (written !== undefined && position < written) continue;
    // The first record may be the one that is damaged.
    if (end.size === 0 || touching === written || source.read(position, 4).equals(CENTRAL_MARK)) {
      // On the first of several disks it is an archive of its own, whatever stands in front of it.
      return { position, shift: (source.volumes > 1 && end.disk > 0) || written === undefined ? 0 : position - written };
    }
  }
  return undefined;
}

/**
 * Whether this is the directory of an archive that lies in another one as it is: the file begins as a zip, and that beginning
 * belongs to nothing in the directory. The outer one is cut off, or has it in its comment.
 */
function isInner(source: ByteSource, { shift }: Placed): boolean {
  // The mark of a set that became one file stands in front, counted or not. By whole 4 GiB the offsets of macOS are short; with a whole volume in front, that one is no part of it.
  if (shift <= MARK_SIZE || shift % 2 ** 32 === 0 || Array.from({ length: source.volumes }, (_, i) => source.volumeStart(i)).includes(shift)) return false;
  const found = sniff(source.read(0, 4));
  return found.kind === 'archive' && found.format === 'zip';
}

/** Where end records may begin, from the back: those in the last `bytes`. */
function* endPositions(source: ByteSource, bytes: number): Generator<number> {
  const bottom = Math.max(0, source.size - bytes);
  // One that goes on in the block behind is found here.
  const more = END_MARK.length - 1;
  const room = takeBlock();
  try {
    for (let to = source.size; to > bottom;) {
      const from = Math.max(bottom, to - BLOCK + more);
      const block = room.subarray(0, source.readInto(room.subarray(0, to - from + more), from));
      for (let at = block.lastIndexOf(END_MARK); at >= 0; at = at === 0 ? -1 : block.lastIndexOf(END_MARK, at - 1)) {
        if (from + at + END_SIZE <= source.size) yield from + at;
      }
      to = from;
    }
  } finally {
    giveBlock(room);
  }
}

/**
 * Finds the end record from the back. Its signature may stand in the comment too, so a candidate counts only when its
 * comment ends with the file and a directory lies where it says; then one that is followed by foreign bytes.
 */
function findEnd(source: ByteSource): Placed & { readonly end: End } {
  let volumesMissing = false;
  let inner = false;
  for (const [bytes, strict] of [[END_SIZE + COMMENT_MAX, true], [END_SIZE + TRAILING_MAX, false]] as const) {
    let candidates = 0;
    for (const at of endPositions(source, bytes)) {
      if ((at + END_SIZE + source.read(at + END_SIZE - 2, 2).readUInt16LE(0) === source.size) !== strict) continue;
      candidates += 1;
      if (candidates > CANDIDATES_MAX) break;
      const end = readEnd(source, at);
      if (end === undefined) continue;
      if (source.volumes < end.disk + 1 && end.disk < 0xffff && source.volumes === 1) { volumesMissing = true; continue; }
      const placed = placeDirectory(source, end);
      if (placed !== undefined && isInner(source, placed)) inner = true;
      else if (placed !== undefined) return { end, ...placed };
      if (source.volumes < end.disk + 1) volumesMissing = true;
    }
    // Of an archive that ends with another one, what comes before it is not all there is.
    if (inner) break;
  }
  throw volumesMissing ? new ExdicomError('MISSING_VOLUME') : damaged();
}

const AES_KEYS: Readonly<Record<number, number>> = { 1: 16, 2: 24, 3: 32 };

interface Place {
  /** Of the directory. */
  readonly position: number;
  /** Where a local header is by what the directory writes of it, counted from the beginning of its disk. */
  readonly offsetOf: (written: number, packed: number) => number;
}

/**
 * Beyond 4 GiB macOS writes no zip64 but the lower 32 bits of each offset. The entries follow one another as in the
 * directory, so each is at the next place that fits and has a local header.
 */
function unwrapped(source: ByteSource, end: number): Place['offsetOf'] {
  let free = 0;
  return (written, packed) => {
    for (let offset = written; offset + LOCAL_SIZE <= end; offset += 2 ** 32) {
      if (offset < free || !isLocalHeader(source.read(offset, 4))) continue;
      free = offset + LOCAL_SIZE + packed;
      return offset;
    }
    return written;
  };
}

/** The entry at `at`, or undefined for a folder. */
function readEntry(directory: Buffer, at: number, source: ByteSource, place: Place, limits: ExtractLimits): ZipEntry | undefined {
  const flags = directory.readUInt16LE(at + 8);
  const nameLength = directory.readUInt16LE(at + 28);
  const extraLength = directory.readUInt16LE(at + 30);
  // A copy, since the directory itself is dropped when all of it is read.
  const bytes = Buffer.from(directory.subarray(at + RECORD_SIZE, at + RECORD_SIZE + Math.min(nameLength, limits.nameBytes)));
  const extras = readExtras(directory.subarray(at + RECORD_SIZE + nameLength, at + RECORD_SIZE + nameLength + extraLength));
  let method = directory.readUInt16LE(at + 10);
  let refused: ErrorCode | undefined;

  let packed = directory.readUInt32LE(at + 20);
  let size = directory.readUInt32LE(at + 24);
  let offset = directory.readUInt32LE(at + 42);
  let disk = directory.readUInt16LE(at + 34);
  // Only values that did not fit are in the zip64 field, in this order (APPNOTE 4.5.3).
  let next = 0;
  const wide = (): number => {
    if (extras.zip64 === undefined || extras.zip64.length < next + 8) { refused = 'ENTRY_DAMAGED'; return 0; }
    const value = extras.zip64.readBigUInt64LE(next);
    next += 8;
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) { refused = 'ENTRY_DAMAGED'; return 0; }
    return Number(value);
  };
  if (size === 0xffffffff) size = wide();
  if (packed === 0xffffffff) packed = wide();
  if (offset === 0xffffffff) offset = wide();
  if (disk === 0xffff && extras.zip64 !== undefined && extras.zip64.length >= next + 4) disk = extras.zip64.readUInt32LE(next);

  const host = directory[at + 5]!;
  const attributes = directory.readUInt32LE(at + 38);
  const last = bytes.at(-1);
  const folder = last === 0x2f || (last === 0x5c && (attributes & 0x10) !== 0) || (host !== 3 && (attributes & 0x10) !== 0);
  // What calls itself a folder but holds data is looked at like any other entry.
  if (folder && size === 0) return undefined;

  let encryption: ZipEntry['encryption'] = 'none';
  let aes: AesParameters | undefined;
  if ((flags & 1) !== 0) {
    encryption = 'zipcrypto';
    if ((flags & 0x40) !== 0) encryption = 'unknown';
    else if (method === 99) {
      const keyLength = extras.aes !== undefined && extras.aes.length >= 7 ? AES_KEYS[extras.aes[4]!] : undefined;
      if (extras.aes === undefined || keyLength === undefined) encryption = 'unknown';
      else {
        encryption = 'aes';
        aes = { version: extras.aes.readUInt16LE(0) === 1 ? 1 : 2, keyLength };
        method = extras.aes.readUInt16LE(5);
      }
    }
  }

  const start = source.volumes > 1 ? source.volumeStart(disk) : 0;
  offset = (start ?? 0) + place.offsetOf(offset, packed);
  const unix = host === 3 || host === 19;
  if (unix && (attributes >>> 28) === 0xa) refused ??= 'ENTRY_LINK';
  else if (nameLength > limits.nameBytes) refused ??= 'LIMIT_NAME';
  else if (!isSupported(method) || encryption === 'unknown') refused ??= 'ENTRY_METHOD';
  else if (start === undefined || offset < 0 || offset + LOCAL_SIZE + packed > place.position) refused ??= 'ENTRY_DAMAGED';
  else if (size > RATIO_FROM && size > packed * limits.ratio) refused ??= 'LIMIT_RATIO';

  const modifiedOrCrc = (flags & 8) !== 0 ? directory[at + 13]! : directory[at + 19]!;
  return {
    name: { bytes, utf8: (flags & 0x800) !== 0, ...(extras.unicodePath === undefined ? {} : { unicodePath: Buffer.from(extras.unicodePath) }) },
    method, crc: directory.readUInt32LE(at + 16), packed, size, offset, encryption, check: modifiedOrCrc,
    ...(aes === undefined ? {} : { aes }), ...(refused === undefined ? {} : { refused }),
  };
}

/** Where an entry that is not damaged ends at the earliest. */
const endOf = ({ offset, packed }: ZipEntry): number => offset + LOCAL_SIZE + packed;

/** Those of these entries, sorted by their offsets, that share bytes with another one. */
function overlapping(placed: readonly ZipEntry[]): readonly ZipEntry[] {
  let reach = -1;
  return placed.filter((entry, i) => {
    const shares = reach > entry.offset || endOf(entry) > (placed[i + 1]?.offset ?? Infinity);
    reach = Math.max(reach, endOf(entry));
    return shares;
  });
}

/**
 * Entries must not share bytes: that is how a few kilobytes become petabytes. Where some do, those are damaged that have no
 * local header where the directory says, then those whose local header says something else; where others are left that share
 * bytes, the archive was made so.
 * @throws {ExdicomError} LIMIT_OVERLAP.
 */
function refuseOverlaps(entries: readonly ZipEntry[], source: ByteSource, end: number): readonly ZipEntry[] {
  let placed = entries.filter(({ packed, refused }) => packed > 0 && refused !== 'ENTRY_DAMAGED').toSorted((a, b) => a.offset - b.offset);
  let shared = overlapping(placed);
  if (shared.length === 0) return entries;
  const evidence = new Map(shared.map((entry) => [entry, evidenceFor(source, entry, end)]));
  const dropped = new Set<ZipEntry>();
  for (const least of ['name', 'all'] as const) {
    for (const entry of shared) if (evidence.get(entry) === 'none' || (least === 'all' && evidence.get(entry) === 'name')) dropped.add(entry);
    placed = placed.filter((entry) => !dropped.has(entry));
    shared = overlapping(placed);
    if (shared.length === 0) return entries.map((entry) => (dropped.has(entry) ? { ...entry, refused: entry.refused ?? 'ENTRY_DAMAGED' } : entry));
  }
  throw new ExdicomError('LIMIT_OVERLAP');
}

/** Among entries in the clear one that is said to be encrypted may be damaged; nobody is to be asked for a password to that. */
function refuseFalselyLocked(entries: readonly ZipEntry[], source: ByteSource): readonly ZipEntry[] {
  if (entries.every(({ encryption, refused }) => encryption !== 'none' || refused !== undefined)) return entries;
  return entries.map((entry) => (entry.encryption === 'none' || entry.refused !== undefined || isLocked(source, entry) ? entry : { ...entry, refused: 'ENTRY_DAMAGED' }));
}

interface Records {
  /** Where each begins. */
  readonly positions: readonly number[];
  /** Bytes that belong to none, as far as that can be told. */
  readonly gaps: number;
}

/**
 * Each record tells where the next one is. Where none is there one of the two is damaged, and the next signature goes on.
 * @param trusting false: signatures alone are followed, since what a damaged record tells may be the place of a later one.
 */
function findRecords(directory: Buffer, most: number, trusting: boolean): Records {
  const positions: number[] = [];
  let gaps = 0;
  for (let at = 0; at + RECORD_SIZE <= directory.length;) {
    let next = at;
    if (directory.readUInt32LE(at) === CENTRAL) {
      if (positions.push(at) > most) throw new ExdicomError('LIMIT_ENTRIES');
      const variable = directory.readUInt16LE(at + 28) + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
      next = at + RECORD_SIZE;
      const told = next + variable;
      if (trusting && (told === directory.length || (told + RECORD_SIZE <= directory.length && directory.readUInt32LE(told) === CENTRAL))) { at = told; continue; }
    }
    at = directory.indexOf(CENTRAL_MARK, next);
    if (at < 0) at = directory.length;
    gaps += at - next;
  }
  return { positions, gaps };
}

/** How many of the records that are counted are not there. Where it is the count that is damaged that is one: better told of than lost. */
function missingRecords({ count, zip64 }: End, { positions: { length: found }, gaps }: Records): number {
  // Without zip64 the count is kept in 16 bits; some writers let it wrap.
  const missing = zip64 || found <= 0xffff ? count - found : ((count - found) << 16) >> 16;
  return Math.min(missing, Math.max(1, Math.floor(gaps / RECORD_SIZE)));
}

/**
 * Reads the central directory; folders are left out, and what is counted but cannot be read is an entry that is damaged.
 * @throws {ExdicomError} ARCHIVE_DAMAGED without a whole directory, MISSING_VOLUME, LIMIT_ENTRIES, LIMIT_OVERLAP.
 */
export function readZipDirectory(source: ByteSource, limits: ExtractLimits): ZipDirectory {
  const { end, position, shift } = findEnd(source);
  const wraps = !end.zip64 && shift > 0 && shift % 2 ** 32 === 0;
  const place: Place = { position, offsetOf: wraps ? unwrapped(source, position) : (written) => written + shift };
  if (source.volumes > 1 && end.disk + 1 > source.volumes && end.disk > 0) throw new ExdicomError('MISSING_VOLUME');
  if (end.count > limits.entries) throw new ExdicomError('LIMIT_ENTRIES', { detail: `${end.count}` });
  const most = Math.max(1 << 24, limits.entries * BYTES_PER_ENTRY);
  if (end.size > most) throw new ExdicomError('LIMIT_ENTRIES');

  // Up to the end record: its size may be what is damaged.
  const directory = source.read(position, Math.min(end.position - position, most));
  if (directory.length < end.size) throw damaged();
  let records = findRecords(directory, limits.entries, true);
  if (missingRecords(end, records) > 0) {
    const { positions } = findRecords(directory, limits.entries, false);
    if (positions.length > records.positions.length) records = { ...records, positions };
  }
  const missing = missingRecords(end, records);
  if (missing > 0 && records.positions.length === 0) throw damaged();
  const entries = records.positions.flatMap((at) => readEntry(directory, at, source, place, limits) ?? []);
  for (let i = 0; i < missing; i += 1) entries.push(LOST);
  return { entries: refuseOverlaps(refuseFalselyLocked(entries, source), source, position), end: position };
}

/** Where the first entry of a zip begins that may stand behind other bytes; Infinity where only its volumes could tell, undefined where there is none. */
export function zipStart(source: ByteSource): number | undefined {
  try {
    const { position, shift } = findEnd(source);
    const record = source.read(position, RECORD_SIZE);
    return record.length === RECORD_SIZE && record.readUInt32LE(0) === CENTRAL ? record.readUInt32LE(42) + shift : position;
  } catch (thrown) {
    if (!(thrown instanceof ExdicomError)) throw thrown;
    return thrown.code === 'MISSING_VOLUME' ? Infinity : undefined;
  }
}

/** Whether the file ends with a directory, even where what it leads to is not there: a zip whose beginning is lost. */
export function endsAsZip(source: ByteSource): boolean {
  for (const at of endPositions(source, END_SIZE + COMMENT_MAX)) {
    if (at + END_SIZE + source.read(at + END_SIZE - 2, 2).readUInt16LE(0) !== source.size) continue;
    const end = readEnd(source, at);
    if (end === undefined || end.size < RECORD_SIZE || end.size > end.position) continue;
    if (source.read(end.position - end.size, CENTRAL_MARK.length).equals(CENTRAL_MARK)) return true;
  }
  return false;
}

/** What stands at the end, as far as can be told without reading the directory: `volumes` where it tells of more of them than there are. */
export function zipEnd(source: ByteSource): 'whole' | 'volumes' | 'none' {
  try {
    const { disk } = findEnd(source).end;
    return disk < 0xffff && source.volumes < disk + 1 ? 'volumes' : 'whole';
  } catch (thrown) {
    return thrown instanceof ExdicomError && thrown.code === 'MISSING_VOLUME' ? 'volumes' : 'none';
  }
}
