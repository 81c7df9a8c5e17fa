/** Archives that only an attacker makes, or a cut wire: each with what has to become of it. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { crc32, deflateRawSync } from 'node:zlib';
import type { ExtractSettings } from '../../nodes/engine/archive/settings';
import type { ErrorCode } from '../../nodes/engine/errors';
import { instance, rar, zip } from './archives';
import type { ZipSpec } from './archives';

export interface Hostile {
  readonly name: string;
  /** By their foreign names. */
  readonly files: () => Readonly<Record<string, Buffer>>;
  /** Code of the job; undefined where it goes on. */
  readonly code?: ErrorCode;
  /** Of each entry in order: `instance`, `not-dicom`, or the code by which it is left out. */
  readonly entries?: readonly string[];
  readonly settings?: Partial<ExtractSettings>;
}

const one = (n: number): Buffer => instance({ sop: `1.2.3.${n}` });
const END = 0x06054b50;
const CENTRAL = 0x02014b50;

// ------------------------------------------------------------------------------------------------ names

/** Where a name would lead that is taken for a path. */
export const TARGET = 'exdicom-slip';
const climbing = `${'../'.repeat(30)}tmp/${TARGET}`;

export const SPELLINGS: readonly string[] = [
  `../${TARGET}`, climbing, `/tmp/${TARGET}`, `a/b/../../../${TARGET}`, `./../${TARGET}`, `..//${TARGET}`, `....//....//${TARGET}`, '../extract-evil/x', '../../extract-evil/x',
  `..\\${TARGET}`, climbing.replaceAll('/', '\\'), `a\\..\\..\\${TARGET}`, `\\tmp\\${TARGET}`, `C:\\${TARGET}`, `C:${TARGET}`, `c:/${TARGET}`, `\\\\server\\share\\${TARGET}`, `//server/share/${TARGET}`, `\\\\?\\C:\\${TARGET}`, `\\\\.\\C:\\${TARGET}`, `file:///tmp/${TARGET}`,
  `${TARGET}\0.dcm`, `\0/../${TARGET}`, `..%2f..%2f${TARGET}`, `..%252f${TARGET}`, `..\u2215${TARGET}`, `\uff0e\uff0e/${TARGET}`, '.', '..', '~/x', '~root/x', '-rf', '--help', '$(touch x)', '`x`', 'a\nb', 'a\rb', '\x1b[2J', '*', '?', '|x',
  'CON', 'AUX', 'NUL', 'PRN.dcm', 'COM1', 'LPT1.txt', 'con.', 'CONIN$', 'x.', 'x...', 'x ', ' x', '.x', 'x:stream', 'x::$DATA', 'desktop.ini.dcm', 'n'.repeat(300), `${'d/'.repeat(1500)}x`, `${'../'.repeat(1300)}x`,
  'same', 'same', 'SAME', 'Same', '\u00e9', 'e\u0301', 'stra\u00dfe', 'STRASSE', '\u212a', 'k', '__proto__', 'constructor', 'toString',
];

const named = (names: readonly string[]): readonly ZipSpec[] => names.map((name, n) => ({ name, data: one(n + 1), utf8: true }));

