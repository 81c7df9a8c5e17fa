/** What a person does to jobs, sources and destinations. */
import { ExdicomError } from '../errors';
import type { JobId } from '../model';
import { clock, jobOf } from './core';
import type { LedgerCore, LiveJob } from './core';
import type { AgainIntake, HoldMode, HoldTarget, Job } from './ledger-types';
import { operatorOf } from './operator';
import type { Replay } from './replay';
import type { Again, JobRow } from './store';

/** Passwords that are remembered for one job. */
const MOST_PASSWORDS = 20;
const LONGEST_PASSWORD = 1024;
/** Jobs that are made due at once. */
const GROUP = 250;

export interface ActingParts {
  readonly core: LedgerCore;
  readonly replay: Replay;
  /** Runs the closing steps. */
  readonly close: (job: LiveJob) => void;
  /** Takes the original of a closed job in again. */
  readonly takeAgain: (closed: JobRow, original: AgainIntake, again: Again) => Promise<Job>;
}

export class Acting {
  readonly #parts: ActingParts;
  /** Jobs that are being sent again now. */
  readonly #again = new Set<JobId>();

  constructor(parts: ActingParts) {
    this.#parts = parts;
  }

  /** @throws {ExdicomError} JOB_UNKNOWN */
  async #row(id: JobId): Promise<JobRow> {
    const { core } = this.#parts;
    const row = core.jobs.get(id)?.row ?? await core.store.job(id);
    if (row === undefined) throw new ExdicomError('JOB_UNKNOWN');
    return row;
  }

  /** A job that is not closed. @throws {ExdicomError} JOB_UNKNOWN, JOB_STATE */
  async #open(id: JobId): Promise<LiveJob> {
    const { core } = this.#parts;
    const { name, state } = await this.#row(id);
    const job = core.jobs.get(id);
    if (job === undefined || state === 'closing' || state === 'closed') throw wrongState(name, job === undefined ? 'closed' : state);
    return job;
  }

  async cancel(id: JobId, who?: string): Promise<void> {
    const { core, replay, close } = this.#parts;
    const job = await this.#open(id);
    const row = await core.store.cancel(id, operatorOf(who));
    if (row.outcome !== 'cancelled') throw wrongState(row.name, row.state);
    core.update(job, row);
    Object.assign(job, { wantsSend: false, interrupted: false, dueAt: undefined });
    job.stop.abort(new ExdicomError('JOB_CANCELLED', { job: row.name }));
    core.passwords.delete(id);
    // What works on it still is waited for: it ends by its signal.
    close(job);
    replay.pump();
  }

  async sendAgain(id: JobId, who?: string): Promise<Job> {
    const { core, replay, takeAgain } = this.#parts;
    const row = await this.#row(id);
    if (row.state !== 'closed') throw wrongState(row.name, row.state);
    const under = [...core.jobs.values()].find((job) => job.row.againOf === id);
    if (under !== undefined || this.#again.has(id)) throw new ExdicomError('JOB_STATE', { job: row.name, detail: `it runs again${under === undefined ? '' : ` as ${under.row.name}`}` });
    this.#again.add(id);
    try {
      const source = replay.source(row);
      if (source === undefined) throw new ExdicomError('SOURCE_UNREADABLE', { job: row.name, detail: 'no source node has its source' });
      const made = await source.again?.(jobOf(row), (original) => takeAgain(row, original, { of: id, who: operatorOf(who) }));
      if (made === undefined) throw new ExdicomError('SOURCE_GONE', { job: row.name, detail: await this.#whereGone(id) });
      return made;
    } finally {
      this.#again.delete(id);
    }
  }

  async #whereGone(id: JobId): Promise<string> {
    const { core } = this.#parts;
    const last = (await core.store.details(id)).sentAgainAs.at(-1);
    const name = last === undefined ? undefined : (await core.store.job(last))?.name;
    return name === undefined ? 'its original is no longer kept' : `its original is with ${name} now, as which it was sent again`;
  }

  async retryNow(what: JobId | { readonly destination: string }, who?: string): Promise<number> {
    const { core, replay } = this.#parts;
    if (typeof what === 'string') {
      const job = await this.#open(what);
      if (!(await this.#due(job, who))) throw wrongState(job.row.name, job.row.state);
      replay.pump();
      return 1;
    }
    const addresses = new Set([what.destination, ...await core.store.addresses(what.destination)]);
    const waiting = [...core.jobs.values()].filter(({ row }) => row.state === 'parked' && row.waitsFor.some((address) => addresses.has(address)));
    let due = 0;
    // Those of a group share a commit: one by one a thousand would take seconds.
    for (let at = 0; at < waiting.length; at += GROUP) {
      const group = await Promise.all(waiting.slice(at, at + GROUP).map((job) => this.#due(job, who)));
      due += group.filter(Boolean).length;
      replay.pump();
    }
    return due;
  }

  /** False where the job is not parked. */
  async #due(job: LiveJob, who: string | undefined): Promise<boolean> {
    const { core } = this.#parts;
    if (job.row.state !== 'parked') return false;
    const row = await core.store.due(job.row.id, operatorOf(who));
    core.update(job, row);
    if (row.state !== 'parked') return false;
    job.dueAt = clock();
    // A person asked for this try, whatever else is known.
    job.wantsSend = true;
    return true;
  }

  async password(id: JobId, password: string, who?: string): Promise<void> {
    const { core, replay } = this.#parts;
    if (password === '' || password.length > LONGEST_PASSWORD) throw new ExdicomError('CONFIG_INVALID', { detail: 'password' });
    const job = await this.#open(id);
    const known = core.passwords.get(id) ?? [];
    if (!known.includes(password)) core.passwords.set(id, [password, ...known].slice(0, MOST_PASSWORDS));
    await core.store.acted(id, 'password given', operatorOf(who));
    if (job.row.state === 'needs-password') job.wantsSend = true;
    else job.newPassword = true;
    replay.pump();
  }

  async hold(target: HoldTarget, mode: HoldMode, who?: string): Promise<void> {
    const { core, replay } = this.#parts;
    const targets = await this.#targets(target);
    for (const one of targets) await core.store.hold(one, mode, operatorOf(who));
    await this.#changed();
    for (const one of targets) if (mode === 'drain' && 'destination' in one) replay.destinations.drained(one.destination);
  }

  async resume(target: HoldTarget, who?: string): Promise<void> {
    const { core, replay } = this.#parts;
    const targets = await this.#targets(target);
    for (const one of targets) await core.store.unhold(one, operatorOf(who));
    await this.#changed();
    for (const one of targets) if ('destination' in one) await replay.destinations.resumed(one.destination);
    replay.pump();
  }

  /** A destination by its addresses, where the ledger knows its label or it is not known yet. */
  async #targets(target: HoldTarget): Promise<readonly HoldTarget[]> {
    if ('source' in target) return [target];
    const addresses = await this.#parts.core.store.addresses(target.destination);
    return addresses.length === 0 ? [target] : addresses.map((destination) => ({ destination }));
  }

  async #changed(): Promise<void> {
    const { core } = this.#parts;
    core.holds.load(await core.store.holds());
    core.changed();
  }
}

const wrongState = (job: string, state: string): ExdicomError => new ExdicomError('JOB_STATE', { job, detail: `it is ${state}` });
