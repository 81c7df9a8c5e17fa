/** The saved properties of a `pacs` as settings of a destination. */
import type { ConnectionOptions } from 'node:tls';
import { pacsSettings } from '../engine/dimse/peer';
import type { PacsSettings } from '../engine/dimse/peer';
import { ExdicomError } from '../engine/errors';
import { configNode } from '../runtime/red';
import type { Node, Red } from '../runtime/red';
import { Settings } from '../runtime/settings';
import { defaults } from './properties';
import type { PacsProperties } from './properties';

/** @throws {ExdicomError} CONFIG_INVALID, with the property. */
export function pacsOf(RED: Red, node: Node, saved: Partial<PacsProperties>): PacsSettings {
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
    verifyWait: Math.round(settings.number('findWait', 0, 1440) * 60_000),
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
