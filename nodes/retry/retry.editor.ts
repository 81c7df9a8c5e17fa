import { prepareForm } from '../editor/form';
import { nodeLabel, nodeLabelStyle, shown } from '../editor/labels';
import { categoryDescription, translate } from '../editor/red';
import { decimal, timeOfDay, whole, words } from '../editor/validators';
import { DAYS } from '../engine/ledger/active-hours';
import type { RetryProperties } from './properties';

RED.nodes.registerType<RetryProperties>('exdicom-retry', {
  category: 'EXDICOM',
  categoryDescription: categoryDescription('retry'),
  color: '#DDB377',
  defaults: {
    name: { value: '' },
    delay: { value: '60', validate: decimal('label.delay', 0.1, 2_592_000) },
    factor: { value: '2', validate: decimal('label.factor', 1, 10) },
    cap: { value: '3600', validate: decimal('label.cap', 0.1, 2_592_000) },
    jitter: { value: '20', validate: decimal('label.jitter', 0, 100) },
    attempts: { value: '0', validate: whole('label.attempts', 0, 1_000_000) },
    maximumAge: { value: '72', validate: decimal('label.maximumAge', 0.001, 8760) },
    activeFrom: { value: '', validate: timeOfDay('label.activeFrom') },
    activeTo: { value: '', validate: timeOfDay('label.activeTo') },
    activeDays: { value: '', validate: words('label.activeDays', DAYS) },
  },
  inputs: 1,
  outputs: 2,
  icon: 'retry.svg',
  paletteLabel: 'retry',
  label() { return nodeLabel(this.name, 'retry', `${shown(this.delay)} s`); },
  labelStyle() { return nodeLabelStyle(this.name); },
  inputLabels() { return translate(this, 'port.input'); },
  outputLabels(index) { return translate(this, index === 0 ? 'port.output' : 'port.gaveUp'); },
  oneditprepare() { prepareForm(this); },
});
