import { prepareForm } from '../editor/form';
import { nodeLabel, nodeLabelStyle } from '../editor/labels';
import { categoryDescription, translate } from '../editor/red';
import { configNode, decimal, oneOf, whole, words } from '../editor/validators';
import { NAME_ENCODINGS } from '../engine/archive/name-encodings';
import { preparePasswords, savePasswords } from './passwords.editor';
import type { ExtractCredentials, ExtractProperties } from './properties';

RED.nodes.registerType<ExtractProperties, ExtractCredentials>('exdicom-extract', {
  category: 'EXDICOM',
  categoryDescription: categoryDescription('extract'),
  color: '#ACA3CF',
  defaults: {
    name: { value: '' },
    ledger: { value: '', type: 'exdicom-ledger', validate: configNode('label.ledger', { empty: true }) },
    per: { value: 'job', validate: oneOf('label.per', ['job', 'study', 'series']) },
    patients: { value: 'go-on', validate: oneOf('label.patients', ['go-on', 'split', 'stop']) },
    encodings: { value: 'cp950, cp949, cp932, gbk', validate: words('label.encodings', NAME_ENCODINGS) },
    depth: { value: '1', validate: whole('label.depth', 0, 5) },
    maxBytes: { value: '50', validate: decimal('label.maxBytes', 0.001, 1_000_000) },
    maxEntries: { value: '100000', validate: whole('label.maxEntries', 1, 10_000_000) },
    maxRatio: { value: '200', validate: decimal('label.maxRatio', 1, 1_000_000) },
    maxName: { value: '4096', validate: whole('label.maxName', 16, 65_535) },
    timeLimit: { value: '60', validate: decimal('label.timeLimit', 0.1, 10_080) },
  },
  credentials: {
    passwords: { type: 'password' },
  },
  inputs: 1,
  outputs: 1,
  icon: 'extract.svg',
  paletteLabel: 'extract',
  label() { return nodeLabel(this.name, 'extract', this.per === 'study' || this.per === 'series' ? translate(this, `per.${this.per}`) : ''); },
  labelStyle() { return nodeLabelStyle(this.name); },
  inputLabels() { return translate(this, 'port.input'); },
  outputLabels() { return translate(this, 'port.output'); },
  oneditprepare() {
    prepareForm(this);
    preparePasswords(this);
  },
  oneditsave() { savePasswords(); },
});
