/** Which files of a message are the job's own, by what the ledger knows; what a flow brings along is the job's from then on, as its archive's are. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { toExdicomError } from '../errors';
import type { DicomFile, JobId } from '../model';
import type { LedgerCore } from './core';
import { intact } from './known-files';

const GROUP = 250;

type NumberedFile = DicomFile & { readonly instance: number };

/**
 * The files with their numbers, in order. A path of the job's own has the number that the ledger gave it, whatever the message says: one
 * file in the place of another must not count as that one. What lies elsewhere is copied into the job's folder and numbered by its
 * content: the same file has the same number, however often it comes.
 * @throws {ExdicomError} SOURCE_GONE, SOURCE_UNREADABLE, SOURCE_CHANGED, DISK_FULL, STORAGE_FAILED
 */
export async function numberFiles(core: LedgerCore, id: JobId, files: readonly DicomFile[]): Promise<NumberedFile[]> {
  core.live(id);
  const numbered: NumberedFile[] = [];
  for (let at = 0; at < files.length; at += GROUP) {
    const group = files.slice(at, at + GROUP);
    const known = await core.store.numbersOf(id, group.map(({ path }) => path));
    const own = new Map(group.flatMap(({ path }, index) => (known[index] === undefined ? [] : [[path, known[index]] as const])));
    // Under its own number a flow may have worked on it in its place; where only the path says which it is, it must be what it was.
    const bare = group.flatMap(({ path, instance }) => (instance === undefined && own.has(path) ? [path] : []));
    if (bare.length > 0) {
      const rows = await core.store.files(id, bare);
      const sound = await intact(core, id, rows);
      for (const [index, { path }] of rows.entries()) if (sound[index] !== true) own.delete(path);
    }
    const copies = await copied(core, id, group.filter(({ path }) => !own.has(path)));
    for (const file of group) {
      const instance = own.get(file.path);
      numbered.push(instance === undefined ? copies.shift()! : { ...file, instance });
    }
  }
  return numbered;
}

async function copied(core: LedgerCore, id: JobId, files: readonly DicomFile[]): Promise<NumberedFile[]> {
  if (files.length === 0) return [];
  const folder = join(core.workFolder(id), 'added');
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    throw core.noticed(toExdicomError(thrown));
  }
  const copies = await core.task('ledger.add', { folder, paths: files.map(({ path }) => path) }, files.reduce((sum, { bytes }) => sum + bytes, 0));
  const numbers = await core.store.numberFiles(id, files.map(({ sopInstanceUID }, index) => ({ sopInstanceUID, sha256: copies[index]!.sha256 })));
  return files.map((file, index) => ({ ...file, path: copies[index]!.path, bytes: copies[index]!.bytes, instance: numbers[index]! }));
}
