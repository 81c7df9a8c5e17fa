import type { RequestHandler } from 'express';
import { echo } from '../engine/dimse/echo';
import type { PacsSettings } from '../engine/dimse/peer';
import { ExdicomError, toExdicomError } from '../engine/errors';
import { attempt } from '../runtime/attempt';
import type { PacsNode } from '../runtime/pacs';
import { configNode } from '../runtime/red';
import type { ConfigNode, Node, Red } from '../runtime/red';
import { register } from '../runtime/register';
import { pacsOf } from './pacs-settings';
import type { PacsProperties } from './properties';

/** Milliseconds after which the dialog's button has its answer, whatever the peer does. */
const ECHO_LIMIT = 20_000;

/** A destination of C-STORE: settings, TLS, and a C-ECHO at start. */
export = (RED: Red): void => {
  register<PacsProperties>(RED, 'exdicom-pacs', (created, saved) => {
    const node = created as ConfigNode & PacsNode; // the properties are set in the next lines
    const settings = attempt(() => pacsOf(RED, node, saved));
    const abort = new AbortController();
    node.users = {};
    if (settings.error === undefined) {
      Object.assign(node, { settings: settings.value, reachable: reach(settings.value, abort.signal) });
    } else {
      Object.assign(node, { failure: settings.error });
      node.error(settings.error);
    }
    node.on('close', () => { abort.abort(); });
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

/** Undefined once it has answered; else why it has not. A failure stops nothing. */
async function reach(peer: PacsSettings, signal: AbortSignal): Promise<ExdicomError | undefined> {
  try {
    await echo(peer, signal);
    return undefined;
  } catch (thrown) {
    return signal.aborted ? undefined : toExdicomError(thrown);
  }
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
