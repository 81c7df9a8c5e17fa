/** What it means for a delivery under way that a person holds its destination. */
import { ExdicomError } from '../errors';
import type { JobToken } from '../model';
import type { Ledger } from './ledger-types';

/** Milliseconds between two looks where no instance comes to an end. */
const LOOK = 500;

export class DestinationHold {
  readonly #ledger: Pick<Ledger, 'held' | 'begun'>;
  readonly #address: string;

  constructor(ledger: Pick<Ledger, 'held' | 'begun'>, address: string) {
    this.#ledger = ledger;
    this.#address = address;
  }

  get paused(): boolean {
    return this.#ledger.held({ destination: this.#address }) === 'pause';
  }

  error(): ExdicomError {
    return new ExdicomError('DESTINATION_HELD', { destination: this.#address });
  }

  /** @throws {ExdicomError} DESTINATION_HELD where it is paused, or drained and nothing of the job has been tried there */
  async admit({ id }: JobToken): Promise<void> {
    const mode = this.#ledger.held({ destination: this.#address });
    if (mode === 'pause' || (mode === 'drain' && !(await this.#ledger.begun(id, this.#address)))) throw this.error();
  }

  /** A signal for one piece of work: aborts with DESTINATION_HELD soon after the destination was paused. */
  watch(): Disposable & { readonly signal: AbortSignal } {
    const abort = new AbortController();
    const timer = setInterval(() => { if (this.paused) abort.abort(this.error()); }, LOOK);
    timer.unref();
    return { signal: abort.signal, [Symbol.dispose]: () => { clearInterval(timer); } };
  }
}
