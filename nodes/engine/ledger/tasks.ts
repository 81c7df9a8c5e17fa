/** What the ledger does with files, on worker threads. */
import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync, constants, copyFileSync, existsSync, fstatSync, fsyncSync, linkSync, mkdirSync, openSync, readSync, readdirSync, renameSync, rmSync, rmdirSync, statSync, unlinkSync, writeFileSync, writeSync,
} from 'node:fs';
import type { Stats } from 'node:fs';
import { dirname, join } from 'node:path';
import { ExdicomError, toExdicomError } from '../errors';
import { withBlock } from '../memory';
import type { OwnPath, Sha256 } from '../model';
import type { Task, TaskContext } from '../workers/task';
import { verify } from './verify-journal';


export interface SpoolInput {
  /** Absolute; made by the ledger. */
  readonly folder: string;
  /** Number of the first item. */
  readonly first: number;
  readonly items: ReadonlyArray<{ readonly path: string; readonly bytes: number; readonly mtimeMs: number }>;
}

export interface SpooledFile {
  readonly path: OwnPath;
  readonly bytes: number;
  readonly sha256: Sha256;
}

/** File name of a spooled item: its number, nothing of its own name. */
export const itemName = (n: number): string => String(n).padStart(4, '0');

function sourceError(thrown: unknown): ExdicomError {
  const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? thrown.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') return new ExdicomError('SOURCE_GONE', { origin: thrown });
  return new ExdicomError('SOURCE_UNREADABLE', { origin: thrown, ...(typeof code === 'string' ? { detail: code } : {}) });
}

/** Runs what touches the source: its failures are told apart from those of our own disk. */
function fromSource<T>(body: () => T): T {
  try {
    return body();
  } catch (thrown) {
    throw sourceError(thrown);
  }
}

const unchanged = (stats: Stats, { bytes, mtimeMs }: { readonly bytes: number; readonly mtimeMs: number }): boolean => stats.isFile() && stats.size === bytes && stats.mtimeMs === mtimeMs;

function syncFolder(folder: string): void {
  const handle = openSync(folder, constants.O_RDONLY);
  try { fsyncSync(handle); } finally { closeSync(handle); }
}

function copyOne(item: SpoolInput['items'][number], target: string, buffer: Buffer, progress: (bytes: number) => void): Sha256 {
  // Not blocking, lest a named pipe holds the thread for ever.
  const source = fromSource(() => openSync(item.path, constants.O_RDONLY | constants.O_NONBLOCK));
  try {
    if (!unchanged(fromSource(() => fstatSync(source)), item)) throw new ExdicomError('SOURCE_CHANGED');
    const copy = openSync(target, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      const hash = createHash('sha256');
      let copied = 0;
      for (;;) {
        const read = fromSource(() => readSync(source, buffer, 0, buffer.length, null));
        if (read === 0) break;
        const part = buffer.subarray(0, read);
        hash.update(part);
        for (let at = 0; at < read;) at += writeSync(copy, part, at);
        copied += read;
        if (copied > item.bytes) throw new ExdicomError('SOURCE_CHANGED');
        progress(read);
      }
      fsyncSync(copy);
      const now = fromSource(() => statSync(item.path));
      if (copied !== item.bytes || !unchanged(fromSource(() => fstatSync(source)), item) || !unchanged(now, item)) throw new ExdicomError('SOURCE_CHANGED');
      return hash.digest('hex') as Sha256;
    } finally {
      closeSync(copy);
    }
  } finally {
    closeSync(source);
  }
}

/**
 * Copies the files of a source into a job's folder: read once, written, hashed, flushed. Nothing of a name is kept.
 * @throws {ExdicomError} SOURCE_GONE, SOURCE_UNREADABLE, SOURCE_CHANGED, DISK_FULL, STORAGE_FAILED
 */
function spool({ folder, first, items }: SpoolInput, context: TaskContext): SpooledFile[] {
  const total = items.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  const spooled = withBlock((buffer) => items.map((item, index) => {
    const path = join(folder, itemName(first + index));
    const sha256 = copyOne(item, path, buffer, (read) => { context.progress(done += read, total); });
    return { path: path as OwnPath, bytes: item.bytes, sha256 };
  }));
  syncFolder(folder);
  syncFolder(dirname(folder));
  return spooled;
}

/**
 * Copies files that a flow brought along, each under a name made of its digest: what is copied again is there already.
 * @throws {ExdicomError} as `spool`
 */
