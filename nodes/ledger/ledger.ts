import { createLedger } from '../engine/ledger/ledger';
import type { LedgerSettings } from '../engine/ledger/ledger-types';
import { attempt } from '../runtime/attempt';
import { handleClose } from '../runtime/input';
import { LedgerHost } from '../runtime/ledger-host';
import type { LedgerNode } from '../runtime/ledgers';
import { configNode } from '../runtime/red';
import type { ConfigNode, Node, Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings, inUserDirectory, workingDirectory } from '../runtime/settings';
import { defaults } from './properties';
import type { LedgerProperties } from './properties';

const MEGABYTE = 1_000_000;
const DAY = 86_400;

/** The durable record of jobs: opened when the node starts, closed with it. */
export = (RED: Red): void => {
  register<LedgerProperties>(RED, 'exdicom-ledger', (created, saved) => {
    const node = created as ConfigNode & LedgerNode; // the properties are set in the next lines
    node.users = {};
    const settings = attempt(() => read(RED, created, saved));
    const host = new LedgerHost(RED, node, settings.error ?? createLedger(node.id, settings.value));
    Object.defineProperties(node, {
      ledger: { value: host.ledger },
      failure: { get: () => host.failure },
      opened: { value: (signal: AbortSignal) => host.opened(signal) },
      onFailure: { value: (listener: Parameters<LedgerNode['onFailure']>[0]) => host.onFailure(listener) },
    });
    handleClose(node, () => host.close());
  });

  RED.httpAdmin.get('/exdicom/ledger/:id/status', RED.auth.needsPermission('exdicom-ledger.read'), (request, response) => {
    const { ledger } = (configNode(RED, String(request.params['id']), 'exdicom-ledger') ?? {}) as Partial<LedgerNode>; // registered above
    // One that is not deployed yet has nothing to say, which is no error.
    response.json(ledger?.status() ?? {});
  });
};

function read(RED: Red, node: Node, saved: Partial<LedgerProperties>): LedgerSettings {
  const settings = new Settings<LedgerProperties>(RED, node, saved, defaults);
  const seconds = (property: keyof LedgerProperties, least: number): number => settings.number(property, least, 30 * DAY) * 1000;
  return {
    directory: settings.path('directory', workingDirectory(RED)) || inUserDirectory(RED, 'exdicom'),
    slots: settings.integer('slots', 1, 1000),
    maxParked: settings.integer('maxParked', 1, 1_000_000),
    reserve: settings.number('reserve', 0, 1e9) * MEGABYTE,
    quiet: seconds('quiet', 1),
    policy: {
      delay: seconds('retryDelay', 0.1),
      factor: settings.number('retryFactor', 1, 10),
      cap: seconds('retryCap', 0.1),
      jitter: settings.number('retryJitter', 0, 100) / 100,
      maximumAge: settings.number('retryAge', 0.001, 24 * 365) * 3_600_000,
    },
    retention: settings.number('retention', 0, 36_500),
    quarantineRetention: settings.number('quarantineRetention', 0, 36_500),
    journal: {
      bytes: Math.round(settings.number('journalSize', 0.01, 100) * MEGABYTE),
      days: settings.number('journalDays', 0.01, 36_500),
      retention: settings.number('journalRetention', 0, 36_500),
    },
  };
}
