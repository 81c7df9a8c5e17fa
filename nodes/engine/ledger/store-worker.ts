/**
 * The thread that holds the database. Requests that arrive within one turn of its loop share one transaction (group
 * commit): a disk flushes some hundred times a second, and a study has thousands of changes. No answer leaves before its
 * commit has returned.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { ErrorCode, ExdicomError } from '../errors';
import type { JournalSettings } from './ledger-types';
import { Ballast } from './sqlite/ballast';
import { Database, storageError } from './sqlite/database';
import { Journal } from './sqlite/journal';
import { sqliteStore } from './sqlite/sqlite-store';
import type { JobStore, Synchronous } from './store';

export interface StoreRequest {
  readonly id: number;
  readonly method: keyof JobStore | 'shutdown';
  readonly args: unknown[];
}

type Facts = ReturnType<ExdicomError['toDetails']> & { readonly origin?: string };

export type StoreAnswer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: Facts };

export type StoreMessage =
  | { readonly kind: 'opened' }
  | { readonly kind: 'refused'; readonly error: Facts }
  | { readonly kind: 'answers'; readonly answers: readonly StoreAnswer[] }
  /** The journal fell behind for this reason, or has caught up. */
  | { readonly kind: 'journal'; readonly failure: ErrorCode | undefined };

export interface StoreSetup {
  readonly directory: string;
  readonly journal: JournalSettings;
}

/** Requests in one transaction, so that a flood does not delay its first answer for long. */
const GROUP = 200;

const facts = (thrown: unknown): Facts => {
  const error = storageError(thrown);
  return { ...error.toDetails(), origin: String(thrown instanceof Error ? thrown.stack : thrown) };
};

function serve(port: NonNullable<typeof parentPort>, { directory, journal: settings }: StoreSetup): void {
  const say = (message: StoreMessage): void => { port.postMessage(message); };
  let database: Database;
  let store: Synchronous<JobStore>;
  try {
    database = Database.open(directory);
    store = sqliteStore(database);
  } catch (thrown) {
    say({ kind: 'refused', error: facts(thrown) });
    port.close();
    return;
  }

  const ballast = new Ballast(directory);
  const journal = new Journal(database, settings, (failure) => { say({ kind: 'journal', failure }); });
  const queue: StoreRequest[] = [];
  const run = ({ id, method, args }: StoreRequest): StoreAnswer => {
    try {
      if (method === 'shutdown') throw new TypeError('shutdown is not an operation');
      const operation = store[method] as (...given: unknown[]) => unknown;
      return { id, ok: true, value: database.nested(() => operation.apply(store, args)) };
    } catch (thrown) {
      return { id, ok: false, error: facts(thrown) };
    }
  };
  const commit = (body: () => void): void => {
    try {
      database.transaction(body);
    } catch (thrown) {
      if (storageError(thrown).code !== 'DISK_FULL' || !ballast.drop()) throw thrown;
      database.transaction(body);
    }
  };
  const flush = (): void => {
    const group = queue.splice(0, GROUP);
    const last = group.findIndex(({ method }) => method === 'shutdown');
    const requests = last === -1 ? group : group.slice(0, last);
    let answers: StoreAnswer[] = [];
    if (requests.length > 0) {
      try {
        commit(() => { answers = requests.map(run); });
      } catch (thrown) {
        const error = facts(thrown);
        answers = requests.map(({ id }) => ({ id, ok: false, error }));
      }
      database.afterCommit();
      ballast.take();
      say({ kind: 'answers', answers });
      // Nobody waits for it: what is committed can always be written later.
      journal.write();
    }
    if (last !== -1) {
      journal.close();
      database.close();
      port.close();
    } else if (queue.length > 0) {
      setImmediate(flush);
    }
  };
  port.on('message', (request: StoreRequest) => {
    if (queue.push(request) === 1) setImmediate(flush);
  });
  say({ kind: 'opened' });
}

if (parentPort !== null) serve(parentPort, workerData as StoreSetup); // by store-client alone
