/** Which destinations would refuse a job now, and the parked jobs that wait for them. */
import type { ErrorCode } from '../errors';
import { nextActive } from './active-hours';
import { clock } from './core';
import type { LedgerCore, LiveJob } from './core';
import type { HoldMode } from './ledger-types';

export class Destinations {
  readonly #core: LedgerCore;
  /** Addresses, and by how many it is said of each. */
  readonly #down = new Map<string, number>();
  readonly #pump: () => void;
  /** What a person holds a destination by. */
  held: (address: string) => HoldMode | undefined = () => undefined;
  /** Whether a job can be sent at all. */
  sendable: (job: LiveJob) => boolean = () => true;

  /** @param pump is called when jobs may have become due. */
  constructor(core: LedgerCore, pump: () => void) {
    this.#core = core;
    this.#pump = pump;
  }

  /** Addresses of those that do not answer. */
  get circuits(): readonly string[] {
    return [...this.#down.keys()];
  }

  *#waiting(address: string): Generator<LiveJob> {
    for (const job of this.#core.jobs.values()) {
      const { state, doomed, waitsFor } = job.row;
      if (state === 'parked' && !doomed && waitsFor.includes(address)) yield job;
    }
  }

  waitingFor(address: string, codes?: ReadonlySet<ErrorCode>): number {
    let waiting = 0;
    for (const { row } of this.#waiting(address)) if (codes === undefined || (row.error !== undefined && codes.has(row.error.code))) waiting += 1;
    return waiting;
  }

  /** What would keep a parked job from getting anywhere if it was sent now: all that it waits for is held, or does not answer. */
  refuses({ row: { waitsFor, error } }: LiveJob): 'held' | 'down' | undefined {
    if (waitsFor.length === 0) return undefined;
    let refusal: 'held' | 'down' = 'down';
    for (const address of waitsFor) {
      const mode = this.held(address);
      // While it is drained, what has begun there goes on.
      if (mode === 'pause' || (mode === 'drain' && error?.code === 'DESTINATION_HELD')) refusal = 'held';
      else if (!this.#down.has(address)) return undefined;
    }
    return refusal;
  }

  down(address: string): Disposable {
    this.#down.set(address, (this.#down.get(address) ?? 0) + 1);
    // Woken, but not on their way yet.
    for (const job of this.#waiting(address)) if (this.refuses(job) !== undefined) job.wantsSend = false;
    this.#core.changed();
    let over = false;
    return {
      [Symbol.dispose]: () => {
        if (over) return;
        over = true;
        const rest = (this.#down.get(address) ?? 1) - 1;
        if (rest > 0) this.#down.set(address, rest);
        else this.#down.delete(address);
        this.#core.changed();
        this.#pump();
      },
    };
  }

  up(address: string): void {
    for (const job of this.#waiting(address)) if (this.refuses(job) !== 'held') wake(job);
    this.#pump();
  }

  trial(address: string): boolean {
    let oldest: LiveJob | undefined;
    for (const job of this.#waiting(address)) {
      const later = oldest !== undefined && oldest.row.n < job.row.n;
      if (!later && this.refuses(job) !== 'held' && this.sendable(job) && activeIn(job) === 0) oldest = job;
    }
    if (oldest === undefined) return false;
    wake(oldest);
    this.#pump();
    return true;
  }

  /** A person lets it go: what failed before, or waited meanwhile, is not held against any job. */
  async resumed(address: string): Promise<void> {
    const jobs = [...this.#waiting(address)];
    for (const row of await this.#core.store.forgiven(jobs.map(({ row: { id } }) => id))) {
      const job = this.#core.jobs.get(row.id);
      if (job?.row.state === 'parked') this.#core.update(job, row);
    }
    for (const job of this.#waiting(address)) {
      const refusal = this.refuses(job);
      if (refusal === undefined) wake(job);
      else if (refusal === 'down') job.dueAt ??= clock();
    }
    this.#pump();
  }

  /** What has begun there goes on, though a pause had stopped it; what has not is refused anew, and waits. */
  drained(address: string): void {
    for (const job of this.#waiting(address)) if (job.row.error?.code === 'DESTINATION_HELD') wake(job);
    this.#pump();
  }

  /** A parked job with no time at which it is due waits for a person: who may have let its destinations go just now, or before a restart. */
  parked(job: LiveJob): void {
    const { state, doomed, nextAt } = job.row;
    if (state === 'parked' && !doomed && nextAt === undefined && this.refuses(job) !== 'held') wake(job);
  }
}

/** Milliseconds until a job's policy lets it be sent. */
function activeIn({ row: { policy } }: LiveJob): number {
  const now = Date.now();
  return nextActive(policy?.hours, now) - now;
}

function wake(job: LiveJob): void {
  const wait = activeIn(job);
  if (wait > 0) {
    job.dueAt = clock() + wait;
    return;
  }
  job.wantsSend = true;
  // Should a circuit take that back: one that waited for a person has no other time.
  job.dueAt ??= clock();
}
