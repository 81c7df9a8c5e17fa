/** What becomes of a job whose stage failed. */
import { ExdicomError, awaitsPerson, toExdicomError } from '../errors';
import type { Stage } from '../errors';
import type { JobId, JobToken } from '../model';
import { clock } from './core';
import type { LedgerCore, LiveJob } from './core';
import { CONFIGURATION } from './ledger-types';
import type { Failure, RetryPolicy } from './ledger-types';
import type { Quarantine } from './quarantine';
import type { Replay } from './replay';
import { CONDEMNED_AT } from './store';
import type { ErrorFacts } from './store';

/** Milliseconds to wait after the nth failure in a row; the destination's own wish is a minimum. */
export function retryDelay(policy: RetryPolicy, failures: number, retryAfter = 0, chance = Math.random()): number {
  const full = Math.min(policy.cap, policy.delay * policy.factor ** Math.max(0, failures - 1));
  return Math.round(Math.max(retryAfter, full * (1 - policy.jitter * chance)));
}

const factsOf = (job: LiveJob, error: ExdicomError): ErrorFacts => ({ code: error.code, stage: error.stage, message: error.forJob(job.row.name).message });

export class Failing {
  readonly #core: LedgerCore;
  readonly #replay: Replay;
  readonly #quarantine: Quarantine;
  readonly #settle: (job: LiveJob) => void;

  /** @param settle looks whether the job can be closed now. */
  constructor(core: LedgerCore, replay: Replay, quarantine: Quarantine, settle: (job: LiveJob) => void) {
    this.#core = core;
    this.#replay = replay;
    this.#quarantine = quarantine;
    this.#settle = settle;
  }

  async fail({ id }: JobToken, error: ExdicomError, policy: RetryPolicy = this.#core.settings.policy): Promise<Failure> {
    const core = this.#core;
    const job = core.live(id);
    core.noticed(error);
    if (job.row.doomed || job.row.state === 'closing') return { kind: 'terminal' };
    try {
      return await this.#decide(job, error, policy);
    } catch (thrown) {
      const failure = core.noticed(toExdicomError(thrown));
      if (failure.code !== 'DISK_FULL') throw failure;
      // It cannot even be written down; the job goes on when there is room again.
      Object.assign(job, { wantsSend: true, notBefore: clock() + policy.delay });
      return { kind: 'parked', until: Date.now() + policy.delay };
    }
  }

  async #decide(job: LiveJob, error: ExdicomError, policy: RetryPolicy): Promise<Failure> {
    const core = this.#core;
    const { id } = job.row;
    if (error.code === 'WORKER_CRASHED') {
      const stage = [...job.attempts.keys()].at(-1) ?? error.stage;
      const crashes = await core.store.crashed(id, stage);
      core.update(job, { ...job.row, crashes });
      if (crashes >= CONDEMNED_AT) return this.condemn(job, stage);
    }
    if (error.code === 'NEEDS_PASSWORD') {
      core.update(job, await core.store.needsPassword(id, factsOf(job, error)));
      this.#replay.schedule(job);
      this.#replay.pump();
      return { kind: 'needs-password' };
    }
    return error.retryable || awaitsPerson(error.code) ? this.#park(job, error, policy) : this.#doom(job, error);
  }

  async #park(job: LiveJob, error: ExdicomError, policy: RetryPolicy): Promise<Failure> {
    const core = this.#core;
    const { row } = job;
    const now = Date.now();
    const failingSince = row.failingSince ?? now;
    if (now - failingSince > policy.maximumAge) {
      return this.#doom(job, new ExdicomError('GAVE_UP', { stage: error.stage, detail: `the last error was ${error.code}`, origin: error }));
    }
    // Several messages of one attempt may fail, each at its own destination: that is one failure, waited for once.
    const again = row.state === 'parked';
    const failures = again ? row.failures : row.failures + 1;
    const nextAt = Math.max(now + retryDelay(policy, failures, error.retryAfter), again ? row.nextAt ?? 0 : 0);
    const awaited = error.destination ?? (awaitsPerson(error.code) ? CONFIGURATION : undefined);
    const waitsFor = [...new Set([...(again ? row.waitsFor : []), ...(awaited === undefined ? [] : [awaited])])];
    core.update(job, await core.store.parked(row.id, { nextAt, failures, failingSince, waitsFor, error: factsOf(job, error) }));
    job.interrupted = false;
    this.#replay.schedule(job);
    this.#replay.pump();
    return { kind: 'parked', until: nextAt };
  }

  async #doom(job: LiveJob, error: ExdicomError): Promise<Failure> {
    this.#core.update(job, await this.#core.store.doomed(job.row.id, factsOf(job, error)));
    Object.assign(job, { dueAt: undefined, wantsSend: false });
    this.#settle(job);
    return { kind: 'terminal' };
  }

  /** Ended its worker or the process too often: what no stage has handled yet is set aside, and the job fails. */
  async condemn(job: LiveJob, stage: Stage): Promise<Failure> {
    const { id } = job.row;
    const files = await this.#core.store.unprepared(id);
    await this.#quarantine.add(id, files.map(({ instance, path }) => ({ instance, path, code: 'CONDEMNED', stage })));
    return this.#doom(job, new ExdicomError('CONDEMNED', { stage }));
  }

  async attempting(id: JobId, stage: Stage): Promise<boolean> {
    const job = this.#core.live(id);
    const visits = job.attempts.get(stage) ?? new Set();
    for (const visit of job.visits.keys()) visits.add(visit);
    job.attempts.set(stage, visits);
    await this.#core.store.attempting(id, stage);
    return job.row.crashes > 0;
  }

  async progressed(id: JobId, stage: Stage): Promise<void> {
    const job = this.#core.live(id);
    const crashes = await this.#core.store.progressed(id, stage);
    this.#core.update(job, { ...job.row, crashes });
    if (crashes === 0) this.#replay.pump();
  }
}
