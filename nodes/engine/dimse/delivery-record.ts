/** Writes results of deliveries to the ledger in groups, in order, while the sending goes on. */
import type { DeliveryResult, DestinationInfo, Ledger } from '../ledger/ledger-types';
import type { JobId } from '../model';

const GROUP = 50;
/** Milliseconds that a result waits for others at most. */
const LONGEST_WAIT = 200;

export class DeliveryRecord {
  #waiting: DeliveryResult[] = [];
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #failure: { readonly reason: unknown } | undefined;

  /** @param onFailure called once, where the ledger cannot be written: what is sent from then on would not be known */
  constructor(
    private readonly ledger: Pick<Ledger, 'recordDeliveries'>, private readonly job: JobId, private readonly destination: DestinationInfo,
    private readonly onFailure: (reason: unknown) => void,
  ) {}

  add(result: DeliveryResult): void {
    this.#waiting.push(result);
    if (this.#waiting.length >= GROUP) this.#write();
    else this.#timer ??= setTimeout(() => { this.#write(); }, LONGEST_WAIT);
  }

  /** Resolves when everything added is in the ledger; rejects with what the ledger threw. */
  async flush(): Promise<void> {
    this.#write();
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure.reason;
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const results = this.#waiting;
    if (results.length === 0) return;
    this.#waiting = [];
    const before = this.#writing;
    this.#writing = (async () => {
      await before;
      if (this.#failure !== undefined) return;
      try {
        await this.ledger.recordDeliveries(this.job, this.destination, results);
      } catch (thrown) {
        this.#failure = { reason: thrown };
        this.onFailure(thrown);
      }
    })();
  }
}
