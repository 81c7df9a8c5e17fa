/** When a job is complete, what its outcome is, and the steps of closing it: each recorded, retried until done, done once. */
import { join } from 'node:path';
import { ExdicomError, toExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import type { JobId, JobToken, Outcome } from '../model';
import { judge, leftOut, unfinished } from './accounting';
import { jobOf } from './core';
import type { LedgerCore, LiveJob } from './core';
import type { Disposition, Finisher, FinishRule, Receipt } from './ledger-types';
import { isOnlyCopy, keepOnlyCopy } from './only-copies';
import type { Quarantine } from './quarantine';
import type { Replay } from './replay';
import { standIn } from './stand-in';
import type { ErrorFacts } from './store';

/** Milliseconds without a message inside before a failed job closes: between two nodes a message is in neither. */
const SETTLE = 250;
/** Milliseconds between two tries of a step, at first and at most. */
const STEP_DELAY = 5000, STEP_CAP = 600_000;

const DISPOSITIONS: Readonly<Record<Outcome, Disposition>> = {
  complete: 'done', duplicate: 'done', 'with-exceptions': 'failed', failed: 'failed', cancelled: 'put-back',
};

export interface Finish {
  readonly closed: boolean;
  readonly waitingFor?: string;
  /** No receipt comes to the node that asked: it went out before, or goes to another. */
  readonly told?: true;
}

export class Closing {
  readonly #core: LedgerCore;
  readonly #replay: Replay;
  readonly #configuration: () => string;
  readonly #quarantine: Quarantine;
  readonly #finishers = new Map<string, { readonly rule: FinishRule; readonly finisher: Finisher }>();
  readonly #timers = new Map<JobId, NodeJS.Timeout>();
  /** Jobs whose closing steps were asked for while they ran. */
  readonly #again = new Set<JobId>();
  /** Looks at one job follow one another. */
  readonly #looks = new Map<JobId, Promise<Finish>>();

  constructor(core: LedgerCore, replay: Replay, configuration: () => string, quarantine: Quarantine) {
    this.#core = core;
    this.#replay = replay;
    this.#configuration = configuration;
    this.#quarantine = quarantine;
  }

  attachFinisher(node: string, rule: FinishRule, finisher: Finisher): Disposable {
    const entry = { rule, finisher };
    this.#finishers.set(node, entry);
    return { [Symbol.dispose]: () => { if (this.#finishers.get(node) === entry) this.#finishers.delete(node); } };
  }

  /** The finish node that a job has visited, or the one that stands in for it now. */
  #finisherOf(node: string): { readonly rule: FinishRule; readonly finisher: Finisher } | undefined {
    const found = standIn('finish', node, this.#finishers.keys());
    return found === undefined ? undefined : this.#finishers.get(found);
  }

  isFinisher(node: string): boolean {
    return this.#finishers.has(node);
  }

  async finish({ id, name }: JobToken, node: string): Promise<Finish> {
    const core = this.#core;
    const job = core.jobs.get(id);
    if (job === undefined) {
      if (core.closedLately(id) || (await core.store.receipt(id)) !== undefined) return { closed: true, told: true };
      throw new ExdicomError('JOB_UNKNOWN', { job: name, stage: 'finish' });
    }
    if (job.row.finishNode === undefined && job.row.state !== 'closing') {
      // Of two that it visits at the same moment the store knows which was first.
      const first = await core.store.visited(id, node);
      core.update(job, { ...job.row, finishNode: first });
    }
    const { finishNode } = job.row;
    const teller = finishNode === undefined ? undefined : this.#finisherOf(finishNode);
    const told = teller === undefined || teller === this.#finishers.get(node) ? {} : { told: true } as const;
    return { ...job.row.state === 'closing' ? { closed: true } : await this.look(job), ...told };
  }

  /** Looks whether the job can close now, and closes it. Called whenever that may have changed. */
  look(job: LiveJob): Promise<Finish> {
    const { id } = job.row;
    const before = this.#looks.get(id) ?? Promise.resolve({ closed: false });
    const look = before.then(() => this.#look(job)).catch((thrown: unknown): Finish => {
      const error = this.#core.noticed(toExdicomError(thrown, { stage: 'finish' }));
      if (error.code !== 'LEDGER_CLOSED') this.#later(job, STEP_DELAY);
      return { closed: false, waitingFor: error.code };
    });
    this.#looks.set(id, look);
    void look.finally(() => { if (this.#looks.get(id) === look) this.#looks.delete(id); });
    return look;
  }

  #later(job: LiveJob, milliseconds: number): void {
    const { id } = job.row;
    clearTimeout(this.#timers.get(id));
    this.#timers.set(id, setTimeout(() => {
      this.#timers.delete(id);
      if (job.row.state === 'closing') this.run(job);
      else void this.look(job);
    }, Math.max(1, milliseconds)).unref());
  }

  #outside(job: LiveJob): number {
    let outside = 0;
    for (const node of job.visits.values()) if (!this.isFinisher(node)) outside += 1;
    return outside;
  }

  async #look(job: LiveJob): Promise<Finish> {
    const core = this.#core;
    const { row } = job;
    if (!core.jobs.has(row.id) || row.state === 'closing') return { closed: true };
    if (row.doomed) {
      if (job.visits.size > 0) return { closed: false, waitingFor: 'messages' };
      const rest = SETTLE - core.idle(job);
      if (rest > 0) {
        this.#later(job, rest);
        return { closed: false, waitingFor: 'messages' };
      }
      await this.#begin(job, 'failed', row.error);
      return { closed: true };
    }
    const { finishNode } = row;
    if (finishNode === undefined) return { closed: false, waitingFor: 'finish' };
    if (row.state !== 'open') return { closed: false, waitingFor: row.state };
    if (job.interrupted || job.wantsSend || !job.sentHere) return { closed: false, waitingFor: 'replay' };
    const outside = this.#outside(job);
    if (outside > 0) return { closed: false, waitingFor: `messages ${outside}` };

    // Taken out of the flow with its rule: nobody knows what is required until it, or another, is there.
    const rule = this.#finisherOf(finishNode)?.rule;
    if (rule === undefined) return { closed: false, waitingFor: 'finish' };
    const activeAt = job.activeAt;
    const assessment = await core.store.assess(row.id, rule.required);
    const { now, abandoned } = unfinished(assessment);
    if (now > 0) return { closed: false, waitingFor: `deliveries ${now}` };
    const missing = leftOut(assessment) + abandoned;
    const rest = core.settings.quiet - core.idle(job);
    if (missing > 0 && rest > 0) {
      // They may still be in a node that is not ours; judged when nothing has come for a while.
      this.#later(job, rest);
      return { closed: false, waitingFor: `left out ${missing}` };
    }
    if (missing > 0 && job.deployedAt !== undefined) {
      // A deploy may have taken a message with it, so nobody knows yet whether the flow leaves them out.
      job.wantsSend = true;
      this.#replay.pump();
      return { closed: false, waitingFor: 'replay' };
    }
    // Something came in while the store was asked.
    if (job.activeAt !== activeAt || job.row !== row) return this.#look(job);
    const { outcome, code } = judge(assessment, rule.allowLeftOut);
    const error = code === undefined ? undefined : new ExdicomError(code, { job: row.name, stage: 'finish', ...(code === 'LEFT_OUT' ? { detail: `${missing}` } : {}) });
    await this.#begin(job, outcome, error, rule.required);
    return { closed: true };
  }

  async #begin(job: LiveJob, outcome: Outcome, error: ErrorFacts | undefined, required: readonly string[] = []): Promise<void> {
    const { id } = job.row;
    clearTimeout(this.#timers.get(id));
    const facts = error === undefined ? undefined : { code: error.code, stage: error.stage, message: error.message };
    this.#core.update(job, await this.#core.store.beginClosing(id, outcome, required, facts, this.#configuration()));
    this.run(job);
  }

  // ---------------------------------------------------------------------------------------------- steps

  /** Goes on with the closing steps; what fails is tried again later. */
  run(job: LiveJob, failures = 0): void {
    const { id } = job.row;
    if (!this.#core.ready || this.#core.jobs.get(id) !== job) return;
    // What works on a cancelled job ends by its signal, and calls again.
    if (job.row.outcome === 'cancelled' && (job.taking || job.visits.size > 0)) return;
    if (job.closing) {
      this.#again.add(id);
      return;
    }
    this.#again.delete(id);
    clearTimeout(this.#timers.get(id));
    job.closing = true;
    void this.#steps(job, failures > 0).catch((thrown: unknown) => {
      const error = this.#core.noticed(toExdicomError(thrown));
      if (error.code === 'LEDGER_CLOSED') return;
      // What it lacked may have come while it was at it.
      const wait = this.#again.has(id) ? 1 : Math.min(STEP_CAP, STEP_DELAY * 2 ** failures);
      this.#timers.set(id, setTimeout(() => { this.run(job, failures + 1); }, wait).unref());
    }).finally(() => {
      job.closing = false;
      this.#replay.pump();
    });
  }

  /** @param triedBefore a source that comes with the flows has had its time. */
  async #steps(job: LiveJob, triedBefore: boolean): Promise<void> {
    const core = this.#core;
    const { id } = job.row;
    const done = new Set((await core.store.steps(id)).map(({ step }) => step));
    const step = async (what: string, work: () => Promise<ErrorCode | undefined>): Promise<void> => {
      if (done.has(what)) return;
      await core.store.step(id, what, await work());
      done.add(what);
    };
    const clear = (): Promise<void> => step('temporary files', async () => {
      // What could not be set aside when it was noted lies there still.
      await this.#quarantine.flush(id);
      await core.task('ledger.remove', { files: [], folders: [core.workFolder(id)] });
      await core.store.forget(id);
      return undefined;
    });
    await step('verify', () => Promise.resolve(job.row.error?.code));
    // The originals of released files lie in quarantine: they leave it now, or stay.
    if (job.row.releaseOf !== undefined) await step('quarantine', async () => { await this.#quarantine.settleRelease(id); return undefined; });
    else await this.#putAway(job, triedBefore, step, clear);
    await clear();
    const receipt = await core.store.close(id);
    core.drop(id);
    this.#again.delete(id);
    this.#replay.forget(id);
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    const { finishNode } = job.row;
    if (finishNode !== undefined) await this.#announce(id, core.token(job.row), finishNode, receipt);
  }

  /** What the source does with the original. */
  async #putAway({ row }: LiveJob, triedBefore: boolean, step: (what: string, work: () => Promise<ErrorCode | undefined>) => Promise<void>, clear: () => Promise<void>): Promise<void> {
    const { id, kind, name } = row;
    try {
      await step('source', async () => {
        const source = this.#replay.source(row);
        if (source === undefined && !(row.outcome === 'cancelled' && triedBefore)) {
          throw new ExdicomError('SOURCE_UNREADABLE', { job: name, stage: 'finish', detail: 'no source node has its source' });
        }
        const origin = await this.#core.store.origin(id);
        const reason = await this.#core.store.reason(id);
        if (source === undefined) {
          // A person wants an end of it though nobody is left to put anything back: the original lies where it lay.
          if (isOnlyCopy(kind)) await keepOnlyCopy(join(this.#core.folders.failed, name), (await this.#core.store.items(id)).map(({ path }) => path), reason);
          return undefined;
        }
        try {
          await source.dispose(jobOf(row), origin === undefined ? undefined : JSON.parse(origin), DISPOSITIONS[row.outcome ?? 'failed'], reason);
          return undefined;
        } catch (thrown) {
          const error = toExdicomError(thrown);
          // A last copy stays until it is where it belongs, whatever was wrong.
          if (error.retryable || isOnlyCopy(kind)) throw error;
          return error.code;
        }
      });
    } catch (thrown) {
      // The original is where it was, so our copy need not wait for it. What was received or sent to us has no other.
      if (!isOnlyCopy(kind)) await clear();
      throw thrown;
    }
  }

  /** Hands the receipt to the finish node; a node that is not there now gets it at the next start. */
  async #announce(id: JobId, token: JobToken, node: string, receipt: string): Promise<void> {
    const found = this.#finisherOf(node);
    if (found === undefined || !this.#replay.hasStarted) return;
    try {
      found.finisher(JSON.parse(receipt) as Receipt, token);
    } catch { /* It had its receipt; what it makes of it is its own. */ }
    await this.#core.store.announced(id);
  }

  /** Jobs that were closing, and receipts that no node has had, when the flows have started. */
  async resume(): Promise<void> {
    const core = this.#core;
    for (const job of core.jobs.values()) {
      if (job.row.state === 'closing') this.run(job);
      else if (job.row.doomed || job.row.finishNode !== undefined) void this.look(job);
    }
    for (const { id, name, attempt, node, receipt } of await core.store.unannounced()) {
      await this.#announce(id, { id, name, ledger: core.id, attempt }, node, receipt);
    }
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
