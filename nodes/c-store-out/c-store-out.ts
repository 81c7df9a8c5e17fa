import { deliver } from '../engine/dimse/deliver';
import { filesOf, withDelivered } from '../runtime/files';
import { configureLedgers } from '../runtime/ledgers';
import { pacsNode } from '../runtime/pacs';
import type { PacsNode } from '../runtime/pacs';
import { useConfig } from '../runtime/red';
import type { Red } from '../runtime/red';
import { register } from '../runtime/register';
import { defaults } from './properties';
import type { CStoreOutProperties } from './properties';
import { Settings } from '../runtime/settings';
import { runStage } from '../runtime/stage';

/** Messages side by side: one may wait for its verification while others are sent. */
const MESSAGES = 16;

/** Sends DICOM files to a PACS by C-STORE and verifies that they arrived. */
export = (RED: Red): void => {
  register<CStoreOutProperties>(RED, 'exdicom-c-store-out', (node, saved) => {
    const settings = new Settings<CStoreOutProperties>(RED, node, saved, defaults);
    const owned: Disposable[] = [];

    const showReachable = async (reachable: PacsNode['reachable']): Promise<void> => {
      const failure = await reachable;
      if (failure !== undefined) status.warning(failure);
    };

    const status = runStage(RED, node, saved, {
      adopts: true,
      limit: () => MESSAGES,
      settings: () => {
        const config = pacsNode(RED, saved.pacs);
        const peer = config.settings;
        owned.push(useConfig(config, node), configureLedgers(node.id, () => peer.address));
        void showReachable(config.reachable);
        // After the node's status line is there.
        queueMicrotask(() => {
          const shown = config.onCircuit?.((state) => {
            if (state === undefined) status.idle();
            else status.waiting(state.nextProbe, state.waiting);
          });
          if (shown !== undefined) owned.push(shown);
        });
        return { ...peer, label: settings.text('name') || peer.label };
      },
      work: async (arrival, peer, line) => {
        const { ledger, token, signal, progress, message } = arrival;
        const files = await filesOf(arrival);
        const delivered = await deliver(ledger, token, files, peer, { signal, progress: (done, total) => { progress.report(done, total); } });
        arrival.send(withDelivered(message, peer.label, delivered));
        line.delivered(delivered);
      },
      close: () => { for (const disposable of owned) disposable[Symbol.dispose](); },
    });
  });
};
