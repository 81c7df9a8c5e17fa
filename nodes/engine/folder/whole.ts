/** Whether what lies in a watched folder is all there: archives reach to their end, sets have their volumes. For workers. */
import { basename } from 'node:path';
import { ByteSource } from '../archive/byte-source';
import { readRarVolume } from '../archive/rar-headers';
import { isVolumeName } from '../archive/volumes';
import { archiveFormat, isWhole } from '../archive/whole';
import { hasZipEnd } from '../archive/zip-directory';

/**
 * True for what is no archive. A missing volume that nothing tells of (encrypted headers) is not noticed here; `extract` says so.
 * @param paths of one file, or of the volumes of a set in their order.
 */
export function seemsWhole(paths: readonly string[]): boolean {
  if (!isWhole(paths)) return false;
  const last = paths.at(-1);
  const format = archiveFormat(paths);
  if (last === undefined || format === undefined) return true;
  if (!hasNoGap(paths.map((path) => basename(path)))) return false;
  using source = new ByteSource(format === 'rar' ? [last] : paths);
  if (format === 'rar') return readRarVolume(source, 0)?.end !== 'more';
  return hasZipEnd(source) || !isVolumeName(basename(last));
}

/** `x.part1.rar`, `x.r00`, `x.z01`, `x.zip.001`: the numbers follow one another. */
function hasNoGap(names: readonly string[]): boolean {
  const numbers = names.filter(isVolumeName).map((name) => Number(/(\d+)(?:\.(?:rar|exe))?$/i.exec(name)?.[1])).toSorted((a, b) => a - b);
  return numbers.every((number, index) => (index === 0 ? number <= 1 : number === (numbers[index - 1] ?? 0) + 1));
}
