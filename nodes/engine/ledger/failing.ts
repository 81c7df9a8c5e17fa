/** What becomes of a job whose stage failed. */
import { ExdicomError, awaitsPerson, toExdicomError } from '../errors';
import type { Stage } from '../errors';
import type { JobId, JobToken } from '../model';
import { clock } from './core';
import type { LedgerCore, LiveJob } from './core';
import { CONFIGURATION } from './ledger-types';
import type { Failure, Parked, RetryPolicy } from './ledger-types';
import { givesUp, nextTry } from './policy';
import type { Quarantine } from './quarantine';
import type { Replay } from './replay';
import { CONDEMNED_AT } from './store';
import type { ErrorFacts } from './store';

const isHeld = ({ code }: ExdicomError): boolean => code === 'DESTINATION_HELD';
const decided = ({ row }: LiveJob): boolean => row.state === 'closing';
/** Since when it fails, by the clock as it is now: that may have been set since, and a job must not be given up for it. */
const sinceOf = ({ failingAt }: LiveJob, now: number): { readonly failingSince?: number } => (failingAt === undefined ? {} : { failingSince: Math.round(now - (clock() - failingAt)) });
const factsOf = (job: LiveJob, error: ExdicomError): ErrorFacts => ({ code: error.code, stage: error.stage, message: error.forJob(job.row.name).message });

export class Failing {
  readonly #core: LedgerCore;
  readonly #replay: Replay;
  readonly #quarantine: Quarantine;
  readonly #settle: (job: LiveJob) => void;
  /** The failure of each job that is being written down. */
  readonly #deciding = new WeakMap<LiveJob, Promise<unknown>>();

  /** @param settle looks whether the job can be closed now. */
  constructor(core: LedgerCore, replay: Replay, quarantine: Quarantine, settle: (job: LiveJob) => void) {
    this.#core = core;
    this.#replay = replay;
    this.#quarantine = quarantine;
    this.#settle = settle;
  }