const NAMES: readonly Hostile[] = [
  { name: 'every spelling of a path in a zip', files: () => ({ 'a.zip': zip(named(SPELLINGS)) }), entries: SPELLINGS.map(() => 'instance') },
  { name: 'every spelling of a path in a rar', files: () => ({ 'a.rar': rar(SPELLINGS.map((name, n) => ({ name, data: one(n + 1) }))) }) },
  { name: 'another name in the local header', files: () => ({ 'a.zip': zip([{ name: 'a', localName: climbing, data: one(1) }]) }), entries: ['instance'] },
  { name: 'a name of 65,535 bytes', files: () => ({ 'a.zip': zip([{ name: 'n'.repeat(65_535), data: one(1) }, { name: 'b', data: one(2) }]) }), entries: ['LIMIT_NAME', 'instance'] },
  { name: 'a name of 70,000 bytes', files: () => ({ 'a.rar': rar([{ name: 'n'.repeat(70_000), data: one(1) }, { name: 'b', data: one(2) }]) }), entries: ['LIMIT_NAME', 'instance'] },
  { name: 'symbolic links in a zip', files: () => ({ 'a.zip': zip([{ name: 'l', data: Buffer.from('/etc'), mode: 0o120777 }, { name: 'l/passwd', data: one(1) }, { name: 'm', data: Buffer.from('../..'), mode: 0o120777 }]) }), entries: ['ENTRY_LINK', 'instance', 'ENTRY_LINK'] },
  { name: 'devices, pipes and set-user-id in a zip', files: () => ({ 'a.zip': zip([{ name: 'd', data: one(1), mode: 0o060666 }, { name: 'p', data: one(2), mode: 0o010666 }, { name: 's', data: one(3), mode: 0o106755 }]) }), entries: ['instance', 'instance', 'instance'] },
  {
    name: 'links of every kind in a rar', entries: ['instance', 'ENTRY_LINK', 'ENTRY_LINK', 'instance', 'ENTRY_DAMAGED'],
    files: () => {
      const data = Buffer.alloc(0);
      return { 'a.rar': rar([{ name: 'a', data: one(1) }, { name: 's', data, redirect: { kind: 'symlink', to: '/etc/passwd' } }, { name: 'h', data, redirect: { kind: 'hardlink', to: '../../etc/passwd' } }, { name: 'c', data, redirect: { kind: 'copy', to: 'a' } }, { name: 'x', data, redirect: { kind: 'copy', to: '/etc/passwd' } }]) };
    },
  },
];

// ------------------------------------------------------------------------------------------------ bombs

function zeros(megabytes: number): { readonly packed: Buffer; readonly size: number; readonly crc: number } {
  const data = Buffer.alloc(megabytes * 1_000_000);
  return { packed: deflateRawSync(data, { level: 9 }), size: data.length, crc: crc32(data) };
}

/** A zip whose entries are said to be deflated and of these sizes, without making what they unpack to. */
function packedZip(entries: ReadonlyArray<{ readonly name: string; readonly packed: Buffer; readonly size: number; readonly crc: number; readonly sharesDataOf?: number }>): Buffer {
  const specs = entries.map(({ name, packed, size, crc, sharesDataOf }): ZipSpec => ({ name, data: packed, forged: { method: 8, size, crc }, ...(sharesDataOf === undefined ? {} : { sharesDataOf }) }));
  return zip(specs);
}

/** Local headers one after the other, each quoted by the entry before as a stored block of its deflated data, and a kernel that all of them end with. */
function quoting(count: number): Buffer {
  const kernel = Buffer.alloc(1_000_000);
  let plain: Buffer = kernel;
  let tail: Buffer = deflateRawSync(kernel, { level: 9 });
  const specs: ZipSpec[] = [];
  for (let n = count; n > 0; n -= 1) {
    const spec: ZipSpec = { name: `${n}`.padStart(4, '0'), data: tail, forged: { method: 8, size: plain.length, crc: crc32(plain) } };
    specs.unshift(spec);
    if (n === 1) break;
    const local = zip([spec]).subarray(0, 30 + 4);
    const block = Buffer.alloc(5);
    block.writeUInt16LE(local.length, 1);
    block.writeUInt16LE(0xffff - local.length, 3);
    plain = Buffer.concat([local, plain]);
    tail = Buffer.concat([block, local, tail]);
  }
  return quoted(specs);
}

/** These entries as one file: all of them lie in the first one's data, 39 bytes (a header, its name of four bytes, the block's five) apart. */
function quoted(specs: readonly ZipSpec[]): Buffer {
  const first = zip(specs.slice(0, 1));
  const body = first.subarray(0, centralOf(first)[0]);
  const records = specs.map((spec, n) => {
    const alone = zip([spec]);
    const record = Buffer.from(alone.subarray(centralOf(alone).at(-1), endOf(alone)));
    record.writeUInt32LE(n * (30 + 4 + 5), 42);
    return record;
  });
  const end = Buffer.from(first.subarray(endOf(first)));
  end.writeUInt16LE(specs.length, 8);
  end.writeUInt16LE(specs.length, 10);
  end.writeUInt32LE(records.reduce((sum, { length }) => sum + length, 0), 12);
  return Buffer.concat([body, ...records, end]);
}

