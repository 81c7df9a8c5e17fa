/**
 * Work folders that hold what nobody else has: received studies, messages' Buffers. Where the ledger does not know such a
 * folder, because an older copy of it was put back or it began anew, its files are kept for a person and not swept away.
 */
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ExdicomError } from '../errors';
import { REASON_FILE } from '../folder/kept';
import { keepSpool, writeWhole } from '../folder/originals';
import type { JobKind, LedgerFolders, Reason } from './ledger-types';

const MARK = 'only-copy';
/** The original of the others lies elsewhere. */
const ONLY_COPIES: ReadonlySet<JobKind> = new Set<JobKind>(['received', 'message']);

export const isOnlyCopy = (kind: JobKind): boolean => ONLY_COPIES.has(kind);

/** Says so of a job's work folder, from before anybody is told that its files are safe with us. */
export async function markOnlyCopy(workFolder: string): Promise<void> {
  await mkdir(workFolder, { recursive: true, mode: 0o700 });
  await writeFile(join(workFolder, MARK), '', { mode: 0o600, flush: true });
}

/** Moves what a job took in into `folder`, for a person, with the reason beside it. Doing it twice does no harm. */
export async function keepOnlyCopy(folder: string, paths: readonly string[], reason: Reason): Promise<void> {
  await keepSpool(paths, folder);
  await writeReason(folder, reason);
}

export function writeReason(folder: string, reason: object): Promise<void> {
  return writeWhole(join(folder, REASON_FILE), `${JSON.stringify(reason, undefined, 2)}\n`);
}

/** Moves what these folders took in, where they are marked, to `failed/unknown <id>`, with a reason beside it. Doing it twice does no harm. @throws system errors, where one cannot be looked at. */
export async function keepOnlyCopies({ work, failed }: LedgerFolders, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const taken = join(work, name, 'in');
    const marked = await stat(join(work, name, MARK)).catch(absent);
    const files = marked === undefined ? [] : (await readdir(taken).catch(absent) ?? []).filter((file) => file !== REASON_FILE);
    if (files.length === 0) continue;
    const folder = join(failed, `unknown ${name}`);
    const { code, message } = new ExdicomError('JOB_UNKNOWN', { detail: 'its files were found when the ledger opened' });
    const reason = { job: `unknown ${name}`, outcome: 'failed', at: new Date().toISOString(), error: { code, stage: 'ledger', message } };
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // First, since without files nobody would write it any more.
    await writeReason(folder, reason);
    await keepSpool(files.map((file) => join(taken, file)), folder);
  }
}

/** What cannot be looked at is not absent: it is swept only when it has been seen to hold nothing. */
function absent(thrown: unknown): undefined {
  if (thrown instanceof Error && 'code' in thrown && (thrown.code === 'ENOENT' || thrown.code === 'ENOTDIR')) return undefined;
  throw thrown;
}