  /** By a retry node's policy where the job has one, else by the ledger's. */
  #policyOf({ row }: LiveJob): RetryPolicy {
    return row.policy ?? this.#core.settings.policy;
  }

  async fail({ id }: JobToken, error: ExdicomError, given?: RetryPolicy): Promise<Failure> {
    const core = this.#core;
    const job = core.live(id);
    const policy = given ?? this.#policyOf(job);
    // A full destination folder is that destination's affair; where it is on our disk, the intake finds that out.
    if (error.destination?.startsWith('folder:') !== true) core.noticed(error);
    if (job.row.doomed || decided(job)) return { kind: 'terminal' };
    try {
      const failure = await this.#inTurn(job, async () => (job.row.doomed ? { kind: 'terminal' } as const : this.#decide(job, error, policy)));
      // Cancelled while that was written down.
      return decided(job) ? { kind: 'terminal' } : failure;
    } catch (thrown) {
      const failure = core.noticed(toExdicomError(thrown));
      if (failure.code !== 'DISK_FULL') throw failure;
      // It cannot even be written down; the job goes on when there is room again.
      Object.assign(job, { wantsSend: true, notBefore: clock() + policy.delay });
      return { kind: 'parked', until: Date.now() + policy.delay };
    }
  }

  /** Two messages of a job may fail at once: the second goes on from what the first has made of the job. */
  #inTurn<T>(job: LiveJob, decide: () => Promise<T>): Promise<T> {
    const deciding = (this.#deciding.get(job) ?? Promise.resolve()).then(decide, decide);
    this.#deciding.set(job, deciding);
    return deciding;
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
      if (job.newPassword) job.wantsSend = true;
      this.#replay.schedule(job);
      this.#replay.pump();
      return { kind: 'needs-password' };
    }
    return error.retryable || awaitsPerson(error.code) ? this.#park(job, error, policy) : this.#doom(job, error);
  }

  async #park(job: LiveJob, error: ExdicomError, policy: RetryPolicy): Promise<Failure> {
    const core = this.#core;
    const { row } = job;
    // Several messages of one attempt may fail, each at its own destination: that is one failure, waited for once.
    const again = row.state === 'parked';
    const awaited = error.destination ?? (awaitsPerson(error.code) ? CONFIGURATION : undefined);
    const waitsFor = [...new Set([...(again ? row.waitsFor : []), ...(awaited === undefined ? [] : [awaited])])];
    if (isHeld(error)) return this.#parkHeld(job, error, again, waitsFor);
    const now = Date.now();
    // One that waits for a held destination only has not failed yet.
    const failures = again && row.nextAt !== undefined ? row.failures : row.failures + 1;
    const { failingSince = now } = sinceOf(job, now);
    if (givesUp(policy, { failures, failingSince }, now)) return this.#giveUp(job, error);
    const notBefore = Math.max(now + (error.retryAfter ?? 0), again ? row.notBefore ?? 0 : 0);
    const nextAt = Math.max(nextTry(policy, failures, now, notBefore), again ? row.nextAt ?? 0 : 0);
    core.update(job, await core.store.parked(row.id, { nextAt, notBefore, failures, failingSince, waitsFor, error: factsOf(job, error) }));
    job.interrupted = false;
    this.#replay.schedule(job);
    this.#replay.pump();
    return { kind: 'parked', until: nextAt };
  }

  /** A person holds the destination: no failure, and no clock runs. The job wakes when it is let go. */
  async #parkHeld(job: LiveJob, error: ExdicomError, again: boolean, waitsFor: readonly string[]): Promise<Failure> {
    const { row } = job;
    // What failed besides keeps its time, and its error is the one to show.
    const { nextAt, failingSince, notBefore } = again ? row : {};
    const facts = again && row.error !== undefined ? row.error : factsOf(job, error);
    this.#core.update(job, await this.#core.store.parked(row.id, {
      failures: again ? row.failures : 0, waitsFor, error: facts,
      ...(nextAt === undefined ? {} : { nextAt }), ...(failingSince === undefined ? {} : { failingSince }), ...(notBefore === undefined ? {} : { notBefore }),
    }));
    job.interrupted = false;
    this.#replay.schedule(job);
    this.#replay.destinations.parked(job);
    this.#replay.pump();
    return { kind: 'parked', until: nextAt ?? Number.POSITIVE_INFINITY };
  }

  #giveUp(job: LiveJob, { stage, code }: Pick<ErrorFacts, 'stage' | 'code'>): Promise<Failure> {
    return this.#doom(job, new ExdicomError('GAVE_UP', { stage, detail: `the last error was ${code}` }));
  }

  /** A retry node has a policy for a job that is parked by another. */
  async park({ id, attempt }: JobToken, policy: RetryPolicy): Promise<Parked> {
    const core = this.#core;
    const job = core.jobs.get(id);
    const row = job?.row ?? await core.store.job(id);
    if (row === undefined) return { kind: 'unknown-job' };
    const facts = { attempt: row.failures };
    if (job === undefined || row.doomed || row.state === 'closing') return { kind: row.error?.code === 'GAVE_UP' ? 'gave-up' : 'job-failed', ...facts };
    const now = Date.now();
    if (row.state !== 'parked' || row.error === undefined) {
      // It woke before its message came here: this is about a try that is over. What a deploy interrupted is sent again as well.
      const goesOn = row.attempt > attempt || job.interrupted || job.wantsSend;
      if (!goesOn) return { kind: 'not-parked', ...facts };
      core.update(job, await core.store.setPolicy(id, policy, undefined));
      return { kind: 'parked', until: now, ...facts };
    }
    if (givesUp(policy, { failures: row.failures, ...sinceOf(job, now) }, now)) {
      await this.#giveUp(job, row.error);
      return { kind: 'gave-up', ...facts };
    }
    const nextAt = row.nextAt === undefined ? undefined : nextTry(policy, row.failures, now, row.notBefore);
    core.update(job, await core.store.setPolicy(id, policy, nextAt));
    this.#replay.schedule(job);
    this.#replay.pump();
    return { kind: 'parked', ...(nextAt === undefined ? {} : { until: nextAt }), ...facts };
  }

  /**
   * A job is due whose destinations do not answer: that counts as the failure that it would be, at a fraction of the work. True
   * where it would be the last: then the job goes through the flow once more, so that its end is told there.
   */
  async refused(job: LiveJob): Promise<boolean> {
    const { id, failures: before } = job.row;
    const now = Date.now();
    const { failingSince = now } = sinceOf(job, now);
    const policy = this.#policyOf(job);
    const failures = before + 1;
    if (givesUp(policy, { failures, failingSince }, now)) return true;
    this.#core.update(job, await this.#core.store.postponed(id, nextTry(policy, failures, now), failures, failingSince));
    this.#replay.schedule(job);
    return false;
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
