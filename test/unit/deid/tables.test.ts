import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { resolve } from '../../../nodes/engine/deid/resolve';
import { tables } from '../../../nodes/engine/deid/tables';
import { ct, deidentify, el, find, rulesFor, SHARED, sq, withShared } from './data-sets';

const OWN = readFileSync(join(process.cwd(), 'nodes/engine/deid/e1-1.tsv'), 'utf8');
const rows = OWN.trimEnd().split('\n').slice(1).map((line) => line.split('\t'));

/** Lines of a CSV with double quotes, as objects. */
function csv(name: string): Array<Record<string, string>> {
  const [head = [], ...body] = readFileSync(join(SHARED, 'deid', name), 'utf8').trimEnd().split(/\r?\n/)
    .map((line) => [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].map(([, field = '']) => field.replace(/^"([^]*)"$/, '$1').replaceAll('""', '"')));
  return body.map((fields) => Object.fromEntries(head.map((key, n) => [key, fields[n] ?? ''])));
}

const count = (values: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const value of values) if (value !== '') counts[value] = (counts[value] ?? 0) + 1;
  return counts;
};

test('table E.1-1 has the 657 rows of PS3.15 2026d with their codes', () => {
  assert.equal(rows.length, 657);
  assert.deepEqual(count(rows.map((row) => row[2] ?? '')), { 'X': 417, 'D': 93, 'U': 55, 'Z': 42, 'X/D': 23, 'X/Z': 11, 'X/Z/D': 8, 'Z/D': 6, 'X/Z/U*': 2 });
  const options = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map((column) => count(rows.map((row) => row[column] ?? '')));
  assert.deepEqual(options, [{ C: 1 }, { K: 60 }, { K: 48, C: 11 }, { K: 10 }, { K: 14, C: 5 }, { K: 169 }, { C: 169 }, { C: 141 }, { C: 4 }, { C: 4 }]);
  assert.equal(createHash('sha256').update(OWN).digest('hex'), '8fe7a0b3c09b601011c081f895f604ff0f94aa8457141e41e13e5fc81bde4328');
});

test('every cell of table E.1-1 is that of the reference data', withShared, () => {
  const reference = csv('ps315-table-e1-1.csv').map((row) => {
    const tag = /^\(([0-9A-Fx]{4}),([0-9A-Fx]{4})\)$/.exec(row['tag'] ?? '');
    return [
      tag === null ? 'odd' : `${tag[1]}${tag[2]}`, row['vr'] === 'OB or OW' ? 'OB' : row['vr'], row['basic'], row['retain_safe_private'], row['retain_uids'],
      row['retain_device_identity'], row['retain_institution_identity'], row['retain_patient_characteristics'], row['retain_longitudinal_full_dates'],
      row['retain_longitudinal_modified_dates'], row['clean_descriptors'], row['clean_structured_content'], row['clean_graphics'],
    ].join('\t').trimEnd();
  });
  assert.deepEqual(rows.map((row) => row.join('\t')), reference);
});

test('a combination code resolves by SOP Class as the reference says', withShared, () => {
  const { rows: table, classes } = tables();
  let checked = 0;
  for (const row of csv('combo-resolution-by-iod.csv')) {
    const tag = Number.parseInt((row['tag'] ?? '').replaceAll(/[(),]/g, ''), 16);
    const listed = table.get(tag);
    assert.ok(listed, row['tag']);
    for (const uid of (row['sop_class_uids'] ?? '').split('|').filter((one) => one !== '')) {
      const classActions = classes.get(uid);
      assert.ok(classActions, uid);
      const code = resolve(tag, listed, { sequence: undefined, classActions, animal: false, multiFrame: false, listsReferences: false });
      assert.equal(code, row['resolved_action']?.replace(' if present', ''), `${uid} ${row['tag']}`);
      checked += 1;
    }
  }
  assert.ok(checked > 2900);
});

test('in an unknown SOP Class every combination code resolves to its strongest', () => {
  for (const [tag, row] of tables().rows) {
    assert.equal(resolve(tag, row, { sequence: undefined, classActions: undefined, animal: false, multiFrame: false, listsReferences: false }), row.codes.at(-1));
  }
});

test('an attribute that must be there is never removed, whatever its code', () => {
  const row = { vr: 'DA', codes: ['X'], shiftable: true } as const;
  const presentation = tables().classes.get('1.2.840.10008.5.1.4.1.1.11.1');
  assert.equal(resolve(0x00700082, row, { sequence: undefined, classActions: presentation, animal: false, multiFrame: false, listsReferences: false }), 'D');
  // Requested Procedure ID is Type 2 in Referenced Request Sequence
  assert.equal(resolve(0x00401001, row, { sequence: 0x0040a370, classActions: undefined, animal: false, multiFrame: false, listsReferences: false }), 'Z');
  assert.equal(resolve(0x00102297, row, { sequence: undefined, classActions: presentation, animal: true, multiFrame: false, listsReferences: false }), 'Z');
  const date = tables().rows.get(0x00080023);
  assert.ok(date);
  assert.equal(resolve(0x00080023, date, { sequence: undefined, classActions: presentation, animal: false, multiFrame: true, listsReferences: false }), 'D');
});

test('references stay, with new UIDs, where the object lists the series that they are of', () => {
  const row = tables().rows.get(0x00082112);
  assert.ok(row);
  assert.equal(resolve(0x00082112, row, { sequence: undefined, classActions: new Map(), animal: false, multiFrame: false, listsReferences: true }), 'U*');
});

test('every pair of VR and code of the table is carried out, at the top and inside a sequence', () => {
  const rules = rulesFor({}, '');
  const others = rulesFor({ preset: 'basic-shifted-dates' });
  for (const [tag, row] of tables().rows) {
    const group = tag >>> 16;
    if (group <= 4) continue;
    const element = row.vr === 'SQ' ? sq(tag, [el(0x00100010, 'PN', 'Tok^En')]) : el(tag, row.vr, row.vr === 'UI' ? '1.2.3.99' : row.vr === 'US' ? Buffer.from([7, 7]) : 'TOKEN');
    // Unknown SOP Class: the strongest code.
    const unknown = el(0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.999');
    for (const each of [rules, others]) {
      const top = find(deidentify(each, ct(unknown, element)), tag);
      const nested = find(deidentify(each, ct(unknown, sq(0x00400260, [element]))), 0x00400260, tag);
      for (const found of [top, nested]) {
        if (found === undefined) continue;
        assert.notDeepEqual(found.value, element.value, tag.toString(16));
        if (row.codes.at(-1) === 'D' && found === top && row.vr !== 'SQ') assert.ok(found.value.length > 0, `${tag.toString(16)} has a dummy`);
      }
      if (row.codes.join() === 'X') assert.equal(top, undefined, tag.toString(16));
      else assert.ok(top, tag.toString(16));
    }
  }
});
