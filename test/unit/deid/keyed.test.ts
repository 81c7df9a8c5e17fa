import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { dayShift, identityParts, isRegisteredUid, keyFingerprint, mapUid, pseudonym } from '../../../nodes/engine/deid/keyed';
import { KEY } from './data-sets';

const OTHER = Buffer.from('another key that is long enough!');

test('a mapped UID is 2.25 and a version 8 UUID', () => {
  for (let n = 0; n < 500; n += 1) {
    const uid = mapUid(KEY, '', `1.2.3.${n}`);
    assert.match(uid, /^2\.25\.(?:0|[1-9]\d{0,38})$/);
    assert.ok(uid.length <= 44);
    const hex = BigInt(uid.slice(5)).toString(16).padStart(32, '0');
    assert.equal(hex[12], '8');
    assert.match(hex[16] ?? '', /[89ab]/);
  }
});

test('registered UIDs stay, all others are mapped, padding does not count', () => {
  for (const uid of ['1.2.840.10008.1.2.4.90', '1.2.840.10008.5.1.4.1.1.77.1.5.1', '1.2.840.10008.1.4.1.1', '1.2.840.10008.6.1.1234', '1.2.840.10008.15.0.3.28', '']) {
    assert.equal(mapUid(KEY, '', uid), uid);
  }
  // An instance below DICOM's own root is no registered UID.
  for (const uid of ['1.2.840.10008.5.1.4.1.1.2.20040119072730.12322', '1.2.840.10008', '1.2.840.100081.1.1', '1.2.840.113619.2.1']) {
    assert.notEqual(mapUid(KEY, '', uid), uid);
    assert.equal(isRegisteredUid(uid), false);
  }
  assert.equal(mapUid(KEY, '', '1.2.3\0'), mapUid(KEY, '', ' 1.2.3 '));
});

test('key, scope and value each make another UID; the same in another process', () => {
  const uid = mapUid(KEY, 'a', '1.2.3');
  assert.notEqual(uid, mapUid(OTHER, 'a', '1.2.3'));
  assert.notEqual(uid, mapUid(KEY, 'b', '1.2.3'));
  assert.notEqual(uid, mapUid(KEY, 'a', '1.2.3.4'));
  const module = join(__dirname, '../../../nodes/engine/deid/keyed.js');
  const there = execFileSync(process.execPath, ['-e', `process.stdout.write(require(${JSON.stringify(module)}).mapUid(Buffer.from(${JSON.stringify(KEY.toString())}), 'a', '1.2.3'))`]);
  assert.equal(there.toString(), uid);
});

test('a patient is issuer and trimmed PatientID, or the study where that is empty', () => {
  const study = '1.2.3';
  const id = (issuer: string, patientId: string, studyInstanceUID = study): string => pseudonym(KEY, '', 'patient', identityParts({ issuer, patientId, studyInstanceUID }) ?? []);
  assert.equal(id('A', '1'), id('A', ' 1 \0', '9.9'));
  assert.notEqual(id('A', '1'), id('B', '1'));
  assert.notEqual(id('', ''), id('', '', '1.2.4'));
  assert.equal(id('A', ''), id('B', ' '));
  assert.notEqual(id('', '1.2.3'), id('', ''));
  assert.equal(identityParts({ issuer: 'A', patientId: '', studyInstanceUID: '' }), undefined);
});

test('parts of an identity cannot run into each other', () => {
  assert.notEqual(pseudonym(KEY, '', 'patient', ['patient', 'a', 'bc']), pseudonym(KEY, '', 'patient', ['patient', 'ab', 'c']));
  assert.notEqual(pseudonym(KEY, 'x', 'patient', ['y']), pseudonym(KEY, '', 'patient', ['x', 'y']));
});

test('pseudonyms have 16 characters of base 32 and do not collide', () => {
  const seen = new Set<string>();
  for (let n = 0; n < 20_000; n += 1) seen.add(pseudonym(KEY, '', 'patient', ['patient', '', String(n)]));
  assert.equal(seen.size, 20_000);
  for (const name of seen) assert.match(name, /^P[A-Z2-7]{15}$/);
});

test('the shift of a patient is 1 to the maximum, the same always, and spread', () => {
  const shifts = Array.from({ length: 2000 }, (_, n) => dayShift(KEY, '', ['patient', '', String(n)], 30));
  assert.equal(Math.min(...shifts), 1);
  assert.equal(Math.max(...shifts), 30);
  assert.equal(new Set(shifts).size, 30);
  assert.equal(dayShift(KEY, '', ['patient', '', '7'], 3650), dayShift(KEY, '', ['patient', '', '7'], 3650));
});

test('a fingerprint tells keys and scopes apart and holds no key', () => {
  assert.notEqual(keyFingerprint(KEY, ''), keyFingerprint(OTHER, ''));
  assert.notEqual(keyFingerprint(KEY, ''), keyFingerprint(KEY, 'a'));
  assert.match(keyFingerprint(KEY, ''), /^[0-9a-f]{64}$/);
});
