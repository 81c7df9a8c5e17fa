import { mkdir } from 'node:fs/promises';
import { sep } from 'node:path';
import { ExdicomError } from '../engine/errors';
import { FolderWatcher } from '../engine/folder/watch';
import type { Look } from '../engine/folder/watch';
import { handleInput } from '../runtime/input';
import type { Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings } from '../runtime/settings';
import { Source } from '../runtime/source';
import { StatusLine } from '../runtime/status';
import { FolderSource } from './folder-source';
import { checkDeletion } from './deletion';
import { defaults } from './properties';
import type { FolderInProperties } from './properties';

/** Makes a job of each archive, file or sub-folder that has stopped growing in a watched folder. */
export = (RED: Red): void => {
  register<FolderInProperties>(RED, 'exdicom-folder-in', (node, saved) => {
    const settings = new Settings<FolderInProperties>(RED, node, saved, defaults);
    const status = new StatusLine(node);
    let watcher: FolderWatcher | undefined;

    let large = 0;
    const show = ({ full, waiting, tooLarge, error }: Look): void => {
      const before = large;
      // Without any room nobody has asked whether there is enough for those.
      large = full ? Math.max(before, tooLarge) : tooLarge;
      if (large > before) node.warn(`${large === 1 ? 'an item is' : `${large} items are`} too large for the free space of the ledger's disk: three times the size must be free there, beside the reserve; then it is taken by itself`);
      if (error !== undefined) status.failed(error);
      else if (large > 0) status.warning(new ExdicomError('DISK_FULL'));
      else if (full || waiting > 0) status.waiting();
      else status.idle();
    };

    const source = new Source(RED, node, saved.ledger, status, async (ledger, signal) => {
      const { root, done, failed } = ledger.folders;
      settings.required('folder');
      const folder = settings.path('folder', root);
      const { root: _root, ...own } = ledger.folders;
      // It would take in its own ledger, or what it has done.
      if (folder === root || Object.values(own).some((taboo) => `${folder}${sep}`.startsWith(`${taboo}${sep}`))) throw new ExdicomError('CONFIG_INVALID', { detail: 'folder: belongs to the ledger' });
      // A folder of ours is made; anywhere else a missing one may be a share that is not mounted.
      if (folder.startsWith(root + sep)) await mkdir(folder, { recursive: true, mode: 0o700 });
      const deletes = settings.choice('disposal', ['move', 'delete']) === 'delete';
      if (deletes) checkDeletion(RED, node.id);
      const from = new FolderSource({
        ledger, folder, status, deletes,
        issuer: settings.text('issuer'),
        done: settings.path('doneFolder', root) || done,
        failed: settings.path('failedFolder', root) || failed,
        send: (token, path, topic) => { source.send(token, path, topic); },
      });
      const interval = settings.number('interval', 0.1, 86_400) * 1000;
      watcher = new FolderWatcher({
        folder, interval,
        subfolders: settings.boolean('subfolders'),
        stable: settings.number('stable', 0, 86_400) * 1000,
        maxWait: settings.number('maxWait', 0, 1440) * 60_000,
        exclude: [...Object.values(ledger.folders), ...from.targets],
      }, { whole: from.whole, room: from.room, take: from.take, letGo: from.letGo, looked: (look) => { if (from.held) status.paused(); else show(look); } });
      await from.start(watcher, signal);
      status.idle();
      watcher.start();
      return { close: async () => { from.close(); await watcher?.stop(); } };
    });

    handleInput(node, {
      arrive: () => undefined,
      work: async () => { await watcher?.look(); },
      leave: () => undefined,
      close: async () => {
        await source.close();
        status.close();
      },
    });
  });
};
