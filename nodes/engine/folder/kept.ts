/** Originals of closed jobs where they were kept: a folder of the job's own in `done` or `failed`. */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { look, lookInto } from './candidates';
import type { Candidate } from './candidates';

/** What a source writes beside the originals that it keeps. */
export const REASON_FILE = 'reason.json';

const REASONS = /^reason(?:\.exdicom)*\.json$/i;
/** The one of these files that may be a reason: where an original is called so too, ours has the longer name. */
const reasonAmong = (names: readonly string[]): string | undefined => names.filter((name) => REASONS.test(name)).toSorted((a, b) => b.length - a.length)[0];

/** What the reason is called beside these originals: `reason.json`, or a name that none of them has on any file system. */
export function reasonFileFor(roots: readonly string[]): string {
  const taken = reasonAmong(roots.map((root) => basename(root)));
  return taken === undefined ? REASON_FILE : taken.toLowerCase().replace(/json$/, 'exdicom.json');
}

/**
 * What a watched folder's job was made of, kept as it lay there; undefined where it is not, or not alone, in the folder.
 * @param withReason whether the job ended with a reason beside it.
 */
export async function keptOriginal(folder: string, withReason: boolean, signal: AbortSignal): Promise<Candidate | undefined> {
  const reason = withReason ? reasonAmong(await readdir(folder).catch(() => [])) : undefined;
  const candidates = await look({ folder, subfolders: true, skip: (path) => basename(path) === reason, signal }).catch(() => []);
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
