/** Jobs of every kind at once for tests: zip and rar archives, sub-folders, and studies that a modality sends by itself. */
import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { rar } from './archives';
import { run } from './dcmtk';
import { drop, sampleStudy } from './main-flow';

export type Kind = 'zip' | 'rar' | 'folder of files' | 'folder with a zip' | 'received';

export interface Material {
  readonly kind: Kind;
  /** In the inbox, or of the folder that is sent. */
  readonly name: string;
  /** The study as a zip. */
  readonly archive: Buffer;
  /** Its slices, unpacked. */
  readonly slices: string;
}

/** Slices of one study. */
export const SLICES = 24;

/** One study for each of the kinds, unpacked below `folder`. */
export async function material(folder: string, kinds: readonly Kind[]): Promise<readonly Material[]> {
  const made: Material[] = [];
  for (const [n, kind] of kinds.entries()) {
    const slices = join(folder, `slices ${n}`);
    const archive = await sampleStudy(folder);
    await mkdir(slices, { recursive: true });
    const zipped = join(folder, 'to-unpack.zip');
    await writeFile(zipped, archive);
    const unpacked = await run('bsdtar', ['-xf', zipped, '-C', slices]);
    assert.equal(unpacked.code, 0, unpacked.stderr);
    await rm(zipped);
    made.push({ kind, archive, slices, name: `study ${n}${kind === 'zip' ? '.zip' : ''}${kind === 'rar' ? '.rar' : ''}` });
  }
  return made;
}

async function contents(folder: string): Promise<ReadonlyArray<{ readonly name: string; readonly data: Buffer }>> {
  const entries = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return Promise.all(entries.map(async ({ parentPath, name }) => ({ name, data: await readFile(join(parentPath, name)) })));
}

/** Puts it into the inbox in one step; what is received is not for it. */
export async function dropMaterial(userDir: string, { kind, name, archive, slices }: Material): Promise<void> {
  if (kind === 'zip') return drop(userDir, name, archive);
  const files = await contents(slices);
  if (kind === 'rar') return drop(userDir, name, rar(files));
  const folder = join(userDir, 'whole', name);
  await mkdir(folder, { recursive: true });
  for (const file of kind === 'folder of files' ? files : [{ name: 'study.zip', data: archive }]) await writeFile(join(folder, file.name), file.data);
  await mkdir(join(userDir, 'data', 'inbox'), { recursive: true });
  return rename(folder, join(userDir, 'data', 'inbox', name));
}

/** Sends until everything was answered with success, as a modality does. */
export async function sendUntilStored(folder: string, port: number, over: () => boolean): Promise<void> {
  while (!over()) {
    const { code } = await run('storescu', ['+sd', '+r', '-aet', 'SENDER', '-aec', 'TEST', '127.0.0.1', String(port), folder]);
    if (code === 0) return;
    await sleep(300);
  }
}
