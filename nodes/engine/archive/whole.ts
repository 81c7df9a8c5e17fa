/** What a file, or the volumes of a set, are as a whole: an archive of which kind, and whether it is all there. */
import { basename } from 'node:path';
import { ByteSource } from './byte-source';
import { rarStart, SFX_BYTES, sniff, SNIFF_BYTES } from './format';
import type { ArchiveFormat } from './format';
import { readRarVolume } from './rar-headers';
import { isVolumeName } from './volumes';
import { endsAsZip, zipEnd, zipStart } from './zip-directory';

/** The kind of archive that these volumes are, other bytes in front of it allowed, its beginning lost or not; undefined where they are none. */
export function archiveFormat(paths: readonly string[]): ArchiveFormat | undefined {
  using source = new ByteSource(paths);
  const found = sniff(source.read(0, SNIFF_BYTES));
  if (found.kind === 'archive') return found.format;
  if (found.kind === 'foreign') return undefined;
  // Either may lie in the other as it is.
  const rar = rarStart(source.read(0, SFX_BYTES));
  const zip = zipStart(source);
  if (rar >= 0 && (zip === undefined || rar < zip)) return 'rar';
  return zip !== undefined || endsAsZip(source) ? 'zip' : undefined;
}

/**
 * Whether an archive reaches to its end record; true for all else, and where nothing tells (encrypted RAR headers, RAR before
 * version 3). A copy under way is not whole, a missing volume is another matter. Synchronous: for workers.
 * @param paths of one file, or of the volumes of a set in their order.
 */
export function isWhole(paths: readonly string[]): boolean {
  using source = new ByteSource(paths);
  const found = sniff(source.read(0, SNIFF_BYTES));
  // Only of a program is it asked whether an archive stands behind other bytes: that takes more reading.
  const program = found.kind === 'none' && /\.exe$/i.test(paths[0] ?? '');
  const start = program ? rarStart(source.read(0, SFX_BYTES)) : 0;
  if (start < 0 || (!program && found.kind !== 'archive')) return true;
  if (found.kind === 'archive' && found.format === 'zip') return zipEnd(source) !== 'none' || isVolumeName(basename(paths.at(-1) ?? ''));
  const volumes = paths.map((path, i) => {
    using volume = new ByteSource([path]);
    return readRarVolume(volume, i === 0 ? start : 0);
  });
  // Each has an end of its own, or they are one archive that was cut to pieces.
  if (volumes.every((volume) => volume !== undefined)) return volumes.every(({ end }) => end !== 'cut');
  return readRarVolume(source, start)?.end !== 'cut';
}
