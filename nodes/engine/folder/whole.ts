/** Whether what lies in a watched folder is all there: archives reach to their end, sets have their volumes. For workers. */
import { basename } from 'node:path';
import { ByteSource } from '../archive/byte-source';
import { rarStart, SFX_BYTES, SNIFF_BYTES } from '../archive/format';
import { readRarVolume } from '../archive/rar-headers';
import { isVolumeName, lacksVolume } from '../archive/volumes';
import { archiveFormat, isWhole } from '../archive/whole';
import { zipEnd } from '../archive/zip-directory';

/**
 * True for what is no archive. A missing volume that nothing tells of (encrypted headers) is not noticed here; `extract` says so.
 * @param paths of one file, or of the volumes of a set in their order.
 */
export function seemsWhole(paths: readonly string[]): boolean {
  // First of all: what lacks its beginning need not look like an archive.
  if (lacksVolume(paths.map((path) => basename(path)))) return false;
  if (isBlank(paths) || !isWhole(paths)) return false;
  const last = paths.at(-1);
  const format = archiveFormat(paths);
  if (last === undefined || format === undefined) return true;
  using source = new ByteSource(format === 'rar' ? [last] : paths);
  if (format === 'rar') return readRarVolume(source, paths.length === 1 ? Math.max(0, rarStart(source.read(0, SFX_BYTES))) : 0)?.end !== 'more';
  const end = zipEnd(source);
  return end === 'whole' || (end === 'none' && !isVolumeName(basename(last)));
}

/** Whether an archive by its name has no bytes yet: its place is kept while it is downloaded, or its size is set before it is copied. */
function isBlank(paths: readonly string[]): boolean {
  if (!paths.some((path) => /\.(?:zip|rar)$/i.test(path) || isVolumeName(basename(path)))) return false;
  using source = new ByteSource(paths.slice(0, 1));
  return source.read(0, SNIFF_BYTES).every((byte) => byte === 0);
}
