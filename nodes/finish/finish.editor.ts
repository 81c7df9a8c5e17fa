import { destinationNames } from '../editor/destinations';
import { prepareForm } from '../editor/form';
import { nodeLabel, nodeLabelStyle } from '../editor/labels';
import { categoryDescription, translate } from '../editor/red';
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
