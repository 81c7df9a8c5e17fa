/** Jobs that reach a stage as they were taken in, without `extract` in front: a message's own files, a received study. */
import { dirname } from 'node:path';
import { extract } from '../engine/archive/extract';
import { DEFAULT_SETTINGS } from '../engine/archive/settings';
import type { DicomFile } from '../engine/model';
import type { JobArrival } from './stage';

/** The job's instances, numbered and accounted for, where these paths are what the job took in; else undefined. */
export async function unpackSpool({ ledger, token, signal, progress }: JobArrival, paths: readonly string[]): Promise<readonly DicomFile[] | undefined> {
  const [path, ...more] = paths;
  const [first, ...others] = await ledger.spool(token.id);
  if (path === undefined || more.length > 0 || first === undefined) return undefined;
  if (path !== dirname(first.path) && (others.length > 0 || path !== first.path)) return undefined;
  const { files } = await extract(ledger, token, DEFAULT_SETTINGS, { signal, progress: (done, total) => { progress.report(done, total); } });
  return files;
}
