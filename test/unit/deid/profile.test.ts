import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileProfile } from '../../../nodes/engine/deid/profile';
import type { ProfileSettings } from '../../../nodes/engine/deid/profile';

const BASE: ProfileSettings = { name: 'Basic', scope: '', preset: 'basic' };
const fingerprint = (more: Partial<ProfileSettings> = {}): string => compileProfile({ ...BASE, ...more }).fingerprint;

test('whatever changes a result changes the fingerprint', () => {
  const all = [
    {}, { scope: 'trial' }, { preset: 'basic-shifted-dates' }, { preset: 'basic-shifted-dates', maximumShift: 30 }, { allowedRisks: ['RISK_SOP_CLASS'] }, { allowedSopClasses: ['1.2.840.10008.5.1.4.1.1.7'] },
    { method: ['Trial 7'] },
  ] satisfies ReadonlyArray<Partial<ProfileSettings>>;
  assert.equal(new Set(all.map(fingerprint)).size, all.length);
});

test('what changes nothing does not change the fingerprint', () => {
  assert.equal(fingerprint({ name: 'Another' }), fingerprint());
  assert.equal(fingerprint({ maximumShift: 30 }), fingerprint(), 'no dates are shifted');
  assert.equal(fingerprint({ preset: 'basic-shifted-dates', dates: 'remove' }), fingerprint());
  assert.equal(fingerprint({ allowedRisks: ['RISK_BURNED_IN', 'RISK_DOCUMENT'] }), fingerprint({ allowedRisks: ['RISK_DOCUMENT', 'RISK_BURNED_IN'] }));
  assert.equal(fingerprint({ allowedSopClasses: [' 1.2.3 ', '1.2.4', ''] }), fingerprint({ allowedSopClasses: ['1.2.4', '1.2.3', '1.2.3'] }));
});

test('a compiled profile is plain JSON', () => {
  const profile = compileProfile({ ...BASE, allowedRisks: ['RISK_DOCUMENT'] });
  assert.deepEqual(JSON.parse(JSON.stringify(profile)), profile);
});

test('settings out of range are refused', () => {
  for (const more of [{ maximumShift: 0 }, { maximumShift: 1.5 }, { maximumShift: 40_000 }, { allowedRisks: ['RISK_NONE'] }, { allowedSopClasses: ['CT'] }, { method: ['x'.repeat(65)] }, { method: ['a\\b'] }]) {
    assert.throws(() => compileProfile({ ...BASE, ...more }), { code: 'CONFIG_INVALID' }, JSON.stringify(more));
  }
});
