import { useOrAddConfig } from '../editor/default-config';
import { prepareForm } from '../editor/form';
import { nodeLabel, nodeLabelStyle, shown } from '../editor/labels';
import { categoryDescription, translate } from '../editor/red';
import { configNode, decimal, filled, flag, oneOf } from '../editor/validators';
import type { FolderInProperties } from './properties';

RED.nodes.registerType<FolderInProperties>('exdicom-folder-in', {
  category: 'EXDICOM',
  categoryDescription: categoryDescription('folder-in'),
  color: '#7DB3AC',
  defaults: {
    name: { value: '' },
    ledger: { value: '', type: 'exdicom-ledger', validate: configNode('label.ledger') },
    folder: { value: 'inbox', validate: filled('label.folder') },
    interval: { value: '5', validate: decimal('label.interval', 0.1, 86_400) },
    stable: { value: '10', validate: decimal('label.stable', 0, 86_400) },
    maxWait: { value: '5', validate: decimal('label.maxWait', 0, 1440) },
    subfolders: { value: true, validate: flag('label.subfolders') },
    issuer: { value: '' },
    disposal: { value: 'move', validate: oneOf('label.disposal', ['move', 'delete']) },
    doneFolder: { value: '' },
    failedFolder: { value: '' },
  },
  inputs: 1,
  outputs: 1,
  icon: 'folder-in.svg',
  paletteLabel: 'folder\u2011in', // hyphens that do not break: the palette would put spaces around others
  label() { return nodeLabel(this.name, 'folder-in', shown(this.folder)); },
  labelStyle() { return nodeLabelStyle(this.name); },
  inputLabels() { return translate(this, 'port.input'); },
  outputLabels() { return translate(this, 'port.output'); },
  onadd() { useOrAddConfig(this, 'ledger', 'exdicom-ledger'); },
  oneditprepare() { prepareForm(this); },
});