const nested = (depth: number, inner: Buffer): Buffer => Array.from({ length: depth }).reduce<Buffer>((content, _, n) => zip([{ name: `level ${n}.zip`, data: content }]), inner);

const BOMBS: readonly Hostile[] = [
  { name: '200 MB in 194 kB', files: () => ({ 'a.zip': packedZip([{ name: 'a', ...zeros(200) }]) }), code: 'LIMIT_RATIO' },
  { name: '200 MB beside an image', files: () => ({ 'a.zip': zip([{ name: 'a', data: Buffer.alloc(200_000_000), method: 'deflate' }, { name: 'b', data: one(1) }]) }), entries: ['LIMIT_RATIO', 'instance'] },
  { name: '20 GB in 2000 entries over the same bytes', files: () => { const of = zeros(10); return { 'a.zip': packedZip(Array.from({ length: 2000 }, (_, n) => ({ name: `${n}`, ...of, ...(n > 0 ? { sharesDataOf: 0 } : {}) }))) }; }, code: 'LIMIT_OVERLAP' },
  { name: 'entries that each hold the headers of all that follow', files: () => ({ 'a.zip': quoting(200) }), code: 'LIMIT_OVERLAP' },
  { name: 'a deflated image of ratio 1000', files: () => ({ 'a.zip': zip([{ name: 'a', data: instance({ sop: '1.2.3.1', pixels: Buffer.alloc(9_000_000) }), method: 'deflate' }]) }), entries: ['instance'] },
  { name: 'thousand entries of 9 MB in 9 kB each', files: () => { const of = zeros(9); return { 'a.zip': packedZip(Array.from({ length: 1000 }, (_, n) => ({ name: `${n}`, ...of }))) }; }, settings: { limits: { bytes: 1e9, entries: 100_000, ratio: 200, nameBytes: 4096, milliseconds: 600_000 } }, code: 'LIMIT_BYTES' },
  { name: 'archives six deep', files: () => ({ 'a.zip': nested(6, zip([{ name: 'x', data: one(1) }])) }), code: 'LIMIT_DEPTH' },
  { name: 'archives six deep beside an image', files: () => ({ 'a.zip': zip([{ name: 'a', data: one(1) }, { name: 'b.zip', data: nested(6, zip([{ name: 'x', data: one(2) }])) }]) }), settings: { depth: 5 }, entries: ['instance', 'LIMIT_DEPTH'] },
  { name: 'sixteen archives of sixteen bombs', files: () => { const bomb = packedZip([{ name: 'x', ...zeros(50) }]); const level = zip(Array.from({ length: 16 }, (_, n) => ({ name: `${n}.zip`, data: bomb }))); return { 'a.zip': zip([{ name: 'image', data: one(1) }, ...Array.from({ length: 16 }, (_, n) => ({ name: `${n}.zip`, data: level }))]) }; }, settings: { depth: 2 } },
];

// ------------------------------------------------------------------------------------------------ forgery

/** Where the records of the central directory begin. */
function centralOf(bytes: Buffer): number[] {
  const found: number[] = [];
  for (let at = 0; at + 46 <= bytes.length; at += 1) if (bytes.readUInt32LE(at) === CENTRAL) found.push(at);
  return found;
}

const endOf = (bytes: Buffer): number => bytes.lastIndexOf(Buffer.from('504b0506', 'hex'));

