import { resolve } from 'node:path';
import { deliverToFolder, folderAddress } from '../engine/folder/deliver';
import { filesOf, withDelivered } from '../runtime/files';
import { configureLedgers } from '../runtime/ledgers';
import type { Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings } from '../runtime/settings';
import { runStage } from '../runtime/stage';
import { defaults } from './properties';
import type { FolderOutProperties } from './properties';

/** Delivers DICOM files into a folder, verified by digest. */
export = (RED: Red): void => {
  register<FolderOutProperties>(RED, 'exdicom-folder-out', (node, saved) => {
    const settings = new Settings<FolderOutProperties>(RED, node, saved, defaults);
    const destinationIn = (root: string) => {
      const folder = resolve(root, settings.required('folder'));
      const address = folderAddress(folder);
      return {
        folder, address, label: settings.text('name') || address,
        layout: settings.choice('layout', ['uid', 'number']), identifiedAllowed: settings.boolean('identifiedAllowed'),
      };
    };
    const owned: Disposable[] = [];

    runStage(RED, node, saved, {
      adopts: true,
      settings: () => {
        destinationIn('/');
        owned.push(configureLedgers(node.id, ({ folders }) => destinationIn(folders.root).address));
      },
      work: async (arrival, _checked, status) => {
        const { message, ledger, token, signal, progress } = arrival;
        const destination = destinationIn(ledger.folders.root);
        const files = await filesOf(arrival);
        const delivered = await deliverToFolder({ ledger, token, destination, files, signal, onProgress: (done, total) => { progress.report(done, total); } });
        arrival.send(withDelivered(message, destination.label, delivered));
        status.delivered(delivered);
      },
      close: () => { for (const disposable of owned) disposable[Symbol.dispose](); },
    });
  });
};
