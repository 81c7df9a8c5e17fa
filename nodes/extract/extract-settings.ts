/** The saved properties of an `extract` as settings of the engine. */
import { NAME_ENCODINGS } from '../engine/archive/name-encodings';
import type { ExtractSettings } from '../engine/archive/settings';
import type { Node } from '../runtime/red';
import type { Settings } from '../runtime/settings';
import type { Division } from './divide';
import type { ExtractCredentials, ExtractProperties } from './properties';

/** @throws {ExdicomError} CONFIG_INVALID, with the property. */
export function extractSettings(settings: Settings<ExtractProperties>, node: Node<Partial<ExtractCredentials>>): { readonly how: ExtractSettings; readonly division: Division } {
  const patients = settings.choice('patients', ['go-on', 'split', 'stop']);
  const how: ExtractSettings = {
    limits: {
      bytes: Math.round(settings.number('maxBytes', 0.001, 1e6) * 1e9),
      entries: settings.integer('maxEntries', 1, 1e7),
      ratio: settings.number('maxRatio', 1, 1e6),
      nameBytes: settings.integer('maxName', 16, 65_535),
      milliseconds: Math.round(settings.number('timeLimit', 0.1, 10_080) * 60_000),
    },
    depth: settings.integer('depth', 0, 5),
    encodings: settings.words('encodings', NAME_ENCODINGS),
    passwords: (node.credentials?.passwords ?? '').split(/\r?\n/).filter((password) => password !== ''),
    patients: patients === 'go-on' ? 'all' : patients,
  };
  return { how, division: { per: settings.choice('per', ['job', 'study', 'series']), byPatient: patients === 'split' } };
}
