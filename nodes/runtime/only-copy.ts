/** Jobs whose files nobody else has: a received study, a message's Buffer. Where they do not end well, what came in is kept for a person. */
import { join } from 'node:path';
import { isOriginals, moveOriginals } from '../engine/folder/originals';
import { keptFiles } from '../engine/folder/kept';
import { keepOnlyCopy, writeReason } from '../engine/ledger/only-copies';
import type { AgainIntake, Disposition, Job, JobSource, Ledger, Reason } from '../engine/ledger/ledger-types';

/**
 * How the source of such jobs disposes of them, and finds them again.
 * @param issuer the source's default Issuer of Patient ID; empty where it has none.
 */
export function onlyCopies(ledger: Ledger, issuer = ''): Required<Pick<JobSource, 'dispose' | 'again'>> {
  return {
    dispose: (job, origin, disposition, reason) => putAway(ledger, job, { origin, disposition, reason }),
    again: (job, take) => takeKept(ledger, job, (original) => take({ ...original, ...(issuer === '' ? {} : { issuer }) })),
  };
}

async function putAway(ledger: Ledger, job: Job, { origin, disposition, reason }: { readonly origin: unknown; readonly disposition: Disposition; readonly reason: Reason }): Promise<void> {
  const { done, failed } = ledger.folders;
  const folder = join(disposition === 'done' ? done : failed, job.name);
  // Sent again, it has an original: what was kept before.
  if (isOriginals(origin)) {
    if (disposition === 'put-back') return;
    await moveOriginals(origin, folder, new AbortController().signal);
    if (disposition !== 'done') await writeReason(folder, reason);
  } else if (disposition !== 'done') {
    // There is no place to put a cancelled one back to.
    await keepOnlyCopy(folder, (await ledger.spool(job.id)).map(({ path }) => path), reason);
  }
}

async function takeKept(ledger: Ledger, job: Job, take: (original: AgainIntake) => Promise<Job>): Promise<Job | undefined> {
  const { signal } = new AbortController();
  for (let of: Job | undefined = job; of !== undefined; of = of.againOf === undefined ? undefined : await ledger.job(of.againOf).catch(() => undefined)) {
    for (const place of [ledger.folders.failed, ledger.folders.done]) {
      const kept = await keptFiles(join(place, of.name), signal);
      if (kept === undefined) continue;
      const { kind, roots, fingerprint, files } = kept;
      return take({ kind: files.length === 1 ? 'file' : 'folder', items: files, origin: { kind, roots, fingerprint } });
    }
  }
  return undefined;
}
