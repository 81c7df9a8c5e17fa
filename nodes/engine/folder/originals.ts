/**
 * What becomes of a job's originals in a watched folder: moved away, deleted or left. Every step can be done again after a
 * crash, and an original that is not as it was taken in is never touched.
 */
import { hash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, copyFile, cp, lstat, mkdir, open, opendir, rename, rm, utimes } from 'node:fs/promises';
import { basename, dirname, join, parse } from 'node:path';
import { fingerprint, lookInto } from './candidates';
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
 * Moves the originals into `folder`, under their own names; across file systems by copy, fsync and unlink. What lies there
 * under the same name is never written over.
 * @returns `changed` where they are no longer what was taken in: they stay; `gone` where there is nothing to move.
 */
export function moveOriginals(originals: Originals, folder: string, signal: AbortSignal): Promise<Moved> {
  return inTurn(folder, () => moveAway(originals, folder, signal));
}

async function moveAway({ kind, roots, fingerprint: taken }: Originals, folder: string, signal: AbortSignal): Promise<Moved> {
  const left: string[] = [];
  for (const root of roots) {
    // A copy has its name when it is complete: what a crash has left of its original goes.
    if (await isCopy(root, join(folder, basename(root)))) await rm(root, { recursive: true, force: true });
    if (await exists(root)) left.push(root);
  }
  if (left.length === 0) return (await exists(join(folder, basename(roots[0] ?? '')))) ? 'moved' : 'gone';
  // After a crash half way some volumes of a set have moved already; the rest cannot be compared any more, and follows.
  const halfWay = left.length < roots.length && (await exists(folder));
  if (!halfWay && (await fingerprint(kind, roots, signal)) !== taken) return 'changed';
  await mkdir(folder, { recursive: true });
  const brought: Brought[] = [];
  for (const root of left) brought.push(await bring(root, join(folder, basename(root))));
  // Somebody may have put another one in its place a moment before, or while it was copied.
  const now = brought.map(({ root, target, copied }) => (copied ? root : target));
  if (!halfWay && (await fingerprint(kind, now, new AbortController().signal, roots.map((root) => basename(root)))) !== taken) {
    for (const one of brought) await putBack(one);
    return 'changed';
  }
  for (const one of brought) await settle(one);
  await sync(folder);
  return 'moved';
}

/** Deletes the originals if they are still what was taken in. @returns `unread` where a sub-folder holds what nobody has read: it stays. */
export async function deleteOriginals(originals: Originals, signal: AbortSignal): Promise<Moved | 'unread'> {
  const now = await fingerprint(originals.kind, originals.roots, signal);
  if (now === undefined) {
    if (!(await Promise.all(originals.roots.map(exists))).includes(true)) return 'gone';
    return 'changed';
  }
  if (now !== originals.fingerprint) return 'changed';
  if (originals.kind === 'folder' && (await lookInto(originals.roots[0] ?? '', signal))?.unread !== false) return 'unread';
  for (const root of originals.roots) await rm(root, { recursive: true, force: true });
  return 'moved';
}

/** Moves a job's spooled files into `folder`, under our own names; those that have gone already have moved before. */
export function keepSpool(paths: readonly string[], folder: string): Promise<void> {
  return inTurn(folder, async () => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const path of paths) {
      const target = join(folder, basename(path));
      if (await isCopy(path, target)) await rm(path, { force: true });
      else if (await exists(path)) await settle(await bring(path, target));
    }
    await sync(folder);
  });
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

/** Moves into one folder follow one another: a deploy may ask for one again while the one before is still copying. */
const moving = new Map<string, Promise<unknown>>();

async function inTurn<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const before = moving.get(folder);
  const turn = (async () => {
    await Promise.allSettled([before]);
    return work();
  })();
  moving.set(folder, turn);
  try {
    return await turn;
  } finally {
    if (moving.get(folder) === turn) moving.delete(folder);
  }
}

interface Brought {
  readonly root: string;
  readonly target: string;
  /** It lies in both places until it is settled. */
  readonly copied: boolean;
}

async function bring(root: string, wanted: string): Promise<Brought> {
  const target = await freeName(wanted);
  try {
    await rename(root, target);
    return { root, target, copied: false };
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EXDEV') throw thrown;
  }
  const temporary = temporaryName(target);
  await rm(temporary, { recursive: true, force: true });
  const facts = await lstat(root);
  if (facts.isDirectory()) {
    await cp(root, temporary, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    await syncInside(temporary);
  } else {
    await copyFile(root, temporary, constants.COPYFILE_EXCL);
    await utimes(temporary, facts.atime, facts.mtime);
  }
  await sync(temporary);
  await rename(temporary, target);
  await sync(dirname(target));
  return { root, target, copied: true };
}

async function settle({ root, copied }: Brought): Promise<void> {
  if (copied) await rm(root, { recursive: true, force: true });
}

async function putBack({ root, target, copied }: Brought): Promise<void> {
  if (copied) await rm(target, { recursive: true, force: true });
  else if (!(await exists(root))) await rename(target, root);
}

/** Bytes of a file name on all common file systems. */
const NAME_MAX = 255;

/** The same for the same target, so that what a crash left is found again. */
function temporaryName(target: string): string {
  const name = `${basename(target)}.part`;
  return join(dirname(target), Buffer.byteLength(name) <= NAME_MAX ? name : `${hash('sha256', name).slice(0, 32)}.part`);
}

/** `x.zip`, or `x (2).zip` where that is there already. */
async function freeName(path: string): Promise<string> {
  const { dir, name, ext } = parse(path);
  for (let n = 2, free = path; ; n += 1) {
    if (!(await exists(free))) return free;
    let stem = name;
    while (stem !== '' && Buffer.byteLength(`${stem} (${n})${ext}`) > NAME_MAX) stem = stem.slice(0, -1);
    free = join(dir, `${stem} (${n})${ext}`);
  }
}

/** Milliseconds by which the time of a copy may differ: some file systems count in twos of seconds. */
const COARSE = 2000;

/** Whether all that is left of an original is in its copy as well. */
async function isCopy(original: string, copy: string): Promise<boolean> {
  const [one, other] = await Promise.all([original, copy].map((path) => lstat(path).catch(() => undefined)));
  if (one === undefined || other === undefined || one.isDirectory() !== other.isDirectory()) return false;
  if (!one.isDirectory()) return one.size === other.size && Math.abs(one.mtimeMs - other.mtimeMs) <= COARSE;
  for await (const entry of await opendir(original)) {
    if (!(await isCopy(join(original, entry.name), join(copy, entry.name)))) return false;
  }
  return true;
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
