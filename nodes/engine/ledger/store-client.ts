/** The store on its own thread, seen from the event loop: one call, one promise, resolved after the commit. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { ExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import type { JobStore } from './store';
import type { StoreMessage, StoreRequest, StoreSetup } from './store-worker';

export interface StoreClient {
  readonly store: JobStore;
  /** Ends the thread after all that was asked of it; by force after `patience` milliseconds. Calls still open reject. */
  close(patience: number): Promise<void>;
  /** Called once when the thread ends without having been asked to. */
  onFailure(listener: (error: ExdicomError) => void): void;
  /** Called when the journal falls behind, with the reason, and when it has caught up; at once where it is behind already. */
  onJournal(listener: (failure: ErrorCode | undefined) => void): void;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: ExdicomError) => void;
}

/** Its garbage is rows and messages, gone at once: with less room for them it is collected more often, and costs as little. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 6 };

/**
 * Opens the store of a directory, and the journal beside it.
 * @throws {ExdicomError} LEDGER_LOCKED, LEDGER_NEWER, LEDGER_DAMAGED, DISK_FULL, STORAGE_FAILED
 */
export async function openStore(setup: StoreSetup): Promise<StoreClient> {
  const worker = new Worker(join(__dirname, 'store-worker.js'), { workerData: setup, name: 'exdicom-ledger', resourceLimits: RESOURCE_LIMITS });
  const waiting = new Map<number, Waiting>();
  let failed: ((error: ExdicomError) => void) | undefined;
  let journalTold: ((failure: ErrorCode | undefined) => void) | undefined;
  let journalFailure: ErrorCode | undefined;
  let ended: ExdicomError | undefined;
  let closing = false;
  let calls = 0;

  let resolve!: () => void;
  let reject!: (error: ExdicomError) => void;
  const opened = new Promise<void>((done, refuse) => { [resolve, reject] = [done, refuse]; });
  const end = (error: ExdicomError): void => {
    if (ended !== undefined) return;
    ended = error;
    reject(error);
    for (const { reject: refuse } of waiting.values()) refuse(error);
    waiting.clear();
    if (!closing) failed?.(error);
  };
  const exited = new Promise<void>((done) => {
    worker.once('exit', () => {
      end(new ExdicomError(closing ? 'LEDGER_CLOSED' : 'STORAGE_FAILED', { stage: 'ledger' }));
      done();
    });
  });
  worker.on('error', (error) => { end(new ExdicomError('STORAGE_FAILED', { stage: 'ledger', origin: error })); });
  worker.on('message', (message: StoreMessage) => {
    if (message.kind === 'opened') return resolve();
    if (message.kind === 'refused') return end(revive(message.error));
    if (message.kind === 'journal') {
      journalFailure = message.failure;
      return journalTold?.(journalFailure);
    }
    for (const answer of message.answers) {
      const call = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (answer.ok) call?.resolve(answer.value);
      else call?.reject(revive(answer.error));
    }
  });

  const post = (request: StoreRequest): void => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's, not a window's
    worker.postMessage(request);
  };
  const call = (method: keyof JobStore, args: unknown[]): Promise<unknown> => {
    if (ended !== undefined || closing) return Promise.reject(ended ?? new ExdicomError('LEDGER_CLOSED'));
    const id = ++calls;
    return new Promise((done, refuse) => {
      waiting.set(id, { resolve: done, reject: refuse });
      post({ id, method, args });
    });
  };
  // Every method is forwarded alike, so the interface is the only list of them; `then` keeps the proxy from looking like a promise.
  const store = new Proxy({}, {
    get: (_target, method) => (method === 'then' || typeof method !== 'string' ? undefined : (...args: unknown[]) => call(method as keyof JobStore, args)),
  }) as JobStore;

  try {
    await opened;
  } catch (thrown) {
    await exited;
    throw thrown;
  }
  return {
    store,
    onFailure(listener) { failed = listener; },
    onJournal(listener) {
      journalTold = listener;
      if (journalFailure !== undefined) listener(journalFailure);
    },
    async close(patience) {
      if (!closing) {
        closing = true;
        if (ended === undefined) post({ id: 0, method: 'shutdown', args: [] });
      }
      const force = setTimeout(() => { void worker.terminate(); }, patience);
      await exited;
      clearTimeout(force);
    },
  };
}

function revive({ code, ...details }: ReturnType<ExdicomError['toDetails']> & { readonly origin?: string }): ExdicomError {
  return new ExdicomError(code, details);
}
