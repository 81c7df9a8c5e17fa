import type { ConnectionOptions } from 'node:tls';
import type { RequestHandler } from 'express';
import { echo } from '../engine/dimse/echo';
import { pacsSettings } from '../engine/dimse/peer';
import type { PacsSettings } from '../engine/dimse/peer';
import { ExdicomError, toExdicomError } from '../engine/errors';
import { attempt } from '../runtime/attempt';
import type { PacsNode } from '../runtime/pacs';
import { configNode } from '../runtime/red';
import type { ConfigNode, Node, Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings } from '../runtime/settings';
import { defaults } from './properties';
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
    Object.assign(node, settings.error === undefined ? { settings: settings.value } : { failure: settings.error });
    const { value } = settings;
    if (value === undefined) node.error(settings.error);
    else node.reachable = reach(value, abort.signal);
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

function pacsOf(RED: Red, node: Node, saved: Partial<PacsProperties>): PacsSettings {
  const settings = new Settings<PacsProperties>(RED, node, saved, defaults);
  const port = settings.integer('port', 1, 65_535);
  const tls = tlsOf(RED, settings.text('tls'));
  const query = { host: settings.text('queryHost'), port: settings.text('queryPort'), calledAET: settings.text('queryAet') };
  const seconds = (property: keyof PacsProperties): number => settings.number(property, 1, 86_400) * 1000;
  return pacsSettings({
    host: settings.required('host'),
    port,
    calledAET: settings.required('aet'),
    callingAET: settings.required('callingAet'),
    ...(tls === undefined ? {} : { tls }),
    timeouts: {
      connect: seconds('connectTimeout'), association: seconds('associationTimeout'), response: seconds('responseTimeout'),
      progress: seconds('writeTimeout'), release: seconds('releaseTimeout'),
    },
    associations: settings.integer('associations', 1, 16),
    nudge: settings.boolean('nudge'),
    level: settings.choice('verification', ['response', 'C-FIND']),
    ...(query.host === '' && query.port === '' && query.calledAET === '' ? {} : {
      queryPeer: {
        host: query.host || settings.text('host'),
        port: query.port === '' ? port : settings.integer('queryPort', 1, 65_535),
        calledAET: query.calledAET || settings.text('aet'),
      },
    }),
    verifyWait: settings.number('findWait', 0, 1440) * 60_000,
    identifiedAllowed: settings.boolean('identifiedAllowed'),
    label: settings.text('name'),
  });
}

/** What core's TLS node offers to those who use it. */
interface TlsNode extends Node {
  readonly valid: boolean;
  addTLSOptions(options: ConnectionOptions): ConnectionOptions;
}

function tlsOf(RED: Red, id: string): ConnectionOptions | undefined {
  if (id === '') return undefined;
  const node = configNode(RED, id, 'tls-config') as TlsNode | undefined; // core registers this type, and only it
  if (node?.valid !== true) throw new ExdicomError('CONFIG_INVALID', { detail: 'tls' });
  return node.addTLSOptions({});
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
