/**
 * One at a time. A destination is sent to by one job, so that the associations to it are never more than its settings say; a
 * stage works on a job for one message, so that two wires to it, or a message that was late when the job was sent again, find
 * done what is done and nothing half done.
 */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /**
   * Waits for its turn, then runs the action, alone among those of this name.
   * @throws the signal's reason, when it fires before the turn has come; what the action throws
   */
  async during<T>(name: string, signal: AbortSignal, action: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const before = this.#last.get(name) ?? Promise.resolve();
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    const last = before.then(() => over);
    this.#last.set(name, last);
    void this.#forget(name, last);
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

  async #forget(name: string, last: Promise<void>): Promise<void> {
    await last;
    if (this.#last.get(name) === last) this.#last.delete(name);
  }
}

/** Those of this process. */
export const turns = new Turns();
