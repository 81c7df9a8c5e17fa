import { useOrAddConfig } from '../editor/default-config';
import { prepareForm } from '../editor/form';
import { configLabel, nodeLabel, nodeLabelStyle } from '../editor/labels';
import { categoryDescription, translate } from '../editor/red';
import { configNode } from '../editor/validators';
import type { AnonymizeProperties } from './properties';

RED.nodes.registerType<AnonymizeProperties>('exdicom-anonymize', {
  category: 'EXDICOM',
  categoryDescription: categoryDescription('anonymize'),
  color: '#ACA3CF',
  defaults: {
    name: { value: '' },
    ledger: { value: '', type: 'exdicom-ledger', validate: configNode('label.ledger', { empty: true }) },
    profile: { value: '', type: 'exdicom-deid-profile', validate: configNode('label.profile') },
  },
  inputs: 1,
  outputs: 2,
  icon: 'anonymize.svg',
  paletteLabel: 'anonymize',
  label() { return nodeLabel(this.name, 'anonymize', configLabel(this.profile)); },
  labelStyle() { return nodeLabelStyle(this.name); },
  inputLabels() { return translate(this, 'port.input'); },
  outputLabels(index) { return translate(this, index === 0 ? 'port.output' : 'port.quarantined'); },
  onadd() { useOrAddConfig(this, 'profile', 'exdicom-deid-profile'); },
  oneditprepare() { prepareForm(this); },
});
