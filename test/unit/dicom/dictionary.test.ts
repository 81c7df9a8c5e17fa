import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { dictionaryVr, keywordOf } from '../../../nodes/engine/dicom/dictionary';
import { TRANSFER_SYNTAXES } from '../../../nodes/engine/dicom/transfer-syntaxes';

const DCMTK = '/usr/share/libdcmtk17/dicom.dic';

test('VRs and keywords of standard, repeating and private elements', () => {
  assert.deepEqual([0x00100010, 0x7fe00010, 0x00280106, 0x60020022, 0x50043000, 0x00081140].map(dictionaryVr), ['PN', 'OW', 'US', 'LO', 'OW', 'SQ']);
  assert.deepEqual([0x00090000, 0x00090010, 0x000900ff, 0x00090100, 0x00091001, 0x00100001].map(dictionaryVr), ['UL', 'LO', 'LO', undefined, undefined, undefined]);
  assert.deepEqual([0x00100010, 0x60020022, 0x00091001].map(keywordOf), ['PatientName', 'OverlayDescription', undefined]);
});

test('the dictionary agrees with DCMTK on the VR of every element that both know', { skip: existsSync(DCMTK) ? false : 'DCMTK (libdcmtk17) is not installed' }, () => {
  let compared = 0;
  for (const line of readFileSync(DCMTK, 'utf8').split('\n')) {
    const [, group, number, vr = ''] = /^\(([0-9A-F]{4}),([0-9A-F]{4})\)\t([A-Z]{2})\t/i.exec(line) ?? [];
    if (group === undefined || number === undefined || ['ox', 'xs', 'lt', 'up', 'na', 'px'].includes(vr)) continue;
    const ours = dictionaryVr(Number.parseInt(group + number, 16));
    if (ours === undefined) continue;
    assert.equal(ours, vr, line);
    compared++;
  }
  assert.ok(compared > 4000, `${compared} compared`);
});

test('transfer syntaxes say how data sets are encoded', () => {
  const facts = (uid: string): unknown => {
    const { explicit, bigEndian, deflated, encapsulated, video } = TRANSFER_SYNTAXES.get(uid)!;
    return [explicit, bigEndian, deflated, encapsulated, video];
  };
  assert.deepEqual(facts('1.2.840.10008.1.2'), [false, false, false, false, false]);
  assert.deepEqual(facts('1.2.840.10008.1.2.2'), [true, true, false, false, false]);
  assert.deepEqual(facts('1.2.840.10008.1.2.1.99'), [true, false, true, false, false]);
  assert.deepEqual(facts('1.2.840.10008.1.2.4.95'), [true, false, true, false, false]);
  assert.deepEqual(facts('1.2.840.10008.1.2.1.98'), [true, false, false, true, false]);
  assert.deepEqual(facts('1.2.840.10008.1.2.4.203'), [true, false, false, true, false]);
  assert.deepEqual(facts('1.2.840.10008.1.2.4.108'), [true, false, false, true, true]);
});
