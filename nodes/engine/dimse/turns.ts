/**
 * Who may send to a destination now: one job at a time, so that the associations to it are never more than its settings say,
 * however many messages and nodes name it.
 */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /**
   * Waits for the destination, then runs the action, alone among those of this address.
   * @throws the signal's reason, when it fires before the turn has come; what the action throws
   */
  async during<T>(address: string, signal: AbortSignal, action: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const before = this.#last.get(address) ?? Promise.resolve();
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    const last = before.then(() => over);
    this.#last.set(address, last);
    void this.#forget(address, last);
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = (): void => { reject(signal.reason as Error); };
    signal.addEventListener('abort', abort, { once: true });
    try {
      await Promise.race([before, aborted]);
      signal.removeEventListener('abort', abort);
      return await action();
    } finally {
      signal.removeEventListener('abort', abort);
      // Whoever comes next still waits for those before.
      end();
    }
  }

  async #forget(address: string, last: Promise<void>): Promise<void> {
    await last;
    if (this.#last.get(address) === last) this.#last.delete(address);
  }
}

/** Those of this process. */
export const turns = new Turns();
