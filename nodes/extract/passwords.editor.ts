/**
 * Passwords as one credential, one per line. A password field holds no line breaks, so the form has a list, and a hidden field
 * from which Node-RED takes the credential. What is stored never comes back: it can be replaced or removed, not read.
 */
import { input } from '../editor/form';
import { translate, type EditorNode } from '../editor/red';
import { textList, type TextList } from '../editor/text-list';

const STORED = '__PWRD__';
let field: JQuery;
let list: TextList | undefined;

export function preparePasswords(node: EditorNode): void {
  field = input(node, 'passwords');
  list = undefined;
  const stored = $('#exdicom-extract-stored');
  const written = $('#exdicom-extract-passwords');
  const value = String(field.val() ?? '');
  const show = (texts: readonly string[]): void => {
    stored.hide();
    written.parent().show();
    list = textList(node, written, texts, { type: 'password', ariaLabel: 'label.password', add: 'label.addPassword' });
  };
  if (value !== STORED) { show(value === '' ? [] : value.split('\n')); return; }
  written.parent().hide();
  stored.find('button').attr('title', translate(node, 'hint.replacePasswords')).on('click', () => { show([]); });
}

/** Puts the list into the credential; what is stored stays as it is while nobody asked to replace it. */
export function savePasswords(): void {
  if (list !== undefined) field.val(list.values().join('\n'));
}
