/** Which ledgers are there now: how a token on a wire, or a node's setting, becomes a ledger. */
import { ExdicomError } from '../engine/errors';
import type { Ledger } from '../engine/ledger/ledger-types';
import type { JobToken } from '../engine/model';
import { configNode } from './red';
import type { ConfigNode, Red } from './red';

/** A `ledger` config node, as other nodes see it. */
export interface LedgerNode extends ConfigNode {
  /** Absent where its own settings are not valid. */
  readonly ledger?: Ledger;
  /** Why it cannot be used now. */
  readonly failure?: ExdicomError;
  /** Resolves when it is open; rejects when it is known that it will not be, or when the signal aborts. */
  opened(signal: AbortSignal): Promise<Ledger>;
  /** Calls at once and at each change: undefined once it is open and well, else why it is not. */
  onFailure(listener: (failure: ExdicomError | undefined) => void): Disposable;
}

const ledgers = new Map<string, Ledger>();
const listeners = new Set<(ledger: Ledger) => Disposable>();
const attached = new Map<Ledger, Map<(ledger: Ledger) => Disposable, Disposable>>();

/** Makes a ledger known to the tokens that name it, until disposed of. */
export function registerLedger(ledger: Ledger): Disposable {
  ledgers.set(ledger.id, ledger);
  attached.set(ledger, new Map([...listeners].map((listener) => [listener, listener(ledger)] as const)));
  return {
    [Symbol.dispose]: () => {
      if (ledgers.get(ledger.id) === ledger) ledgers.delete(ledger.id);
      for (const attachment of attached.get(ledger)?.values() ?? []) attachment[Symbol.dispose]();
      attached.delete(ledger);
    },
  };
}

/** For every ledger there is and will be, until disposed of. `attach` is called once for each. */
export function withEachLedger(attach: (ledger: Ledger) => Disposable): Disposable {
  listeners.add(attach);
  for (const [ledger, attachments] of attached) attachments.set(attach, attach(ledger));
  return {
    [Symbol.dispose]: () => {
      listeners.delete(attach);
      for (const attachments of attached.values()) {
        attachments.get(attach)?.[Symbol.dispose]();
        attachments.delete(attach);
      }
    },
  };
}

/** Tells every ledger what this node does now; `configuration` must not throw where the node's settings are valid. */
export function configureLedgers(node: string, configuration: (ledger: Ledger) => string): Disposable {
  return withEachLedger((ledger) => ledger.configure(node, configuration(ledger)));
}

const working = new Map<Ledger, Set<Promise<unknown>>>();

/** Work that may still have something to write down when its node closes: closing the ledger waits for it. */
export async function withLedger<T>(ledger: Ledger, work: () => Promise<T>): Promise<T> {
  const inside = working.get(ledger) ?? new Set();
  working.set(ledger, inside);
  const promise = work();
  inside.add(promise);
  try {
    return await promise;
  } finally {
    inside.delete(promise);
    if (inside.size === 0 && working.get(ledger) === inside) working.delete(ledger);
  }
}

/** When what is at work with this ledger now has ended. Never rejects. */
export async function worked(ledger: Ledger): Promise<void> {
  await Promise.allSettled(working.get(ledger) ?? new Set<Promise<unknown>>());
}

/** @throws {ExdicomError} JOB_UNKNOWN where no ledger of that id is there. */
export function ledgerOf(token: JobToken): Ledger {
  const ledger = ledgers.get(token.ledger);
  if (ledger === undefined) throw new ExdicomError('JOB_UNKNOWN', { detail: 'its ledger is not here' });
  return ledger;
}

/** @throws {ExdicomError} LEDGER_MISSING where none is set, or it is disabled. */
export function ledgerNode(RED: Red, id: string | undefined): LedgerNode {
  const found = configNode(RED, id, 'exdicom-ledger') as LedgerNode | undefined; // registered under this type by nodes/ledger alone
  if (found === undefined) throw new ExdicomError('LEDGER_MISSING');
  return found;
}

