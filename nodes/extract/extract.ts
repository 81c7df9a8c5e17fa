import { extract } from '../engine/archive/extract';
import type { Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings } from '../runtime/settings';
import { runStage } from '../runtime/stage';
import { divide } from './divide';
import { extractSettings } from './extract-settings';
import { defaults } from './properties';
import type { ExtractCredentials, ExtractProperties } from './properties';

/** Unpacks what a job took in into DICOM files. */
export = (RED: Red): void => {
  register<ExtractProperties, ExtractCredentials>(RED, 'exdicom-extract', (node, saved) => {
    const settings = new Settings<ExtractProperties>(RED, node, saved, defaults);
    runStage(RED, node, saved, {
      adopts: true,
      settings: () => extractSettings(settings, node),
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
