import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inCharacterSets } from '../../../nodes/engine/deid/character-sets';

const bytesIn = (set: string, text: string): string | undefined => {
  const encoded = inCharacterSets(text).get(set);
  return encoded === undefined ? undefined : Buffer.from(encoded, 'latin1').toString('hex');
};

describe('a text in the character sets of DICOM', () => {
  it('has the bytes that files have (examples of PS3.5, H to K)', () => {
    for (const [set, text, bytes] of [
      ['ISO_IR 192', '王', 'e78e8b'], ['GB18030', '王', 'cdf5'], ['ISO 2022 IR 58', 'A王B', '411b242941cdf542'], ['ISO 2022 IR 149', '洪-吉洞', '1b242943fbf32dd1ced4d7'],
      ['ISO 2022 IR 87', '山田-1', '1b24423b3345441b28422d31'], ['ISO 2022 IR 13, IR 87', '山田', '1b24423b3345441b284a'], ['ISO_IR 13', 'ﾔﾏﾀﾞ', 'd4cfc0de'],
      ['ISO_IR 100', 'Äneas', 'c46e656173'], ['ISO_IR 144', 'Люк', 'bbeeda'], ['ISO_IR 126', 'Διο', 'c4e9ef'], ['ISO_IR 127', 'ق', 'e2'], ['ISO_IR 138', 'ש', 'f9'], ['ISO_IR 166', 'ก', 'a1'],
    ] as const) assert.equal(bytesIn(set, text), bytes, set);
  });

  it('is not in a set that lacks a character, and composed where it was typed in pieces', () => {
    assert.equal(bytesIn('ISO_IR 100', 'Люк'), undefined);
    assert.equal(bytesIn('ISO_IR 144', 'Äneas'), undefined);
    assert.equal(bytesIn('ISO 2022 IR 87', 'ﾔﾏﾀﾞ'), undefined);
    assert.equal(bytesIn('ISO_IR 100', 'A\u0308'), 'c4');
  });

  it('is the same in all of them where it is ASCII', () => {
    assert.deepEqual([...new Set(inCharacterSets('MRN-0042 x').values())], ['MRN-0042 x']);
  });
});
