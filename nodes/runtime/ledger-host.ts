/** Runs a ledger for its config node: opens it, again where that may help later; starts its replay; closes it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ExdicomError, toExdicomError } from '../engine/errors';
import { CONFIGURATION } from '../engine/ledger/ledger-types';
import type { Ledger, LedgerStatus } from '../engine/ledger/ledger-types';
import { registerLedger, worked } from './ledgers';
import type { ConfigNode, Red } from './red';
import { StatusLine } from './status';

/** Milliseconds that closing leaves to stages which were interrupted, to write down what they have done. */
const LAST_WORDS = 2000;
/** Milliseconds after which a source that is not there is missing: after a deploy they come one by one. */
const SOURCES_COME = 5000;
/** Milliseconds between attempts to open a ledger that another process holds, or whose disk is away. */
const OPEN_AGAIN = 5000;

export class LedgerHost {
  readonly ledger: Ledger | undefined;
  readonly #red: Red;
  readonly #node: ConfigNode;
  readonly #status: StatusLine;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<(failure: ExdicomError | undefined) => void>();
  readonly #opening: Promise<void> = Promise.resolve();
  readonly #registered: Disposable | undefined;
  #failure: ExdicomError | undefined;
  #open = false;
  #flowsStarted = false;
  #watching: Disposable | undefined;
  /** How many jobs without a source were told of last. */
  #orphansTold = 0;
  #orphanTimer: NodeJS.Timeout | undefined;

  constructor(red: Red, node: ConfigNode, ledger: Ledger | ExdicomError) {
    this.#red = red;
    this.#node = node;
    this.#status = new StatusLine(node);
    if (ledger instanceof ExdicomError) {
      this.#fail(ledger);
      return;
    }
    this.ledger = ledger;
    this.#registered = registerLedger(ledger);
    red.events.on('flows:started', this.#started);
    this.#watching = ledger.onStatus((status) => {
      this.#show(status);
      this.#lookForOrphans(status);
    });
    this.#opening = this.#openUntilItDoes(ledger);
  }

  get failure(): ExdicomError | undefined {
    return this.#failure;
  }

  async opened(signal: AbortSignal): Promise<Ledger> {
    const { promise, resolve, reject } = Promise.withResolvers<Ledger>();
    const look = (): void => {
      if (this.#open && this.ledger !== undefined) resolve(this.ledger);
      else if (this.#failure?.retryable === false) reject(this.#failure);
    };
    const aborted = (): void => { reject(new ExdicomError('INTERRUPTED')); };
    this.#listeners.add(look);
    signal.addEventListener('abort', aborted);
    try {
      if (signal.aborted) aborted();
      look();
      return await promise;
    } finally {
      this.#listeners.delete(look);
      signal.removeEventListener('abort', aborted);
    }
  }

  onFailure(listener: (failure: ExdicomError | undefined) => void): Disposable {
    this.#listeners.add(listener);
    if (this.#failure !== undefined) listener(this.#failure);
    return { [Symbol.dispose]: () => { this.#listeners.delete(listener); } };
  }

  async close(): Promise<void> {
    this.#red.events.off('flows:started', this.#started);
    this.#abort.abort();
    clearTimeout(this.#orphanTimer);
    this.#registered?.[Symbol.dispose]();
    this.#watching?.[Symbol.dispose]();
    if (this.ledger !== undefined) await Promise.race([worked(this.ledger), sleep(LAST_WORDS, undefined, { ref: false })]);
    await Promise.allSettled([this.ledger?.close(), this.#opening]);
    this.#status.close();
  }

  /** On every kind of deploy, also on those that leave this node alone. */
  readonly #started = (): void => {
    this.#flowsStarted = true;
    if (!this.#open) return;
    this.ledger?.started();
    this.ledger?.destinationUp(CONFIGURATION);
  };

  async #openUntilItDoes(ledger: Ledger): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        await ledger.open();
        this.#open = true;
        this.#failure = undefined;
        this.#show(ledger.status());
        this.#tell();
        if (this.#flowsStarted) this.#started();
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        const error = toExdicomError(thrown, { stage: 'ledger' });
        if (error.code !== this.#failure?.code) this.#fail(error);
        if (!error.retryable) return;
        await sleep(OPEN_AGAIN, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** What Status nodes hear of a ledger that is open. */
  #show({ state, reason, quarantined, journal }: LedgerStatus): void {
    if (!this.#open || this.#failure !== undefined) return;
    // Its thread has ended, and what its stages were at is known to nobody until they have all been closed.
    if (state === 'failed') this.#fail(new ExdicomError('STORAGE_FAILED', { stage: 'ledger', detail: 'the ledger has stopped: restart the flows' }));
    else if (state === 'paused') this.#status.warning(new ExdicomError(reason === 'STORAGE_FAILED' ? reason : 'DISK_FULL'));
    else if (journal !== undefined) this.#status.noted('journal behind');
    else if (quarantined > 0) this.#status.noted(`quarantined ${quarantined}`);
    else if (state === 'ready') this.#status.idle();
  }

  /** A job whose source was taken out of the flows waits for ever, which nobody must have to find out by himself. */
  #lookForOrphans({ orphaned }: LedgerStatus): void {
    if (orphaned === 0) this.#orphansTold = 0;
    if (orphaned <= this.#orphansTold || this.#orphanTimer !== undefined || this.#abort.signal.aborted) return;
    this.#orphanTimer = setTimeout(() => {
      this.#orphanTimer = undefined;
      const { orphaned: still, state } = this.ledger?.status() ?? { orphaned: 0, state: 'closed' };
      if (still <= this.#orphansTold || !this.#flowsStarted || state === 'closed' || state === 'failed') return;
      this.#orphansTold = still;
      this.#node.warn(`${still} ${still === 1 ? 'job waits' : 'jobs wait'} for a source that is in no flow: put it back, or cancel ${still === 1 ? 'the job' : 'the jobs'}`);
    }, SOURCES_COME).unref();
  }

  #fail(error: ExdicomError): void {
    this.#failure = error;
    this.#status.failed(error);
    this.#node.error(error);
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener(this.#failure);
  }
}
