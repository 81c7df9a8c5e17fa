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

/** Names of the destinations, as `finish` knows them: of the node, else of its PACS. One without a name is known by its address. */
function destinationNames(): string[] {
  const names = new Set<string>();
  RED.nodes.eachNode((node: EditorNode) => {
    if (!/^exdicom-.+-out$/.test(node.type)) return;
    const pacs = typeof node['pacs'] === 'string' ? RED.nodes.node(node['pacs']) : undefined;
    const name = [node['name'], pacs?.['name']].find((given) => typeof given === 'string' && given.trim() !== '');
    if (typeof name === 'string') names.add(name.trim());
  });
  return [...names].sort((a, b) => a.localeCompare(b));
}
