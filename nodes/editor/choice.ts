/** A drop-down list that also takes a variable, as every setting does. */
import { translate, type EditorNode } from './red';
import { isVariable } from './validators';

/** Adds "from a variable" to `select`, and a field for it beside the list. `saved` is the property as it is in the flow. */
export function prepareChoice(node: EditorNode, select: JQuery, saved: unknown): void {
  const id = select.attr('id') ?? '';
  const first = select.find('option').first().attr('value') ?? '';
  const initial = isVariable(saved) ? String(saved) : `\${NAME:-${first}}`;
  const option = $('<option>').val(initial).text(translate(node, 'choice.variable')).appendTo(select);
  const field = $('<input type="text" class="exdicom-field">').attr({ id: `${id}-variable`, 'aria-label': translate(node, 'choice.variable') }).val(initial).insertAfter(select);
  if (isVariable(saved)) select.val(initial);

  const update = (): void => { field.toggle(isVariable(select.val())); };
  field.on('input change', () => {
    const written = String(field.val() ?? '');
    // Anything else here would look like one of the other choices, or like none.
    if (!isVariable(written)) return;
    option.val(written);
    select.trigger('change');
  });
  select.on('change', update);
  update();
}
