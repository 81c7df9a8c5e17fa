/** Work on files outside the archives, on a worker thread: copying into a destination folder, saying what a file is. */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, fsyncSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { identifyFile } from '../dicom/identify';
import { ExdicomError, toExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import { withBlock } from '../memory';
import type { DicomFile } from '../model';
import type { Task } from '../workers/task';
import { seemsWhole } from './whole';

export interface CopyOrder {
  readonly instance: number;
  readonly from: string;
  /** Where it goes, and where it goes should another content lie there already. */
  readonly to: string;
  readonly otherwise: string;
  /** Lower-case hexadecimal SHA-256 of what is to be written. */
  readonly sha256: string;
}

export type CopyResult =
  | { readonly instance: number; readonly ok: true }
  | { readonly instance: number; readonly ok: false; readonly code: ErrorCode; /** What a person finds there. */ readonly detail?: string };

/** Writes each file whole under a temporary name, fsyncs, renames, reads it again and compares the digest. */
const copy: Task<{ readonly orders: readonly CopyOrder[]; readonly marker: string }, readonly CopyResult[]> = ({ orders, marker }, context) => {
  const folders = new Set<string>();
  const results: CopyResult[] = [];
  for (const order of orders) {
    results.push(withBlock((buffer) => copyOne(order, marker, buffer)));
    folders.add(dirname(order.to));
    context.progress(results.length, orders.length);
  }
  for (const folder of folders) syncFolder(folder);
  return results;
};

export type Description = { readonly ok: true; readonly file: DicomFile } | { readonly ok: false; readonly code: ErrorCode };

/** What each file is, in order: files that a flow brought along have no facts yet. */
const describe: Task<{ readonly paths: readonly string[] }, readonly Description[]> = ({ paths }, context) =>
  paths.map((path, index) => {
    context.progress(index + 1, paths.length);
    try {
      const found = identifyFile(path);
      if (found.kind === 'unreadable') return { ok: false, code: found.code };
      if (found.kind !== 'instance') return { ok: false, code: 'NO_DICOM' };
      const { sopClassUID, sopInstanceUID, seriesInstanceUID, studyInstanceUID, transferSyntaxUID, modality } = found.identity;
      const file = { path, bytes: statSync(path).size, sopClassUID, sopInstanceUID, seriesInstanceUID, studyInstanceUID, transferSyntaxUID, modality };
      return { ok: true, file };
    } catch (thrown) {
      const { code } = toExdicomError(thrown);
      return { ok: false, code: code === 'STORAGE_FAILED' ? 'SOURCE_UNREADABLE' : code };
    }
  });

const whole: Task<{ readonly paths: readonly string[] }, boolean> = ({ paths }) => {
  try {
    return seemsWhole(paths);
  } catch (thrown) {
    const { code, detail } = toExdicomError(thrown);
    if (code !== 'STORAGE_FAILED') throw thrown;
    throw new ExdicomError(detail === 'ENOENT' ? 'SOURCE_GONE' : 'SOURCE_UNREADABLE', { origin: thrown, ...(detail === undefined ? {} : { detail }) });
  }
};

export const folderTasks = { 'folder.copy': copy, 'folder.describe': describe, 'folder.whole': whole } satisfies Record<string, Task<never, unknown>>;

function copyOne({ instance, from, to, otherwise, sha256 }: CopyOrder, marker: string, buffer: Buffer): CopyResult {
  const temporary = `${dirname(to)}/.${marker}-${instance}.part`;
  try {
    const there = digestOf(to, buffer);
    if (there === sha256) return { instance, ok: true };
    const target = there === undefined ? to : otherwise;
    if (target === otherwise && digestOf(otherwise, buffer) === sha256) return { instance, ok: true };
    mkdirSync(dirname(target), { recursive: true });
    if (write(from, temporary, buffer) !== sha256) {
      rmSync(temporary, { force: true });
      return { instance, ok: false, code: 'SOURCE_CHANGED' };
    }
    renameSync(temporary, target);
    return digestOf(target, buffer) === sha256 ? { instance, ok: true } : { instance, ok: false, code: 'VERIFY_DIGEST' };
  } catch (thrown) {
    try { rmSync(temporary, { force: true }); } catch { /* the disk that failed us fails us again */ }
    const { code, detail } = toExdicomError(thrown);
    return { instance, ok: false, code, ...(isInTheWay(detail) ? { detail: 'a file is in the place of a folder' } : {}) };
  }
}

/** Nothing is written over what is not ours: a person must move it. */
const isInTheWay = (systemCode: string | undefined): boolean => systemCode === 'ENOTDIR' || systemCode === 'EEXIST';

/** @returns the digest of what was written */
function write(from: string, to: string, buffer: Buffer): string {
  const hash = createHash('sha256');
  const source = openSync(from, 'r');
  try {
    const target = openSync(to, 'w', 0o600);
    try {
      for (let length = readSync(source, buffer); length > 0; length = readSync(source, buffer)) {
        const chunk = buffer.subarray(0, length);
        hash.update(chunk);
        for (let at = 0; at < length;) at += writeSync(target, chunk, at);
      }
      fsyncSync(target);
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(source);
  }
  return hash.digest('hex');
}

/** Of a folder, a pipe or the like: nobody's digest. */
const NO_FILE = 'no file';

/** Undefined where there is nothing of that name. */
function digestOf(path: string, buffer: Buffer): string | undefined {
  let file: number;
  try {
    // Without O_NONBLOCK a named pipe would hold the worker.
    file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
  try {
    if (!fstatSync(file).isFile()) return NO_FILE;
    const hash = createHash('sha256');
    for (let length = readSync(file, buffer); length > 0; length = readSync(file, buffer)) hash.update(buffer.subarray(0, length));
    return hash.digest('hex');
  } finally {
    closeSync(file);
  }
}

/** Makes the renames durable where the file system can; where it cannot, it says so, and nothing better can be had. */
function syncFolder(path: string): void {
  try {
    const folder = openSync(path, 'r');
    try { fsyncSync(folder); } finally { closeSync(folder); }
  } catch { /* a folder that was not made: its copies have failed and told why */ }
}
