/** Originals of closed jobs where they were kept: a folder of the job's own in `done` or `failed`. */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { look, lookInto } from './candidates';
import type { Candidate } from './candidates';

/** What a source writes beside the originals that it keeps. */
export const REASON_FILE = 'reason.json';

/** What a watched folder's job was made of, kept as it lay there; undefined where it is not, or not alone, in the folder. */
export async function keptOriginal(folder: string, signal: AbortSignal): Promise<Candidate | undefined> {
  const candidates = await look({ folder, subfolders: true, skip: (path) => basename(path) === REASON_FILE, signal }).catch(() => []);
  return candidates.length === 1 ? candidates[0] : undefined;
}

/** The files of a job that had no other copy; as a folder, since there may be thousands. */
export async function keptFiles(folder: string, signal: AbortSignal): Promise<Candidate | undefined> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const [first, ...others] = entries.filter(({ name }) => name !== REASON_FILE);
  // Kept a second time they are in a folder within the folder.
  const inside = first?.isDirectory() === true && others.length === 0;
  const found = await lookInto(inside ? join(folder, first.name) : folder, signal);
  const files = found?.files.filter(({ name }) => name !== REASON_FILE) ?? [];
  return found === undefined || files.length === 0 ? undefined : { ...found, files };
}
