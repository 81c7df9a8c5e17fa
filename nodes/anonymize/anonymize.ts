import { anonymize } from '../engine/deid/anonymize';
import { jobKey, loadKey } from '../engine/deid/key';
import { filesOf } from '../runtime/files';
import { configureLedgers } from '../runtime/ledgers';
import { profileNamed, profileNode } from '../runtime/profile';
import { useConfig } from '../runtime/red';
import type { Red } from '../runtime/red';
import { register } from '../runtime/register';
import { runStage } from '../runtime/stage';
import type { AnonymizeProperties } from './properties';

/** De-identifies DICOM files (PS3.15, Annex E); what cannot be vouched for goes to quarantine and is told on output 2. */
export = (RED: Red): void => {
  register<AnonymizeProperties>(RED, 'exdicom-anonymize', (node, saved) => {
    const owned: Disposable[] = [];

    runStage(RED, node, saved, {
      adopts: true,
      // Original UIDs are on wires in front of this node, and nowhere else.
      withholds: true,
      settings: () => {
        const { node: config, use } = profileNode(RED, saved.profile);
        owned.push(useConfig(config, node), configureLedgers(node.id, () => `profile:${use.profile.fingerprint}`));
        return use;
      },
      work: async (arrival, own, status) => {
        const { message, ledger, token, signal, progress } = arrival;
        const { profile: released } = await ledger.job(token.id);
        const { profile, key: sources } = released === undefined ? own : profileNamed(RED, released);
        const key = sources === undefined ? await jobKey(ledger, token.id) : await loadKey(sources, profile.scope, ledger);
        const files = await filesOf(arrival);
        const result = await anonymize(ledger, token, files, { profile, key }, {
          signal, progress: (done, total) => { progress.report(done, total); },
        });
        message['anonymized'] = result.anonymized;
        message.payload = null;
        const aside = result.quarantined.length === 0 ? null : { ...RED.util.cloneMessage(message), payload: result.quarantined };
        message.payload = result.files;
        arrival.send([message, aside]);
        if (aside === null) status.done(result.files.length);
        else status.partly(result.files.length);
      },
      close: () => { for (const disposable of owned) disposable[Symbol.dispose](); },
    });
  });
};
