import { prepareForm } from '../editor/form';
import { nodeLabel, nodeLabelStyle } from '../editor/labels';
import { categoryDescription, translate, type EditorNode } from '../editor/red';
import { textList, type TextList } from '../editor/text-list';
import { flag, list } from '../editor/validators';
import type { FinishProperties } from './properties';

let required: TextList;

RED.nodes.registerType<FinishProperties>('exdicom-finish', {
  category: 'EXDICOM',
  categoryDescription: categoryDescription('finish'),
  color: '#A6B580',
  defaults: {
    name: { value: '' },
    required: { value: [], validate: list('label.required') },
    allowLeftOut: { value: false, validate: flag('label.allowLeftOut') },
  },
  inputs: 1,
  outputs: 1,
  icon: 'finish.svg',
  paletteLabel: 'finish',
  label() { return nodeLabel(this.name, 'finish'); },
  labelStyle() { return nodeLabelStyle(this.name); },
  inputLabels() { return translate(this, 'port.input'); },
  outputLabels() { return translate(this, 'port.output'); },
  oneditprepare() {
    prepareForm(this);
    $('#exdicom-finish-destinations').append(...destinationNames().map((name) => $('<option>').val(name)));
    required = textList(this, $('#exdicom-finish-required'), this.required ?? [], {
      type: 'text', ariaLabel: 'label.destination', add: 'label.addDestination', suggestions: 'exdicom-finish-destinations',
    });
  },
  oneditsave() { this.required = required.values().map((name) => name.trim()); },
});

/** Names of the nodes that deliver, as `finish` knows them; those without a name are known by their address. */
function destinationNames(): string[] {
  const names = new Set<string>();
  RED.nodes.eachNode((node: EditorNode) => {
    const name = node['name'];
    if (/^exdicom-.+-out$/.test(node.type) && typeof name === 'string' && name.trim() !== '') names.add(name.trim());
  });
  return [...names].sort((a, b) => a.localeCompare(b));
}
