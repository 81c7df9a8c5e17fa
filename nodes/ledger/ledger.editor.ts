import { prepareForm } from '../editor/form';
import { nodeLabel, nodeLabelStyle, shown } from '../editor/labels';
import { decimal, whole } from '../editor/validators';
import { showNow } from './now.editor';
import type { LedgerProperties } from './properties';

/** Seconds. */
const MONTH = 30 * 86_400;

RED.nodes.registerType<LedgerProperties>('exdicom-ledger', {
  category: 'config',
  color: '#B9B3A6',
  defaults: {
    name: { value: '' },
    directory: { value: '' },
    slots: { value: '4', validate: whole('label.slots', 1, 1000) },
    maxParked: { value: '1000', validate: whole('label.maxParked', 1, 1_000_000) },
    reserve: { value: '2000', validate: decimal('label.reserve', 0, 1_000_000_000) },
    quiet: { value: '60', validate: decimal('label.quiet', 1, MONTH) },
    retryDelay: { value: '30', validate: decimal('label.retryDelay', 0.1, MONTH) },
    retryFactor: { value: '2', validate: decimal('label.retryFactor', 1, 10) },
    retryCap: { value: '1800', validate: decimal('label.retryCap', 0.1, MONTH) },
    retryJitter: { value: '20', validate: decimal('label.retryJitter', 0, 100) },
    retryAge: { value: '72', validate: decimal('label.retryAge', 0.001, 8760) },
    retention: { value: '30', validate: decimal('label.retention', 0, 36_500) },
    quarantineRetention: { value: '0', validate: decimal('label.quarantineRetention', 0, 36_500) },
    journalSize: { value: '10', validate: decimal('label.journalSize', 0.01, 100) },
    journalDays: { value: '30', validate: decimal('label.journalDays', 0.01, 36_500) },
    journalRetention: { value: '365', validate: decimal('label.journalRetention', 0, 36_500) },
  },
  icon: 'ledger.svg',
  paletteLabel: 'ledger',
  label() { return nodeLabel(this.name, 'ledger', shown(this.directory)); },
  labelStyle() { return nodeLabelStyle(this.name); },
  oneditprepare() {
    prepareForm(this);
    showNow(this);
  },
});
