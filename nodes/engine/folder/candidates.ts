/** What lies in a watched folder and could be a job: files, sets of volumes, sub-folders; each with a fingerprint of its state. */
import { hash } from 'node:crypto';
import { lstat, opendir } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { isJunkName } from '../archive/names';
import { volumeSets } from '../archive/volumes';
import { ExdicomError } from '../errors';

export interface CandidateFile {
  readonly path: string;
  /** Relative to the watched folder, or to the sub-folder. */
  readonly name: string;
  readonly bytes: number;
  readonly mtimeMs: number;
}

export interface Candidate {
  readonly kind: 'files' | 'folder';
  /** The files themselves, or the sub-folder: what is moved away in the end. */
  readonly roots: readonly string[];
  /** The volumes of a set in their order. */
  readonly files: readonly CandidateFile[];
  /** Equal as long as nothing in it changed: names, sizes, times of change. */
  readonly fingerprint: string;
  /** Time of the last change, milliseconds since 1970: jobs are taken in order of age. */
  readonly mtimeMs: number;
  /** Something in it has the name of an unfinished transfer. */
  readonly unfinished: boolean;
  /** Something in it is not taken, and is not what systems leave behind: a dot file, or a transfer that was never finished. */
  readonly unread: boolean;
}

/** Entries of one sub-folder; a folder with more is left alone, and said so. */
const MAX_FILES = 100_000;

const UNFINISHED = /\.(part|tmp|crdownload|partial|download|filepart)$/i;
const isUnfinished = (name: string): boolean => UNFINISHED.test(name) || name.startsWith('.') || name.startsWith('~$');

export interface LookOptions {
  readonly folder: string;
  readonly subfolders: boolean;
  /** Absolute paths that are no candidates: our own folders, should they lie in the watched one, and what is a job already. */
  readonly skip: (path: string) => boolean;
  readonly signal: AbortSignal;
  /** Told of each item that is left because it cannot be read as a whole, or holds too much. */
  readonly left?: (error: ExdicomError) => void;
}

/**
 * One look at the folder: one file system call at a time, so that a dead network share holds up one thread and no more.
 * Links are not followed, dot files and unfinished transfers not taken.
 * @throws system errors, where the watched folder itself cannot be read.
 */
export async function look({ folder, subfolders, skip, signal, left = () => undefined }: LookOptions): Promise<readonly Candidate[]> {
  const found: CandidateFile[] = [];
  const candidates: Candidate[] = [];
  const parent = join(folder, sep);
  for await (const entry of await opendir(folder)) {
    signal.throwIfAborted();
    const path = `${parent}${entry.name}`;
    if (isUnfinished(entry.name) || skip(path)) continue;
    try {
      if (entry.isDirectory()) {
        const inside = subfolders ? await lookInside(path, signal) : undefined;
        if (inside !== undefined) candidates.push(inside);
      } else if (entry.isFile()) {
        const file = await facts(path, entry.name);
        if (file !== undefined) found.push(file);
      }
    } catch (thrown) {
      signal.throwIfAborted();
      left(unreadable(thrown));
    }
  }
  for (const set of volumeSets(found.map(({ name }) => name))) {
    const files = set.map((position) => found[position]!); // positions in what we gave it
    candidates.push({
      kind: 'files', roots: files.map(({ path }) => path), files, fingerprint: fingerprintOf(files),
      mtimeMs: newest(files), unfinished: false, unread: false,
    });
  }
  return candidates.toSorted((a, b) => a.mtimeMs - b.mtimeMs || (a.roots[0]! < b.roots[0]! ? -1 : 1)); // a candidate has a root
}

/** A sub-folder as a candidate; undefined where it is gone, cannot be read as a whole, or holds no regular file or too many. */
export async function lookInto(folder: string, signal: AbortSignal): Promise<Candidate | undefined> {
  try {
    return await lookInside(folder, signal);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

async function lookInside(folder: string, signal: AbortSignal): Promise<Candidate | undefined> {
  const files: CandidateFile[] = [];
  const ignored: CandidateFile[] = [];
  try {
    for await (const entry of await opendir(folder, { recursive: true })) {
      signal.throwIfAborted();
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const file = await facts(path, relative(folder, path));
      if (file === undefined) continue;
      if (isUnfinished(entry.name)) ignored.push(file);
      else files.push(file);
      if (files.length + ignored.length > MAX_FILES) throw new ExdicomError('LIMIT_ENTRIES', { stage: 'intake' });
    }
  } catch (thrown) {
    if (!isGone(thrown)) throw thrown;
    return undefined; // it was moved away while we looked: another look will tell
  }
  if (files.length === 0) return undefined;
  files.sort(byName);
  ignored.sort(byName);
  const all = [...files, ...ignored];
  return {
    kind: 'folder', roots: [folder], files, fingerprint: fingerprintOf(all), mtimeMs: newest(all),
    unfinished: ignored.some(({ name }) => UNFINISHED.test(name)), unread: ignored.some(({ name }) => !isJunkName(name)),
  };
}

/** The state of files or of a folder now, the files under these names; undefined where any of them is gone. */
export async function fingerprint(
  kind: Candidate['kind'], roots: readonly string[], signal: AbortSignal, names: readonly string[] = roots.map((root) => basename(root)),
): Promise<string | undefined> {
  if (kind === 'folder') return (await lookInto(roots[0] ?? '', signal))?.fingerprint;
  const files: CandidateFile[] = [];
  for (const [index, path] of roots.entries()) {
    const file = await facts(path, names[index] ?? '').catch(() => undefined);
    if (file === undefined) return undefined;
    files.push(file);
  }
  return fingerprintOf(files);
}

/** When anything about these files last changed, by the clock of their file system: nobody can set that back, as a copy does with its other time. Undefined where one is gone. */
export async function lastTouched(paths: readonly string[]): Promise<number | undefined> {
  let last = 0;
  for (const path of paths) {
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined) return undefined;
    last = Math.max(last, stats.ctimeMs);
  }
  return last;
}

async function facts(path: string, name: string): Promise<CandidateFile | undefined> {
  try {
    const { size, mtimeMs } = await lstat(path);
    return { path, name, bytes: size, mtimeMs };
  } catch (thrown) {
    if (!isGone(thrown)) throw thrown;
    return undefined; // since it was listed
  }
}

const codeOf = (thrown: unknown): unknown => (thrown instanceof Error && 'code' in thrown ? thrown.code : undefined);
const isGone = (thrown: unknown): boolean => codeOf(thrown) === 'ENOENT' || codeOf(thrown) === 'ENOTDIR';

function unreadable(thrown: unknown): ExdicomError {
  if (thrown instanceof ExdicomError) return thrown;
  const code = codeOf(thrown);
  return new ExdicomError('SOURCE_UNREADABLE', { origin: thrown, ...(typeof code === 'string' ? { detail: code } : {}) });
}

function fingerprintOf(files: readonly CandidateFile[]): string {
  return hash('sha256', files.map(({ name, bytes, mtimeMs }) => `${name}\0${bytes}\0${mtimeMs}\0`).join('')).slice(0, 32);
}

const byName = (a: CandidateFile, b: CandidateFile): number => (a.name < b.name ? -1 : Number(a.name > b.name));
const newest = (files: readonly CandidateFile[]): number => files.reduce((time, { mtimeMs }) => Math.max(time, mtimeMs), 0);
