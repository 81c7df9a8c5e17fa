/** Jobs whose files nobody else has: a received study, a message's Buffer. Where they fail, what came in is kept for a person. */
import { join } from 'node:path';
import { keepSpool, writeWhole } from '../engine/folder/originals';
import type { Disposition, Job, Ledger, Reason } from '../engine/ledger/ledger-types';

export async function keepOnlyCopy(ledger: Ledger, job: Job, disposition: Disposition, reason: Reason): Promise<void> {
  if (disposition !== 'failed') return;
  const folder = join(ledger.folders.failed, job.name);
  await keepSpool((await ledger.spool(job.id)).map(({ path }) => path), folder);
  await writeWhole(join(folder, 'reason.json'), `${JSON.stringify(reason, undefined, 2)}\n`);
}
