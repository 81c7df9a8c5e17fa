/** Local headers of a zip (APPNOTE 4.3.7), and what follows the data of entries whose sizes were not known before (4.3.9). */
import type { ByteSource } from './byte-source';
import type { ZipEntry } from './zip-directory';
import { readExtras } from './zip-extras';

const LOCAL = 0x04034b50;
const DESCRIPTOR = 0x08074b50;
/** Of a local header without name and extra field: the least that an entry has in front of its data. */
export const LOCAL_SIZE = 30;
/** The longest descriptor: signature, CRC-32, two sizes of eight bytes. */
const DESCRIPTOR_SIZE = 24;

export const isLocalHeader = (bytes: Buffer): boolean => bytes.length >= 4 && bytes.readUInt32LE(0) === LOCAL;

/** Whether the CRC-32 and the sizes stand here; `wide`: the sizes in eight bytes each. */
function tells(bytes: Buffer, at: number, { crc, packed, size }: ZipEntry, wide: boolean): boolean {
  if (at + (wide ? 20 : 12) > bytes.length || bytes.readUInt32LE(at) !== crc) return false;
  if (wide) return bytes.readBigUInt64LE(at + 4) === BigInt(packed) && bytes.readBigUInt64LE(at + 12) === BigInt(size);
  return bytes.readUInt32LE(at + 4) === packed && bytes.readUInt32LE(at + 8) === size;
}

/** The same where sizes that did not fit are in the zip64 field, the size before the packed one (APPNOTE 4.5.3). */
function tellsInField(fixed: Buffer, extra: Buffer, { crc, packed, size }: ZipEntry): boolean {
  const { zip64 } = readExtras(extra);
  return fixed.readUInt32LE(14) === crc && zip64 !== undefined && zip64.length >= 16 && zip64.readBigUInt64LE(0) === BigInt(size) && zip64.readBigUInt64LE(8) === BigInt(packed);
}

/** Whether the local header, too, says that the entry is encrypted; true where there is none to ask. */
export function isLocked(source: ByteSource, { offset }: ZipEntry): boolean {
  const fixed = source.read(offset, LOCAL_SIZE);
  return fixed.length < LOCAL_SIZE || !isLocalHeader(fixed) || (fixed.readUInt16LE(6) & 1) !== 0;
}

/**
 * What the local header says for this entry of the directory: `all` where it, or what follows the data, has the same CRC-32 and
 * sizes; `name` where it has the same name and method alone, as some programs write it.
 * @param end data of entries ends here.
 */
export function evidenceFor(source: ByteSource, entry: ZipEntry, end: number): 'none' | 'name' | 'all' {
  const fixed = source.read(entry.offset, LOCAL_SIZE);
  if (fixed.length < LOCAL_SIZE || !isLocalHeader(fixed)) return 'none';
  const nameLength = fixed.readUInt16LE(26);
  const start = entry.offset + LOCAL_SIZE + nameLength + fixed.readUInt16LE(28);
  if (fixed.readUInt16LE(8) !== (entry.encryption === 'aes' ? 99 : entry.method) || start + entry.packed > end) return 'none';
  if (tells(fixed, 14, entry, false)) return 'all';
  const variable = source.read(entry.offset + LOCAL_SIZE, start - entry.offset - LOCAL_SIZE);
  if (tellsInField(fixed, variable.subarray(nameLength), entry)) return 'all';
  const after = source.read(start + entry.packed, DESCRIPTOR_SIZE);
  const signed = after.length >= 4 && after.readUInt32LE(0) === DESCRIPTOR ? [4, 0] : [0];
  if ((fixed.readUInt16LE(6) & 8) !== 0 && signed.some((at) => tells(after, at, entry, false) || tells(after, at, entry, true))) return 'all';
  return variable.subarray(0, nameLength).equals(entry.name.bytes) ? 'name' : 'none';
}

/** Whether an entry lies where its headers say, as far as that can be told: its local header bears it out, and behind its data stands another header, of whatever kind. */
export function isInPlace(source: ByteSource, entry: ZipEntry, end: number): boolean {
  if (evidenceFor(source, entry, end) !== 'all') return false;
  const fixed = source.read(entry.offset, LOCAL_SIZE);
  if (entry.encryption === 'zipcrypto' && entry.check !== fixed[(fixed.readUInt16LE(6) & 8) !== 0 ? 11 : 17]) return false;
  const after = source.read(entry.offset + LOCAL_SIZE + fixed.readUInt16LE(26) + fixed.readUInt16LE(28) + entry.packed, DESCRIPTOR_SIZE);
  // At once, or after a descriptor without a signature, short or long.
  return [0, 12, 20].some((at) => after.toString('latin1', at, at + 2) === 'PK');
}
