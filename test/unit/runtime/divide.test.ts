import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DicomFile } from '../../../nodes/engine/model';
import { MOST_FILES, divide } from '../../../nodes/extract/divide';

const file = (instance: number, study: string, series: string): DicomFile => ({
  instance, path: `/${instance}`, bytes: 1, sopClassUID: '1', sopInstanceUID: `1.${instance}`, studyInstanceUID: study, seriesInstanceUID: series, transferSyntaxUID: '1', modality: 'CT',
});
const files = [file(1, 'A', 'a'), file(2, 'A', 'b'), file(3, 'B', 'c'), file(4, 'A', 'a'), file(5, 'C', 'd')];
const groups = [1, 2, 3, 4].map((instance) => ({ instance, patient: 'one' })).concat({ instance: 5, patient: 'two' });
const numbers = (division: Parameters<typeof divide>[1]): unknown => divide({ files, groups }, division).map((part) => part.map(({ instance }) => instance));

describe('a job\'s files', () => {
  it('go out as one message, or per study, or per series', () => {
    assert.deepEqual(numbers({ per: 'job', byPatient: false }), [[1, 2, 3, 4, 5]]);
    assert.deepEqual(numbers({ per: 'study', byPatient: false }), [[1, 2, 4], [3], [5]]);
    assert.deepEqual(numbers({ per: 'series', byPatient: false }), [[1, 4], [2], [3], [5]]);
  });

  it('go out per patient where they are split', () => {
    assert.deepEqual(numbers({ per: 'job', byPatient: true }), [[1, 2, 3, 4], [5]]);
    assert.deepEqual(numbers({ per: 'study', byPatient: true }), [[1, 2, 4], [3], [5]]);
  });

  it('go out per series where they are too many for one message, and none is lost', () => {
    const many = Array.from({ length: MOST_FILES + 1 }, (_, index) => file(index + 1, 'A', index % 2 === 0 ? 'even' : 'odd'));
    const parts = divide({ files: many, groups: [] }, { per: 'job', byPatient: false });
    assert.deepEqual(parts.map(({ length }) => length), [2501, 2500]);
  });

  it('are one empty message where there are none', () => {
    assert.deepEqual(divide({ files: [], groups: [] }, { per: 'series', byPatient: true }), [[]]);
  });
});
