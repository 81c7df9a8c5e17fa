import { useConfigIfAny } from '../editor/default-config';
import { prepareForm } from '../editor/form';
import { configLabel, nodeLabel, nodeLabelStyle } from '../editor/labels';
import { categoryDescription, translate } from '../editor/red';
import { configNode } from '../editor/validators';
import type { CStoreOutProperties } from './properties';

RED.nodes.registerType<CStoreOutProperties>('exdicom-c-store-out', {
  category: 'EXDICOM',
  categoryDescription: categoryDescription('c-store-out'),
  color: '#87AFD4',
  defaults: {
    name: { value: '' },
    ledger: { value: '', type: 'exdicom-ledger', validate: configNode('label.ledger', { empty: true }) },
    pacs: { value: '', type: 'exdicom-pacs', validate: configNode('label.pacs') },
  },
  inputs: 1,
  outputs: 1,
  icon: 'c-store-out.svg',
  paletteLabel: 'c\u2011store\u2011out', // hyphens that do not break: the palette would put spaces around others
  label() { return nodeLabel(this.name, 'c-store-out', configLabel(this.pacs)); },
  labelStyle() { return nodeLabelStyle(this.name); },
  inputLabels() { return translate(this, 'port.input'); },
  outputLabels() { return translate(this, 'port.output'); },
  onadd() { useConfigIfAny(this, 'pacs', 'exdicom-pacs'); },
  oneditprepare() { prepareForm(this); },
});
