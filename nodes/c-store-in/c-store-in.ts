import { listenSettings } from '../engine/dimse/listen-settings';
import { Receiver } from '../engine/dimse/receive';
import { handleClose } from '../runtime/input';
import type { Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings } from '../runtime/settings';
import { Source } from '../runtime/source';
import { onlyCopies } from '../runtime/only-copy';
import { StatusLine } from '../runtime/status';
import { serverTls } from '../runtime/tls';
import { listen } from './listen';
import { Refusals } from './refusals';
import { defaults } from './properties';
import type { CStoreInProperties } from './properties';

/** A DICOM listener: one job per study that has gone quiet. */
export = (RED: Red): void => {
  register<CStoreInProperties>(RED, 'exdicom-c-store-in', (node, saved) => {
    const settings = new Settings<CStoreInProperties>(RED, node, saved, defaults);
    const status = new StatusLine(node);

    const source = new Source(RED, node, saved.ledger, status, async (ledger, signal) => {
      const issuer = settings.text('issuer');
      const tls = serverTls(RED, settings.text('tls'), settings.boolean('clientCertificate'));
      const refusals = new Refusals((reason) => { node.warn(`a caller was not let in: ${reason}`); });
      let stored = 0;
      let working = false;
      let held = false;
      const receiver = new Receiver({
        ledger,
        prefix: 'c-store-in',
        node: node.id,
        quiet: settings.number('quiet', 1, 86_400) * 1000,
        ...(issuer === '' ? {} : { issuer }),
        settings: listenSettings({
          host: settings.required('host'),
          port: settings.integer('port', 0, 65_535),
          aet: settings.required('aet'),
          ...(tls === undefined ? {} : { tls }),
          checkCalledAET: settings.boolean('checkAet'),
          callingAETs: settings.list('callers'),
          addresses: settings.list('addresses'),
          associations: settings.integer('associations', 1, 100),
        }),
        send: (token, path) => { source.send(token, path, undefined); },
        onError: (error) => { status.failed(error); },
        onStatus: ({ receiving, associations, ...counts }) => {
          refusals.note(counts);
          held = ledger.held({ source: receiver.sourceKey }) !== undefined;
          const fresh = counts.stored - stored;
          // An association that brings nothing, as of a C-ECHO, changes nothing.
          const busy = receiving > 0 || (associations > 0 && fresh > 0);
          if (busy) status.working(fresh);
          else if (held) status.paused();
          else if (fresh > 0) status.done(fresh);
          else if (working) status.idle();
          working = busy;
          if (!busy) stored = counts.stored;
        },
      });
      const attached = ledger.attachSource({
        sourceKey: receiver.sourceKey,
        node: node.id,
        send: (token, path, topic) => { source.send(token, path, topic); },
        ...onlyCopies(ledger, issuer),
      });
      let listens = false;
      const show = (): void => {
        if (!listens) return;
        const before = held;
        held = ledger.held({ source: receiver.sourceKey }) !== undefined;
        if (working || held === before) return;
        if (held) status.paused();
        else status.idle();
      };
      const watching = ledger.onStatus(show);
      // What was received before goes on while the port cannot be opened.
      const listening = listen(receiver, signal, (error, again) => {
        status.failed(error);
        // The ledger has told of its own failure.
        if (!again && error.stage !== 'ledger') node.error(error);
      }, () => {
        listens = true;
        status.idle();
        show();
      });
      return {
        close: async () => {
          watching[Symbol.dispose]();
          await listening;
          await receiver.stop();
          attached[Symbol.dispose]();
        },
      };
    });

    handleClose(node, async () => {
      status.close();
      await source.close();
    });
  });
};
