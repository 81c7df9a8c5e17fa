/** A list of texts, one field each, of any length. */
import { translate, type EditorNode } from './red';

interface Row { text?: string; field?: JQuery }

interface Options {
  readonly type: 'text' | 'password';
  /** Locale key: what one field is, for those who hear rather than see the form. */
  readonly ariaLabel: string;
  /** Locale key of the button that adds a field. */
  readonly add: string;
  /** Id of a `datalist` with suggestions. */
  readonly suggestions?: string;
}

export interface TextList {
  /** What the fields hold, empty ones left out, otherwise as they were typed. */
  values(): string[];
}

/** Makes an editable list of the `<ol>` with these texts in it. */
export function textList(node: EditorNode, element: JQuery, texts: readonly string[], { type, ariaLabel, add, suggestions }: Options): TextList {
  element.editableList<Row>({
    addButton: translate(node, add),
    height: 'auto',
    removable: true,
    sortable: type === 'text',
    addItem: (row, _index, data) => {
      data.field = $('<input>')
        .attr({ type, autocomplete: type === 'password' ? 'new-password' : 'off', 'aria-label': translate(node, ariaLabel) })
        .val(data.text ?? '')
        .appendTo(row);
      if (suggestions !== undefined) data.field.attr('list', suggestions);
      if (data.text === undefined) data.field.trigger('focus');
    },
  });
  for (const text of texts) element.editableList('addItem', { text });
  return {
    values: () => element.editableList('items').toArray()
      .map((row) => String(($(row).data('data') as Row).field?.val() ?? '')) // what addItem put there
      .filter((value) => value.trim() !== ''),
  };
}
