/** Which kind of archive a file is, by its content alone: names and extensions are never asked. */
import { crc32 } from 'node:zlib';

export type ArchiveFormat = 'zip' | 'rar';
/** Archives that are known but not unpacked. */
export type ForeignFormat = '7z' | 'tar' | 'gzip' | 'bzip2' | 'xz' | 'zstd' | 'lzip' | 'lz4' | 'compress' | 'cpio' | 'xar' | 'cab' | 'iso';

export type Format =
  | { readonly kind: 'archive'; readonly format: ArchiveFormat; /** Where it begins, after the program of a self-extracting archive. */ readonly start: number }
  | { readonly kind: 'foreign'; readonly format: ForeignFormat }
  | { readonly kind: 'none' };

/** Bytes of a file's beginning that `sniff` wants to see: as far as the volume descriptor of ISO 9660. */
export const SNIFF_BYTES = 0x8806;
/** How far in a self-extracting archive may begin: as far as unrar looks. */
export const SFX_BYTES = 0x200000;

export const RAR4_SIGNATURE = Buffer.from('526172211a0700', 'hex');
export const RAR5_SIGNATURE = Buffer.from('526172211a070100', 'hex');

const MAGICS: ReadonlyArray<readonly [ForeignFormat, string]> = [
  ['7z', '377abcaf271c'], ['gzip', '1f8b08'], ['bzip2', '425a68'], ['xz', 'fd377a585a00'], ['zstd', '28b52ffd'], ['lzip', '4c5a495001'], ['cab', '4d53434600000000'],
  ['lz4', '04224d18'], ['compress', '1f9d90'], ['cpio', '303730373031'], ['cpio', '303730373032'], ['cpio', '303730373037'], ['xar', '78617221001c'],
];
/** Volume descriptors at sector 16: ISO 9660, or UDF alone. */
const DISC_MARKS = ['CD001', 'BEA01'];

const begins = (head: Buffer, magic: Buffer, at = 0): boolean => head.length >= at + magic.length && head.compare(magic, 0, magic.length, at, at + magic.length) === 0;

/** Whether a zip begins here: a local header, an empty archive's end record, or the mark of a split set. */
function isZip(head: Buffer): boolean {
  if (head.length < 4) return false;
  const word = head.readUInt32LE(0);
  return word === 0x04034b50 || word === 0x06054b50 || word === 0x08074b50 || word === 0x30304b50;
}

/** Old tar files have no magic; the checksum of the first header tells. */
function isTar(head: Buffer): boolean {
  if (head.length < 512) return false;
  const written = parseInt(head.toString('latin1', 148, 156).replaceAll(/[\0 ]/g, ''), 8);
  if (!Number.isInteger(written) || written === 0) return false;
  let sum = 8 * 0x20;
  for (let i = 0; i < 512; i += 1) if (i < 148 || i >= 156) sum += head[i]!;
  return sum === written;
}

/** @param head the first `SNIFF_BYTES` of the file, or all of it. */
export function sniff(head: Buffer): Format {
  if (isZip(head)) return { kind: 'archive', format: 'zip', start: 0 };
  if (begins(head, RAR4_SIGNATURE) || begins(head, RAR5_SIGNATURE)) return { kind: 'archive', format: 'rar', start: 0 };
  for (const [format, magic] of MAGICS) if (begins(head, Buffer.from(magic, 'hex'))) return { kind: 'foreign', format };
  if (DISC_MARKS.some((mark) => begins(head, Buffer.from(mark), 0x8001))) return { kind: 'foreign', format: 'iso' };
  if (isTar(head)) return { kind: 'foreign', format: 'tar' };
  return { kind: 'none' };
}

/** Where a RAR begins behind other bytes, or -1. @param head the first `SFX_BYTES` of the file, or all of it. */
export function rarStart(head: Buffer): number {
  for (let at = head.indexOf('Rar!\x1a\x07', 0, 'latin1'); at >= 0; at = head.indexOf('Rar!\x1a\x07', at + 1, 'latin1')) {
    if (begins(head, RAR4_SIGNATURE, at) || begins(head, RAR5_SIGNATURE, at)) return at;
  }
  return -1;
}

const SEVEN_ZIP = Buffer.from('377abcaf271c', 'hex');

/** Whether a 7z begins behind other bytes, as in one that extracts itself: its start header has a checksum. @param head the first `SFX_BYTES` of the file, or all of it. */
export function holdsSevenZip(head: Buffer): boolean {
  for (let at = head.indexOf(SEVEN_ZIP); at >= 0; at = head.indexOf(SEVEN_ZIP, at + 1)) {
    if (at + 32 <= head.length && head.readUInt32LE(at + 8) === crc32(head.subarray(at + 12, at + 32))) return true;
  }
  return false;
}
