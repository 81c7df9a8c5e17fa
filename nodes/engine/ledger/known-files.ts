/** Whether a file that the ledger recorded is still what it was. */
import type { JobId } from '../model';
import type { LedgerCore } from './core';
import type { FileRow } from './store';

/** Files looked at in one task: their paths and answers cross a thread boundary. */
const GROUP = 1000;

/** Sizes and times of files as they are now; undefined where there is none. */
export async function lookAt(core: LedgerCore, paths: readonly string[]): Promise<Array<{ readonly bytes: number; readonly mtimeMs: number } | undefined>> {
  const looks: Array<{ readonly bytes: number; readonly mtimeMs: number } | undefined> = [];
  for (let at = 0; at < paths.length; at += GROUP) looks.push(...await core.task('ledger.look', { paths: paths.slice(at, at + GROUP), digest: false }));
  return looks;
}

/**
 * Which of these are on disk as recorded. Size and time of change are believed for what this process has written or
 * checked itself; anything else is hashed once.
 */
export async function intact(core: LedgerCore, id: JobId, rows: readonly FileRow[]): Promise<boolean[]> {
  const looks = await lookAt(core, rows.map(({ path }) => path));
  const sound = rows.map((row, index) => looks[index]?.bytes === row.bytes);
  const doubtful = rows.flatMap((row, index) => (sound[index] === true && !(row.trusted && row.mtimeMs === looks[index]!.mtimeMs) ? [index] : []));
  for (let at = 0; at < doubtful.length; at += GROUP) {
    const group = doubtful.slice(at, at + GROUP);
    const bytes = group.reduce((sum, index) => sum + rows[index]!.bytes, 0);
    const digests = await core.task('ledger.look', { paths: group.map((index) => rows[index]!.path), digest: true }, bytes);
    const checked = group.flatMap((index, position) => {
      const look = digests[position];
      const row = rows[index]!;
      const same = look !== undefined && look.sha256 === row.sha256;
      sound[index] = same;
      return same ? [{ path: row.path, mtimeMs: look.mtimeMs }] : [];
    });
    if (checked.length > 0) await core.store.trust(id, checked);
  }
  return sound;
}
