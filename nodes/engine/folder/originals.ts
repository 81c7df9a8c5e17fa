/**
 * What becomes of a job's originals in a watched folder: moved away, deleted or left. Every step can be done again after a
 * crash, and an original that is not as it was taken in is never touched.
 */
import { constants } from 'node:fs';
import { access, copyFile, cp, lstat, mkdir, open, opendir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fingerprint } from './candidates';
import type { Candidate } from './candidates';

/** What a `folder-in` keeps in the ledger of where a job came from. */
export interface Originals {
  readonly kind: Candidate['kind'];
  readonly roots: readonly string[];
  readonly fingerprint: string;
}

/** The ledger gives back what it was given, but as JSON that somebody may have touched. */
export function isOriginals(value: unknown): value is Originals {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, roots, fingerprint: print } = value as Record<string, unknown>;
  return (kind === 'files' || kind === 'folder') && typeof print === 'string' && Array.isArray(roots) && roots.length > 0
    && roots.every((root) => typeof root === 'string' && root !== '');
}

export type Moved = 'moved' | 'changed' | 'gone';

/**
 * Moves the originals into `folder`, under their own names; across file systems by copy, fsync and unlink.
 * @returns `changed` where they are no longer what was taken in: they stay; `gone` where there is nothing to move.
 */
export async function moveOriginals(originals: Originals, folder: string, signal: AbortSignal): Promise<Moved> {
  const there = await Promise.all(originals.roots.map(exists));
  if (!there.includes(true)) return (await exists(join(folder, basename(originals.roots[0] ?? '')))) ? 'moved' : 'gone';
  // After a crash half way some volumes of a set have moved already; the rest cannot be compared any more, and follows.
  const halfWay = there.includes(false) && (await exists(folder));
  if (!halfWay && (await fingerprint(originals.kind, originals.roots, signal)) !== originals.fingerprint) return 'changed';
  await mkdir(folder, { recursive: true });
  for (const [index, root] of originals.roots.entries()) {
    if (there[index] === true) await move(root, join(folder, basename(root)));
  }
  await sync(folder);
  return 'moved';
}

/** Deletes the originals if they are still what was taken in. */
export async function deleteOriginals(originals: Originals, signal: AbortSignal): Promise<Moved> {
  const now = await fingerprint(originals.kind, originals.roots, signal);
  if (now === undefined) {
    if (!(await Promise.all(originals.roots.map(exists))).includes(true)) return 'gone';
    return 'changed';
  }
  if (now !== originals.fingerprint) return 'changed';
  for (const root of originals.roots) await rm(root, { recursive: true, force: true });
  return 'moved';
}

/** Moves a job's spooled files into `folder`, under our own names; those that have gone already have moved before. */
export async function keepSpool(paths: readonly string[], folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const path of paths) if (await exists(path)) await move(path, join(folder, basename(path)));
  await sync(folder);
}

/** Writes a small text file whole: a reader sees all of it or nothing. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.part`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await sync(dirname(path));
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EXDEV') throw thrown;
    const temporary = `${to}.part`;
    await rm(temporary, { recursive: true, force: true });
    const folder = (await lstat(from)).isDirectory();
    if (folder) await cp(from, temporary, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    else await copyFile(from, temporary, constants.COPYFILE_EXCL);
    if (folder) await syncInside(temporary);
    await sync(temporary);
    await rm(to, { recursive: true, force: true }); // a copy that a crash left unnoticed
    await rename(temporary, to);
    await sync(dirname(to));
    await rm(from, { recursive: true, force: true });
  }
}

async function syncInside(folder: string): Promise<void> {
  for await (const entry of await opendir(folder, { recursive: true })) {
    if (entry.isFile()) await sync(join(entry.parentPath, entry.name));
  }
}

/** fsync of a file or folder; file systems that cannot do it for folders say so, and nothing better can be had. */
async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}
