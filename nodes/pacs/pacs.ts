import type { RequestHandler } from 'express';
import { circuits } from '../engine/dimse/circuit';
import type { CircuitState, Watcher } from '../engine/dimse/circuit';
import { echo } from '../engine/dimse/echo';
import type { PacsSettings } from '../engine/dimse/peer';
import { ERRORS, ExdicomError, toExdicomError } from '../engine/errors';
import type { ErrorCode } from '../engine/errors';
import type { Ledger } from '../engine/ledger/ledger-types';
import { attempt } from '../runtime/attempt';
import { withEachLedger } from '../runtime/ledgers';
import type { PacsNode } from '../runtime/pacs';
import { configNode } from '../runtime/red';
import type { ConfigNode, Node, Red } from '../runtime/red';
import { register } from '../runtime/register';
import { StatusLine } from '../runtime/status';
import { pacsOf } from './pacs-settings';
import type { PacsProperties } from './properties';

/** Milliseconds after which the dialog's button has its answer, whatever the peer does. */
const ECHO_LIMIT = 20_000;

/** A destination of C-STORE: settings, TLS, a C-ECHO at start, and one per interval while it is away and jobs wait for it. */
export = (RED: Red): void => {
  register<PacsProperties>(RED, 'exdicom-pacs', (created, saved) => {
    const node = created as ConfigNode & PacsNode; // the properties are set in the next lines
    const settings = attempt(() => pacsOf(RED, node, saved));
    node.users = {};
    if (settings.error !== undefined) {
      Object.assign(node, { failure: settings.error });
      node.error(settings.error);
      return;
    }
    const peer = settings.value;
    const status = new StatusLine(node);
    const listeners = new Set<(state: CircuitState | undefined) => void>();
    const watching = circuits.watch({
      peer,
      show: (state) => {
        if (state === undefined) status.idle();
        else status.waiting(state.nextProbe, state.waiting);
        for (const listener of listeners) listener(state);
      },
      log: (what, code, waiting) => { say(node, peer.address, what, code, waiting); },
    });
    const following = withEachLedger((ledger) => follow(ledger, peer));
    Object.assign(node, {
      settings: peer,
      reachable: circuits.reach(peer),
      onCircuit: (listener: (state: CircuitState | undefined) => void): Disposable => {
        listeners.add(listener);
        circuits.refresh(peer.address);
        return { [Symbol.dispose]: () => { listeners.delete(listener); } };
      },
    });
    node.on('close', () => {
      following[Symbol.dispose]();
      watching[Symbol.dispose]();
      status.close();
    });
  });

  const answer: RequestHandler = (request, response) => {
    void (async () => {
      try {
        const peer = unsaved(RED, request.body as unknown);
        const { milliseconds } = await echo(peer, AbortSignal.timeout(ECHO_LIMIT));
        response.json({ ok: true, milliseconds: Math.round(milliseconds) });
      } catch (thrown) {
        const error = thrown instanceof Error && thrown.name === 'TimeoutError' ? new ExdicomError('PEER_TIMEOUT') : toExdicomError(thrown, { stage: 'deliver' });
        const { code, cause, remedy, detail } = error;
        response.json({ ok: false, code, cause, remedy, detail, message: [cause, ...(detail === undefined ? [] : [`(${detail})`]), remedy].join(' ') });
      }
    })();
  };
  RED.httpAdmin.post('/exdicom/pacs/echo', RED.auth.needsPermission('exdicom-pacs.write'), answer);
};

/** Jobs that waited for it when their ledger was closed wait again from the moment that it opens. */
function follow(ledger: Ledger, peer: PacsSettings): Disposable {
  let open = false;
  const look = (): void => {
    const { state } = ledger.status();
    const isOpen = state === 'ready' || state === 'paused';
    if (isOpen && !open) circuits.awaited(peer, ledger);
    open = isOpen;
    circuits.refresh(peer.address);
  };
  const listening = ledger.onStatus(look);
  look();
  return listening;
}

/** With the address, since a node without a name is a mere number in a log. One line when it goes, one per probe in vain, one when it is back. */
function say(node: Node, address: string, what: Parameters<Watcher['log']>[0], code: ErrorCode, waiting: number): void {
  const { cause, remedy } = ERRORS[code];
  if (what === 'opened') node.warn(`${code}: ${cause} ${remedy} (${address})`);
  else if (what === 'waiting') node.warn(`${code}: no answer yet, ${waiting} ${waiting === 1 ? 'job waits' : 'jobs wait'} (${address})`);
  else node.log(`it answers again${waiting === 0 ? '' : `, ${waiting} more ${waiting === 1 ? 'job goes' : 'jobs go'} on`} (${address})`);
}

/** The peer of an edit dialog: its values, saved or not; variables are those of the node, where it is there already. */
function unsaved(RED: Red, body: unknown): PacsSettings {
  if (typeof body !== 'object' || body === null) throw new ExdicomError('CONFIG_INVALID', { detail: 'request' });
  const { id, z, ...values } = body as Partial<PacsProperties> & { readonly id?: unknown; readonly z?: unknown };
  const existing = typeof id === 'string' ? configNode(RED, id, 'exdicom-pacs') : undefined;
  if (Object.keys(values).length === 0 && existing !== undefined) {
    const { settings, failure } = existing as Node & PacsNode; // registered above
    if (settings === undefined) throw failure ?? new ExdicomError('CONFIG_INVALID');
    return settings;
  }
  return pacsOf(RED, existing ?? ({ id: '', type: 'exdicom-pacs', z: typeof z === 'string' ? z : '' } as Node), values); // stands only for where variables are looked up
}