/** A zip of two images with numbers changed in it: of the first entry's central record, or of the end record. */
function forged(change: { readonly central?: ReadonlyArray<readonly [at: number, value: number, bytes: 2 | 4]>; readonly end?: ReadonlyArray<readonly [at: number, value: number, bytes: 2 | 4]>; readonly local?: ReadonlyArray<readonly [at: number, value: number, bytes: 2 | 4]>; readonly specs?: readonly ZipSpec[] }): Buffer {
  const bytes = zip(change.specs ?? [{ name: 'a', data: one(1), method: 'deflate' }, { name: 'b', data: one(2), method: 'deflate' }]);
  const put = (base: number, changes: ReadonlyArray<readonly [number, number, 2 | 4]> = []): void => { for (const [at, value, size] of changes) bytes.writeUIntLE(value, base + at, size); };
  put(centralOf(bytes)[0]!, change.central);
  put(endOf(bytes), change.end);
  put(0, change.local);
  return bytes;
}

/** All of the archive as one stored entry of itself: whoever follows it never ends. */
function ofItself(): Buffer {
  const bytes = zip([{ name: 'r.zip', data: one(1) }, { name: 'b', data: one(2) }]);
  const [first] = centralOf(bytes);
  bytes.writeUInt32LE(bytes.length, first! + 20);
  bytes.writeUInt32LE(bytes.length, first! + 24);
  return bytes;
}

/** An archive that has another one's directory in its comment. */
function inComment(): Buffer {
  const hidden = zip([{ name: 'hidden', data: one(9) }]);
  return zip([{ name: 'a', data: one(1) }], { comment: hidden });
}

function twoEnds(): Buffer {
  const bytes = zip([{ name: 'a', data: one(1) }]);
  return Buffer.concat([bytes, bytes.subarray(endOf(bytes))]);
}

const ZIP64 = { name: 'a', data: one(1), zip64: true } as const;

/** The zip64 field of the first entry says this size (both of them), or this offset. */
function forged64(field: 0 | 8 | 16, value: bigint): Buffer {
  const bytes = zip([ZIP64, { name: 'b', data: one(2), zip64: true }]);
  const [first] = centralOf(bytes);
  bytes.writeBigUInt64LE(value, first! + 46 + 1 + 4 + field);
  return bytes;
}

function forgedEnd64(at: number, value: bigint): Buffer {
  const bytes = zip([ZIP64]);
  bytes.writeBigUInt64LE(value, bytes.lastIndexOf(Buffer.from('504b0606', 'hex')) + at);
  return bytes;
}