function add({ folder, paths }: { readonly folder: string; readonly paths: readonly string[] }, context: TaskContext): SpooledFile[] {
  const added = withBlock((buffer) => paths.map((from, index) => {
    const { size: bytes, mtimeMs } = fromSource(() => statSync(from));
    const half = join(folder, `${randomUUID()}.part`);
    try {
      const sha256 = copyOne({ path: from, bytes, mtimeMs }, half, buffer, () => undefined);
      const path = join(folder, `${sha256}.dcm`) as OwnPath;
      renameSync(half, path);
      return { path, bytes, sha256 };
    } catch (thrown) {
      rmSync(half, { force: true });
      throw thrown;
    } finally {
      context.progress(index + 1, paths.length);
    }
  }));
  syncFolder(folder);
  return added;
}

export interface FileLook {
  readonly bytes: number;
  readonly mtimeMs: number;
  /** Where it was asked for. */
  readonly sha256?: Sha256;
}

/** SHA-256 of a whole file. */
function digestFile(path: string): Sha256 {
  const handle = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return withBlock((buffer) => {
      const hash = createHash('sha256');
      for (let read = readSync(handle, buffer, 0, buffer.length, null); read > 0; read = readSync(handle, buffer, 0, buffer.length, null)) hash.update(buffer.subarray(0, read));
      return hash.digest('hex') as Sha256;
    });
  } finally {
    closeSync(handle);
  }
}

/** What lies on disk under each path; undefined where no readable file does. With `digest` the contents are hashed. */
function look({ paths, digest }: { readonly paths: readonly string[]; readonly digest: boolean }, context: TaskContext): Array<FileLook | undefined> {
  return paths.map((path, index) => {
    try {
      const stats = statSync(path, { throwIfNoEntry: false });
      if (stats === undefined || !stats.isFile()) return undefined;
      const { size: bytes, mtimeMs } = stats;
      return digest ? { bytes, mtimeMs, sha256: digestFile(path) } : { bytes, mtimeMs };
    } catch {
      return undefined;
    } finally {
      context.progress(index + 1, paths.length);
    }
  });
}

/** A folder that is away as a whole, as a disk that is not mounted, says nothing about what lies in it. */
function mustBeThere(root: string): void {
  if (!statSync(root).isDirectory()) throw new ExdicomError('STORAGE_FAILED', { stage: 'ledger' });
}

/** Which of these files somebody has taken away from below `root`. One that cannot be looked at is still there. */
function missing({ root, paths }: { readonly root: string; readonly paths: readonly string[] }): boolean[] {
  const gone = paths.map((path) => {
    try {
      statSync(path);
      return false;
    } catch (thrown) {
      return thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT';
    }
  });
  mustBeThere(root);
  return gone;
}

/** Removes files and folders; what is gone already is fine. */
function remove({ files, folders }: { readonly files: readonly string[]; readonly folders: readonly string[] }): void {
  for (const file of files) {
    try { unlinkSync(file); } catch (thrown) {
      if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT')) throw toExdicomError(thrown);
    }
  }
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 2 });
}

export interface AsideInput {
  /** The job's folder in the quarantine folder. */
  readonly folder: string;
  readonly files: ReadonlyArray<{ readonly path: string; readonly name: string; /** Written beside it. */ readonly reason: { readonly name: string; readonly text: string } }>;
}

/**
 * Sets files aside by a second name for the same bytes, so that a job that is sent again finds everything where it was;
 * its own name goes when the job closes. Doing it twice does no harm.
 */
function aside({ folder, files }: AsideInput): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const { path, name, reason } of files) {
    const half = join(folder, `${reason.name}.part`);
    writeFileSync(half, reason.text, { mode: 0o600, flush: true });
    renameSync(half, join(folder, reason.name));
    const target = join(folder, name);
    if (existsSync(target) || !existsSync(path)) continue;
    try {
      linkSync(path, target);
    } catch {
      copyFileSync(path, `${target}.part`, constants.COPYFILE_FICLONE);
      renameSync(`${target}.part`, target);
    }
    const handle = openSync(target, 'r+');
    try { fsyncSync(handle); } finally { closeSync(handle); }
  }
  syncFolder(folder);
}

/** Removes files below `root`, and then the folders that hold nothing more of ours: what a person put there stays. */
function unaside({ root, names }: { readonly root: string; readonly names: readonly string[] }): void {
  mustBeThere(root);
  remove({ files: names.map((name) => join(root, name)), folders: [] });
  for (const folder of new Set(names.map((name) => dirname(join(root, name))))) {
    try {
      // The list of reasons that an older version kept for the folder.
      if (readdirSync(folder).join() === 'reason.json') unlinkSync(join(folder, 'reason.json'));
      rmdirSync(folder);
    } catch { /* It is not empty, or gone already. */ }
  }
}

export const ledgerTasks = {
  'ledger.aside': aside,
  'ledger.unaside': unaside,
  'ledger.spool': spool,
  'ledger.add': add,
  'ledger.look': look,
  'ledger.missing': missing,
  'ledger.remove': remove,
  'ledger.verify': verify,
} satisfies Record<string, Task<never, unknown>>;
