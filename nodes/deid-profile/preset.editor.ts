/** The presets: not saved, but a name for a combination of settings, which the list shows for whatever is set. */
import { input } from '../editor/form';
import type { EditorNode } from '../editor/red';
import { allowedRisks, resetRisks } from './risks.editor';

const PRESETS: Readonly<Record<string, 'remove' | 'shift'>> = { basic: 'remove', 'basic-shifted-dates': 'shift' };

export function preparePreset(node: EditorNode): void {
  const preset = $('#exdicom-deid-profile-preset');
  const dates = input(node, 'dates');
  const sopClasses = input(node, 'allowedSopClasses');

  const show = (): void => {
    const isStrict = allowedRisks().length === 0 && String(sopClasses.val() ?? '').trim() === '';
    const match = Object.entries(PRESETS).find(([, kind]) => isStrict && kind === dates.val());
    preset.val(match?.[0] ?? 'own');
  };
  preset.on('change', () => {
    const kind = PRESETS[String(preset.val())];
    if (kind === undefined) return;
    sopClasses.val('').trigger('change');
    resetRisks();
    dates.val(kind).trigger('change');
  });
  dates.on('change', show);
  sopClasses.on('change', show);
  $('#exdicom-deid-profile-risks').on('change', show);
  show();
}
