/** What every edit dialog does when it opens. Forms use the classes below; colours are Node-RED's own, so both themes fit. */
import { prepareChoice } from './choice';
import type { EditorNode } from './red';
import { isVariable } from './validators';

const STYLE = `
.exdicom-form .form-row { display: flex; align-items: center; gap: 10px; flex-wrap: nowrap; }
.exdicom-form .form-row > label:first-child { width: 150px; flex: none; margin: 0; }
.exdicom-form .form-row > .exdicom-field { flex: 1 1 auto; min-width: 0; width: auto; }
.exdicom-form .form-row > div, .exdicom-form .form-row > div > select { min-width: 0; }
.exdicom-form .form-row > input.exdicom-number { flex: none; width: 110px; }
.exdicom-form .form-row > input.exdicom-number.exdicom-variable { flex: 1 1 auto; width: auto; min-width: 0; }
.exdicom-form .form-row > input[type=checkbox] { flex: none; width: auto; margin: 0; }
.exdicom-form .form-row > label.exdicom-check { width: auto; flex: 1 1 auto; margin: 0; }
.exdicom-form .form-row.exdicom-top { align-items: flex-start; }
.exdicom-form .form-row.exdicom-top > label:first-child { margin-top: 7px; }
.exdicom-form textarea { box-sizing: border-box; resize: vertical; font-family: var(--red-ui-monospace-font); }
.exdicom-form .exdicom-unit { color: var(--red-ui-secondary-text-color); }
.exdicom-form .exdicom-hint { max-width: 460px; margin: -6px 0 12px 160px; color: var(--red-ui-secondary-text-color); font-size: 0.9em; line-height: 1.4; }
.exdicom-form .exdicom-hint.exdicom-wide { max-width: 620px; margin-left: 0; }
.exdicom-form h4 { margin: 20px 0 10px; padding-bottom: 4px; border-bottom: 1px solid var(--red-ui-secondary-border-color); font-size: 1em; font-weight: bold; color: var(--red-ui-primary-text-color); }
.exdicom-form details { margin: 14px 0 0; border: 1px solid var(--red-ui-secondary-border-color); border-radius: 4px; }
.exdicom-form details > summary { padding: 7px 10px; cursor: pointer; color: var(--red-ui-primary-text-color); }
.exdicom-form details > summary:hover { background: var(--red-ui-list-item-background-hover); }
.exdicom-form details > summary:focus-visible { outline: 1px solid var(--red-ui-form-input-focus-color); }
.exdicom-form details > div { padding: 10px 10px 0; }
.exdicom-form .exdicom-danger { margin: 18px 0 12px; padding: 10px; border: 1px solid var(--red-ui-border-color-error); border-left-width: 4px; border-radius: 4px; }
.exdicom-form .exdicom-danger .form-row { margin-bottom: 4px; }
.exdicom-form .exdicom-danger label, .exdicom-form .exdicom-warning { color: var(--red-ui-text-color-error); }
.exdicom-form .exdicom-danger .exdicom-hint { max-width: 600px; margin: 0; }
.exdicom-form .exdicom-danger input[type=checkbox] { accent-color: var(--red-ui-text-color-error); }
.exdicom-form .exdicom-result { flex: 1 1 auto; min-width: 0; overflow-wrap: anywhere; }
.exdicom-form .exdicom-result.exdicom-good { color: var(--red-ui-text-color-success); }
.exdicom-form .exdicom-result.exdicom-bad { color: var(--red-ui-text-color-error); }
.exdicom-form .red-ui-editableList { flex: 1 1 auto; min-width: 0; }
.exdicom-form .red-ui-editableList input { width: 100%; box-sizing: border-box; margin: 0; }
.exdicom-form .exdicom-risk { display: flex; align-items: flex-start; gap: 10px; margin-bottom: 8px; }
.exdicom-form .exdicom-risk input { flex: none; width: auto; margin: 3px 0 0; }
.exdicom-form .exdicom-risk label { flex: 1 1 auto; width: auto; margin: 0; }
.exdicom-form .exdicom-risk code { display: block; border: 0; padding: 0; background: none; color: var(--red-ui-secondary-text-color); font-size: 0.85em; white-space: normal; }
`;

/** The jQuery handle of a property's input in the dialog that is open. */
export function input(node: EditorNode, property: string): JQuery {
  return $(`#${inputId(node, property)}`);
}

export function inputId({ _def: definition }: EditorNode, property: string): string {
  return `${definition.category === 'config' ? 'node-config-input' : 'node-input'}-${property}`;
}

/** Called first in `oneditprepare`: the form has been filled by Node-RED, but not yet checked. */
export function prepareForm(node: EditorNode): void {
  if ($('#exdicom-style').length === 0) $('<style id="exdicom-style">').text(STYLE).appendTo('head');
  const { _def: { defaults } } = node;
  for (const [property, definition] of Object.entries(defaults)) {
    const field = input(node, property);
    if (field.length === 0) continue;
    // A flow that was saved before this property existed, or a new configuration node, which Node-RED gives no falsy default.
    if (node[property] === undefined && definition.type === undefined) fill(field, definition.value);
    if (field.is('select') && definition.type === undefined) prepareChoice(node, field, node[property]);
    if (field.is('.exdicom-number')) widenForVariables(field);
    if (definition.validate !== undefined && definition.validate.call(node, node[property], {}) !== true) field.closest('details').prop('open', true);
  }
}

function fill(field: JQuery, value: unknown): void {
  if (field.attr('type') === 'checkbox') field.prop('checked', value === true);
  else if (typeof value === 'string') field.val(value);
}

/** A field made for a number has room for the name of a variable as well. */
function widenForVariables(field: JQuery): void {
  const update = (): void => { field.toggleClass('exdicom-variable', isVariable(field.val())); };
  field.on('input change', update);
  update();
}

/** Shows `target` while `condition` holds; `condition` is asked again whenever `field` changes. */
export function showWhile(field: JQuery, target: JQuery, condition: () => boolean): void {
  const update = (): void => { target.toggle(condition()); };
  field.on('change', update);
  update();
}
