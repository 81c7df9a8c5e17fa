import { extract } from '../engine/archive/extract';
import { DEFAULT_SETTINGS } from '../engine/archive/settings';
import type { ExtractSettings } from '../engine/archive/settings';
import type { Node, Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings } from '../runtime/settings';
import { runStage } from '../runtime/stage';
import { divide } from './divide';
import type { Division } from './divide';
import { defaults } from './properties';
import type { ExtractCredentials, ExtractProperties } from './properties';

/** Unpacks what a job took in into DICOM files. */
export = (RED: Red): void => {
  register<ExtractProperties, ExtractCredentials>(RED, 'exdicom-extract', (node, saved) => {
    const settings = new Settings<ExtractProperties>(RED, node, saved, defaults);
    runStage(RED, node, saved, {
      adopts: true,
      settings: () => read(settings, node),
      work: async ({ message, ledger, token, signal, progress, ...arrival }, { how, division }, status) => {
        const extraction = await extract(ledger, token, how, { signal, progress: (done, total) => { progress.report(done, total); } });
        message.payload = null;
        message['extracted'] = extraction.summary;
        const parts = divide(extraction, division);
        const id = `${token.id}/${token.attempt}/${node.id}/${RED.util.generateId()}`;
        const outer = message.parts;
        const messages = parts.map((files, index) => {
          const part = index === parts.length - 1 ? message : RED.util.cloneMessage(message);
          part.payload = files;
          // More than one per part: then core's join makes one list of them again.
          part.parts = { id, index, count: parts.length, type: 'array', len: Math.max(2, files.length), ...(outer === undefined ? {} : { parts: outer }) };
          return part;
        });
        for (const part of messages) arrival.send(part);
        status.done(extraction.summary.instances);
      },
    });
  }, { passwords: { type: 'password' } });
};

function read(settings: Settings<ExtractProperties>, node: Node<Partial<ExtractCredentials>>): { readonly how: ExtractSettings; readonly division: Division } {
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
    encodings: DEFAULT_SETTINGS.encodings,
    passwords: (node.credentials?.passwords ?? '').split(/\r?\n/).filter((password) => password !== ''),
    patients: patients === 'go-on' ? 'all' : patients,
  };
  return { how, division: { per: settings.choice('per', ['job', 'study', 'series']), byPatient: patients === 'split' } };
}