const FORGED: readonly Hostile[] = [
  { name: 'a size smaller than the data', files: () => ({ 'a.zip': forged({ central: [[24, 10, 4]] }) }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'a size larger than the data', files: () => ({ 'a.zip': forged({ central: [[24, 100_000, 4]] }) }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'a size of 4 GB', files: () => ({ 'a.zip': forged({ central: [[24, 0xfffffffe, 4]] }) }), entries: ['LIMIT_RATIO', 'instance'] },
  { name: 'ten bytes that are fifty million', files: () => { const of = zeros(50); return { 'a.zip': zip([{ name: 'a', data: of.packed, forged: { method: 8, size: 10, crc: of.crc } }, { name: 'b', data: one(2) }]) }; }, entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'a packed size that takes in the next entry', files: () => ({ 'a.zip': forged({ central: [[20, 600, 4]], specs: [{ name: 'a', data: one(1) }, { name: 'b', data: one(2) }] }) }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'a packed size beyond the end', files: () => ({ 'a.zip': forged({ central: [[20, 0x7fffffff, 4]] }) }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'an offset before the beginning', files: () => ({ 'a.zip': forged({ central: [[42, 0xfffffff0, 4]] }) }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'an offset into the middle of another entry', files: () => ({ 'a.zip': forged({ central: [[42, 17, 4]] }) }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'other sizes in the local header', files: () => ({ 'a.zip': forged({ local: [[18, 0xfffffff0, 4], [22, 0xfffffff0, 4], [14, 1, 4]] }) }), entries: ['instance', 'instance'] },
  { name: 'a local name that is longer than the file', files: () => ({ 'a.zip': forged({ local: [[26, 0xffff, 2], [28, 0xffff, 2]] }) }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'a method that nobody knows', files: () => ({ 'a.zip': forged({ central: [[10, 77, 2]] }) }), entries: ['ENTRY_METHOD', 'instance'] },
  { name: 'a bad CRC', files: () => ({ 'a.zip': forged({ central: [[16, 0, 4]] }) }), entries: ['ENTRY_CRC', 'instance'] },
  { name: 'a bad CRC in a rar', files: () => ({ 'a.rar': rar([{ name: 'a', data: one(1), badCrc: true }, { name: 'b', data: one(2) }]) }), entries: ['ENTRY_CRC', 'instance'] },
  { name: 'a count of more entries than there are', files: () => ({ 'a.zip': forged({ end: [[8, 900, 2], [10, 900, 2]] }) }), entries: ['instance', 'instance', 'ENTRY_DAMAGED'] },
  { name: 'a count of fewer entries than there are', files: () => ({ 'a.zip': forged({ end: [[8, 1, 2], [10, 1, 2]] }) }), entries: ['instance', 'instance'] },
  { name: 'a directory larger than the file', files: () => ({ 'a.zip': forged({ end: [[12, 0x7fffffff, 4]] }) }), code: 'ARCHIVE_DAMAGED' },
  { name: 'a directory elsewhere', files: () => ({ 'a.zip': forged({ end: [[12, 40, 4], [16, 3, 4]] }) }), code: 'ARCHIVE_DAMAGED' },
  { name: 'a comment longer than the file', files: () => ({ 'a.zip': forged({ end: [[20, 0xffff, 2]] }) }), entries: ['instance', 'instance'] },
  { name: 'an archive in the comment', files: () => ({ 'a.zip': inComment() }), entries: ['instance'] },
  { name: 'two end records', files: () => ({ 'a.zip': twoEnds() }) },
  { name: 'an archive as an entry of itself', files: () => ({ 'a.zip': ofItself() }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'a zip64 size of 2^60', files: () => ({ 'a.zip': forged64(0, 1n << 60n) }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'a zip64 size of 2^50', files: () => ({ 'a.zip': forged64(0, 1n << 50n) }), entries: ['LIMIT_RATIO', 'instance'] },
  { name: 'a zip64 packed size of 2^50', files: () => ({ 'a.zip': forged64(8, 1n << 50n) }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'a zip64 offset of 2^63', files: () => ({ 'a.zip': forged64(16, 1n << 63n) }), entries: ['ENTRY_DAMAGED', 'instance'] },
  { name: 'a zip64 count of 2^62', files: () => ({ 'a.zip': forgedEnd64(32, 1n << 62n) }), code: 'LIMIT_ENTRIES' },
  { name: 'a zip64 directory of 2^62 bytes', files: () => ({ 'a.zip': forgedEnd64(40, 1n << 62n) }), code: 'ARCHIVE_DAMAGED' },
  { name: 'a zip64 directory at 2^63', files: () => ({ 'a.zip': forgedEnd64(48, 1n << 63n) }), code: 'ARCHIVE_DAMAGED' },
  { name: 'encrypted, none fits', files: () => ({ 'a.zip': zip([{ name: 'a', data: one(1), encrypt: { kind: 'aes256', password: 'right' } }]) }), code: 'NEEDS_PASSWORD', settings: { passwords: ['wrong'] } },
  { name: 'encrypted by the old way, none fits', files: () => ({ 'a.zip': zip([{ name: 'a', data: one(1), encrypt: { kind: 'zipcrypto', password: 'right' } }]) }), code: 'NEEDS_PASSWORD', settings: { passwords: ['wrong'] } },
  { name: 'an end record alone', files: () => { const bytes = zip([]); return { 'a.zip': bytes }; }, code: 'ARCHIVE_EMPTY' },
  { name: 'nothing', files: () => ({ 'a.zip': Buffer.alloc(0) }), code: 'NO_DICOM' },
];

export const HOSTILE: readonly Hostile[] = [...NAMES, ...BOMBS, ...FORGED];

// ------------------------------------------------------------------------------------------------ cut off

/** A zip and a rar, cut at every place where one of their parts begins or ends, and one byte beside it. */
export function cutOff(): ReadonlyArray<{ readonly name: string; readonly bytes: Buffer }> {
  const specs = [1, 2, 3].map((n) => ({ name: `${n}.dcm`, data: one(n) }));
  const whole = { zip: zip(specs.map((spec) => ({ ...spec, method: 'deflate' as const, descriptor: true }))), zip64: zip(specs.map((spec) => ({ ...spec, zip64: true }))), rar: rar(specs) };
  const marks: Readonly<Record<keyof typeof whole, readonly string[]>> = { zip: ['504b0304', '504b0708', '504b0102', '504b0506'], zip64: ['504b0304', '504b0102', '504b0606', '504b0607', '504b0506'], rar: [] };
  return (Object.keys(whole) as Array<keyof typeof whole>).flatMap((kind) => {
    const bytes = whole[kind];
    const places = new Set<number>([0, 1, 4, 7, 8, bytes.length - 1, bytes.length - 4]);
    for (const mark of marks[kind]) for (let at = bytes.indexOf(Buffer.from(mark, 'hex')); at >= 0; at = bytes.indexOf(Buffer.from(mark, 'hex'), at + 1)) for (const near of [-1, 0, 1, 4, 20, 30, 46]) places.add(at + near);
    if (kind === 'rar') for (const { name, data } of specs) for (const part of [Buffer.from(name), data]) for (const near of [-1, 0, 1, part.length - 1, part.length, part.length + 1]) places.add(bytes.indexOf(part) + near);
    return [...places].filter((at) => at >= 0 && at < bytes.length).toSorted((a, b) => a - b).map((at) => ({ name: `${kind} cut at ${at} of ${bytes.length}`, bytes: bytes.subarray(0, at) }));
  });
}

// ------------------------------------------------------------------------------------------------ too many

/** Writes a zip of `count` empty entries to the disk, a piece at a time. `told`: what its end record says of their number; `name`: bytes of each name. */
export function writeManyEntries(path: string, count: number, { told = count, name = 7 }: { readonly told?: number; readonly name?: number } = {}): void {
  const fd = openSync(path, 'w');
  let at = 0;
  let pending: Buffer[] = [];
  const flush = (): void => {
    const bytes = Buffer.concat(pending);
    writeSync(fd, bytes);
    pending = [];
  };
  const put = (bytes: Buffer): void => {
    pending.push(bytes);
    at += bytes.length;
    if (pending.length === 4096) flush();
  };
  const nameOf = (n: number): Buffer => Buffer.from(n.toString(36).padStart(name, '0'));
  try {
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(name, 26);
    for (let n = 0; n < count; n += 1) put(Buffer.concat([local, nameOf(n)]));
    const start = at;
    for (let n = 0; n < count; n += 1) {
      const central = Buffer.alloc(46);
      central.writeUInt32LE(CENTRAL);
      central.writeUInt16LE(name, 28);
      central.writeUInt32LE(n * (30 + name), 42);
      put(Buffer.concat([central, nameOf(n)]));
    }
    const record = at;
    const end64 = Buffer.alloc(56 + 20);
    end64.writeUInt32LE(0x06064b50);
    end64.writeBigUInt64LE(44n, 4);
    end64.writeBigUInt64LE(BigInt(told), 24);
    end64.writeBigUInt64LE(BigInt(told), 32);
    end64.writeBigUInt64LE(BigInt(record - start), 40);
    end64.writeBigUInt64LE(BigInt(start), 48);
    end64.writeUInt32LE(0x07064b50, 56);
    end64.writeBigUInt64LE(BigInt(record), 64);
    end64.writeUInt32LE(1, 72);
    put(end64);
    const end = Buffer.alloc(22);
    end.writeUInt32LE(END);
    end.fill(0xff, 8, 20);
    put(end);
    flush();
  } finally {
    closeSync(fd);
  }
}
