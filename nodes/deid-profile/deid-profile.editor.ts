import { input, prepareForm, showWhile } from '../editor/form';
import { nodeLabel, nodeLabelStyle } from '../editor/labels';
import { filled, list, oneOf, secret, uids, whole } from '../editor/validators';
import { preparePreset } from './preset.editor';
import { allowedRisks, prepareRisks, RISKS } from './risks.editor';
import type { DeidProfileCredentials, DeidProfileProperties } from './properties';

RED.nodes.registerType<DeidProfileProperties, DeidProfileCredentials>('exdicom-deid-profile', {
  category: 'config',
  color: '#B9B3A6',
  defaults: {
    name: { value: 'Basic Profile', validate: filled('label.name') },
    scope: { value: '' },
    keyMode: { value: 'kept', validate: oneOf('label.keyMode', ['kept', 'per-job']) },
    keyFile: { value: '' },
    dates: { value: 'remove', validate: oneOf('label.dates', ['remove', 'shift']) },
    maximumShift: { value: '3650', validate: whole('label.maximumShift', 1, 36_500) },
    allowedRisks: { value: [], validate: list('group.risks', RISKS) },
    allowedSopClasses: { value: '', validate: uids('label.allowedSopClasses') },
  },
  credentials: {
    key: { type: 'password', validate: secret('label.key', 32) },
  },
  icon: 'deid-profile.svg',
  paletteLabel: 'deid-profile',
  label() { return nodeLabel(this.name, 'deid-profile'); },
  labelStyle() { return nodeLabelStyle(this.name); },
  oneditprepare() {
    prepareForm(this);
    const dates = input(this, 'dates');
    showWhile(dates, $('#exdicom-deid-profile-shift'), () => dates.val() !== 'remove');
    const mode = input(this, 'keyMode');
    showWhile(mode, $('#exdicom-deid-profile-kept'), () => mode.val() !== 'per-job');
    showWhile(mode, $('#exdicom-deid-profile-per-job'), () => mode.val() === 'per-job');
    prepareRisks(this, this.allowedRisks ?? []);
    preparePreset(this);
  },
  oneditsave() {
    this.allowedRisks = allowedRisks();
  },
});
