import { prepareForm } from '../editor/form';
import { nodeLabel, nodeLabelStyle, shown } from '../editor/labels';
import { categoryDescription, translate } from '../editor/red';
import { configNode, filled, flag, oneOf } from '../editor/validators';
import type { FolderOutProperties } from './properties';

RED.nodes.registerType<FolderOutProperties>('exdicom-folder-out', {
  category: 'EXDICOM',
  categoryDescription: categoryDescription('folder-out'),
  color: '#87AFD4',
  defaults: {
    name: { value: '' },
    ledger: { value: '', type: 'exdicom-ledger', validate: configNode('label.ledger', { empty: true }) },
    folder: { value: 'received', validate: filled('label.folder') },
    layout: { value: 'uid', validate: oneOf('label.layout', ['uid', 'number']) },
    identifiedAllowed: { value: false, validate: flag('label.identifiedAllowed') },
  },
  inputs: 1,
  outputs: 1,
  icon: 'folder-out.svg',
  paletteLabel: 'folder\u2011out', // hyphens that do not break: the palette would put spaces around others
  label() { return nodeLabel(this.name, 'folder-out', shown(this.folder)); },
  labelStyle() { return nodeLabelStyle(this.name); },
  inputLabels() { return translate(this, 'port.input'); },
  outputLabels() { return translate(this, 'port.output'); },
  oneditprepare() { prepareForm(this); },
});
