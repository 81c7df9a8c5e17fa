import type { ListenerStatus } from '../engine/dimse/listen';

/** Milliseconds for which a reason that was told is not told again: whoever tries for ever must not fill the log. */
const AGAIN = 3_600_000;

/** Tells why callers are not let in. They are told so themselves, but whoever looks at the flow would see an idle listener. */
export class Refusals {
  readonly #tell: (reason: string) => void;
  readonly #toldAt = new Map<string, number>();
  #seen = 0;

  constructor(tell: (reason: string) => void) {
    this.#tell = tell;
  }

  note({ refused, lastRefusal }: Pick<ListenerStatus, 'refused' | 'lastRefusal'>): void {
    if (refused === this.#seen || lastRefusal === undefined) return;
    this.#seen = refused;
    const now = performance.now();
    if (now - (this.#toldAt.get(lastRefusal) ?? Number.NEGATIVE_INFINITY) < AGAIN) return;
    this.#toldAt.set(lastRefusal, now);
    this.#tell(lastRefusal);
  }
}
