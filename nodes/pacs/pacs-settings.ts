/** The saved properties of a `pacs` as settings of a destination. */
import { pacsSettings } from '../engine/dimse/peer';
import type { PacsSettings } from '../engine/dimse/peer';
import type { Node, Red } from '../runtime/red';
import { Settings } from '../runtime/settings';
import { clientTls } from '../runtime/tls';
import { defaults } from './properties';
import type { PacsProperties } from './properties';

/** @throws {ExdicomError} CONFIG_INVALID, with the property. */
export function pacsOf(RED: Red, node: Node, saved: Partial<PacsProperties>): PacsSettings {
  const settings = new Settings<PacsProperties>(RED, node, saved, defaults);
  const port = settings.integer('port', 1, 65_535);
  const tls = clientTls(RED, settings.text('tls'));
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
    probeInterval: Math.round(seconds('probeInterval')),
    verifyWait: Math.round(settings.number('findWait', 0, 1440) * 60_000),
    identifiedAllowed: settings.boolean('identifiedAllowed'),
    label: settings.text('name'),
  });
}
