/** The risk gate: one check box per reason for which a file is set aside. What is saved is the list of those that are not. */
import { translate, type EditorNode } from '../editor/red';

/** Codes of the error table that a profile may let through. */
export const RISKS = ['RISK_BURNED_IN', 'RISK_SOP_CLASS', 'RISK_IMAGE_TYPE', 'RISK_DOCUMENT', 'RISK_WSI_LABEL', 'RISK_PRIVATE_SOP_CLASS'] as const;

const LIST = '#exdicom-deid-profile-risks';

export function prepareRisks(node: EditorNode, allowed: readonly string[]): void {
  const rows = RISKS.map((code) => {
    const id = `exdicom-deid-profile-${code}`;
    const box = $('<input type="checkbox">').attr({ id, 'data-code': code }).prop('checked', !allowed.includes(code));
    const label = $('<label>').attr('for', id).append($('<span>').text(translate(node, `risk.${code}`)), $('<code>').text(code));
    return $('<div class="exdicom-risk">').append(box, label);
  });
  const warning = $('<div class="exdicom-hint exdicom-wide exdicom-warning" role="alert">').text(translate(node, 'hint.risks'));
  const update = (): void => { warning.toggle(allowedRisks().length > 0); };
  $(LIST).empty().append(...rows, warning).on('change', update);
  update();
}

/** The codes whose boxes are not checked. */
export function allowedRisks(): string[] {
  return $(`${LIST} input[data-code]`).toArray().filter((box) => !$(box).prop('checked')).map((box) => $(box).attr('data-code') ?? '');
}

/** Every box checked again. */
export function resetRisks(): void {
  $(`${LIST} input[data-code]`).prop('checked', true).trigger('change');
}
