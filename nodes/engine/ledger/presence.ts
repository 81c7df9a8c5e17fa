/** Which messages of which job are inside our nodes now. In memory and synchronous: it must never be late. */
import { ExdicomError } from '../errors';
import type { Stage } from '../errors';
import type { JobToken } from '../model';
import { clock } from './core';
import type { LedgerCore, LiveJob } from './core';
import type { Visit } from './ledger-types';

export class Presence {
  readonly #core: LedgerCore;
  readonly #left: (job: LiveJob, settled: readonly Stage[]) => void;
  readonly #isFinisher: (node: string) => boolean;

  /** @param left is called when a message has left, with the stages whose work has ended with it; the job may be quiet now. */
  constructor(core: LedgerCore, isFinisher: (node: string) => boolean, left: (job: LiveJob, settled: readonly Stage[]) => void) {
    this.#core = core;
    this.#isFinisher = isFinisher;
    this.#left = left;
  }

  /** @throws {ExdicomError} JOB_UNKNOWN, JOB_CANCELLED, LEDGER_CLOSED */
  enter(token: JobToken, node: string): Visit {
    const core = this.#core;
    const { id } = token;
    if (!core.ready) throw new ExdicomError('LEDGER_CLOSED');
    const job = token.ledger === core.id ? core.jobs.get(id) : undefined;
    if (job === undefined || job.row.state === 'closing') {
      if (core.cancelled(id)) throw new ExdicomError('JOB_CANCELLED', { job: token.name });
      // The last message of a job may reach finish just after an earlier one has closed it.
      if (this.#isFinisher(node) && (job !== undefined || core.closedLately(id))) return { job: id, signal: new AbortController().signal, leave: () => undefined, interrupt: () => undefined };
      throw new ExdicomError('JOB_UNKNOWN', { job: token.name });
    }
    const visit = Symbol(node);
    job.visits.set(visit, node);
    job.activeAt = clock();
    const end = (interrupted: boolean): void => {
      if (!job.visits.delete(visit)) return;
      job.activeAt = clock();
      if (interrupted) job.interrupted = true;
      this.#left(job, endedWith(job, visit));
    };
    return { job: id, signal: job.stop.signal, leave: () => { end(false); }, interrupt: () => { end(true); } };
  }
}

/** Attempts are begun by one of the messages inside; when all that were inside then have left, they are over. */
function endedWith(job: LiveJob, visit: symbol): Stage[] {
  const ended: Stage[] = [];
  for (const [stage, visits] of job.attempts) {
    visits.delete(visit);
    if (visits.size > 0) continue;
    job.attempts.delete(stage);
    ended.push(stage);
  }
  return ended;
}
