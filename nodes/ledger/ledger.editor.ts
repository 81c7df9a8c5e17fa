import { prepareForm } from '../editor/form';
import { nodeLabel, nodeLabelStyle, shown } from '../editor/labels';
import { decimal, whole } from '../editor/validators';
import type { LedgerProperties } from './properties';

RED.nodes.registerType<LedgerProperties>('exdicom-ledger', {
  category: 'config',
  color: '#B9B3A6',
  defaults: {
    name: { value: '' },
    directory: { value: '' },
    slots: { value: '4', validate: whole('label.slots', 1, 1000) },
    maxParked: { value: '1000', validate: whole('label.maxParked', 1, 1_000_000) },
    reserve: { value: '2000', validate: whole('label.reserve', 0, 1_000_000_000) },
    quiet: { value: '60', validate: whole('label.quiet', 1, 86_400) },
    retryDelay: { value: '30', validate: whole('label.retryDelay', 1, 86_400) },
    retryFactor: { value: '2', validate: decimal('label.retryFactor', 1, 10) },
    retryCap: { value: '1800', validate: whole('label.retryCap', 1, 604_800) },
    retryJitter: { value: '20', validate: whole('label.retryJitter', 0, 100) },
    retryAge: { value: '72', validate: decimal('label.retryAge', 0, 8760) },
    retention: { value: '30', validate: whole('label.retention', 0, 36_500) },
    quarantineRetention: { value: '0', validate: whole('label.quarantineRetention', 0, 36_500) },
  },
  icon: 'ledger.svg',
  paletteLabel: 'ledger',
  label() { return nodeLabel(this.name, 'ledger', shown(this.directory)); },
  labelStyle() { return nodeLabelStyle(this.name); },
  oneditprepare() { prepareForm(this); },
});
