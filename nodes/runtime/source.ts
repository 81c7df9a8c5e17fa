/** What every source node does: uses a ledger, is handed its jobs to send, and sends nothing once it is closed. */
import { toExdicomError } from '../engine/errors';
import type { Ledger } from '../engine/ledger/ledger-types';
import type { JobToken, OwnPath } from '../engine/model';
import { ledgerNode, ledgerOf } from './ledgers';
import { useConfig } from './red';
import type { Node, Red } from './red';
import type { StatusLine } from './status';

/** A source at work. */
export interface Running {
  close(): Promise<void> | void;
}

/**
 * Starts a source once its ledger is open; until then, and if it never opens, the node shows why. What `start` throws is shown
 * too, and logged once.
 */
export class Source {
  readonly #node: Node;
  readonly #abort = new AbortController();
  readonly #owned: Disposable[] = [];
  #starting: Promise<Running | undefined> = Promise.resolve(undefined);

  constructor(RED: Red, node: Node, ledgerId: string | undefined, status: StatusLine, start: (ledger: Ledger, signal: AbortSignal) => Promise<Running>) {
    this.#node = node;
    try {
      const found = ledgerNode(RED, ledgerId);
      this.#owned.push(useConfig(found, node), found.onFailure((failure) => {
        if (failure !== undefined) status.failed(failure);
      }));
      this.#starting = this.#start(found.opened(this.#abort.signal), status, start);
    } catch (thrown) {
      status.failed(toExdicomError(thrown));
      node.error(toExdicomError(thrown));
    }
  }

  async #start(opened: Promise<Ledger>, status: StatusLine, start: (ledger: Ledger, signal: AbortSignal) => Promise<Running>): Promise<Running | undefined> {
    try {
      const running = await start(await opened, this.#abort.signal);
      if (!this.#abort.signal.aborted) return running;
      await running.close();
    } catch (thrown) {
      if (this.#abort.signal.aborted) return undefined;
      const error = toExdicomError(thrown);
      status.failed(error);
      // The ledger has told of its own failure.
      if (error.stage !== 'ledger') this.#node.error(error);
    }
    return undefined;
  }

  /** Sends a job's message; once the node has closed, the job is marked for whoever is its source next. */
  send(token: JobToken, path: OwnPath, topic: string | undefined): void {
    if (this.#abort.signal.aborted) {
      try { ledgerOf(token).enter(token, this.#node.id).interrupt(); } catch { /* its ledger has closed as well, and sends it at the next start */ }
      return;
    }
    this.#node.send({ ...(topic === undefined ? {} : { topic }), payload: path, job: token });
  }

  async close(): Promise<void> {
    this.#abort.abort();
    const running = await this.#starting;
    await running?.close();
    for (const owned of this.#owned.splice(0)) owned[Symbol.dispose]();
  }
}
