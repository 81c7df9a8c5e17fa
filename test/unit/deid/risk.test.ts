import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { rewriteFile } from '../../../nodes/engine/dicom/rewrite';
import type { NewElement } from '../../../nodes/engine/dicom/rewrite-types';
import { RISK_CODES } from '../../../nodes/engine/deid/risk';
import { begin, ct, el, part10, rulesFor, SHARED, sq, withShared } from './data-sets';

const strict = rulesFor({ allowedRisks: [] });
const STORAGE = '1.2.840.10008.5.1.4.1.1.';
const sop = (uid: string) => el(0x00080016, 'UI', uid);
const refusal = (...elements: readonly NewElement[]): string | undefined => begin(strict, ct(...elements))?.code;

test('a plain CT, MR, segmentation or report goes through the gate', () => {
  assert.equal(refusal(), undefined);
  for (const suffix of ['2', '2.1', '4', '66.4', '88.22', '481.3', '11.1', '128']) assert.equal(refusal(sop(STORAGE + suffix)), undefined, suffix);
  assert.equal(refusal(el(0x00080008, 'CS', 'DERIVED\\PRIMARY\\AXIAL'), el(0x00280301, 'CS', 'NO')), undefined);
});

test('classes whose pictures show text are stopped by SOP Class and by modality', () => {
  for (const suffix of ['6.1', '3.1', '6.2', '7', '7.1', '7.2', '7.3', '7.4', '77.1.1', '77.1.4']) assert.equal(refusal(sop(STORAGE + suffix)), 'RISK_SOP_CLASS', suffix);
  for (const modality of ['US', 'XC', 'ES', 'OT', 'IVUS']) assert.equal(refusal(el(0x00080060, 'CS', modality)), 'RISK_SOP_CLASS', modality);
});

test('documents and video are stopped by SOP Class, modality, conversion type and transfer syntax', () => {
  for (const suffix of ['104.1', '104.2', '104.3', '77.1.1.1', '77.1.2.1', '77.1.4.1']) assert.equal(refusal(sop(STORAGE + suffix)), 'RISK_DOCUMENT', suffix);
  assert.equal(refusal(el(0x00080060, 'CS', 'DOC')), 'RISK_DOCUMENT');
  assert.equal(refusal(sop(`${STORAGE}7`), el(0x00080064, 'CS', 'SD')), 'RISK_DOCUMENT');
  for (const arc of ['4.100', '4.101', '4.102', '4.108', '4.103.1', '7.1']) assert.equal(begin(strict, ct(), `1.2.840.10008.1.2.${arc}`)?.code, 'RISK_DOCUMENT', arc);
  assert.equal(begin(strict, ct(), '1.2.840.10008.1.2.4.90'), undefined);
});

test('secondary images, captures, burned-in text, labels and private classes are stopped', () => {
  assert.equal(refusal(el(0x00080008, 'CS', 'DERIVED\\SECONDARY')), 'RISK_IMAGE_TYPE');
  assert.equal(refusal(el(0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\SCREEN SAVE')), 'RISK_IMAGE_TYPE');
  assert.equal(refusal(el(0x00280301, 'CS', 'YES ')), 'RISK_BURNED_IN');
  for (const kind of ['LABEL', 'OVERVIEW']) assert.equal(refusal(sop(`${STORAGE}77.1.6`), el(0x00080008, 'CS', `ORIGINAL\\PRIMARY\\${kind}\\NONE`)), 'RISK_WSI_LABEL');
  assert.equal(refusal(sop('1.3.46.670589.5.0.3')), 'RISK_PRIVATE_SOP_CLASS');
});

test('what is written beside the point of the standard is stopped as well: case, padding, further values, control characters', () => {
  for (const value of ['yes', ' Yes', 'YES\0', 'YES\0x', 'NO\\YES', 'YES\\NO', 'YES\r\n', 'Y', 'OTHER']) assert.equal(refusal(el(0x00280301, 'CS', value)), 'RISK_BURNED_IN', JSON.stringify(value));
  for (const value of ['NO', 'no ', ' NO\0', '', ' ', '\0\0']) assert.equal(refusal(el(0x00280301, 'CS', value)), undefined, JSON.stringify(value));
  for (const value of ['us', 'US\0x', 'CT\\US', '\tUS']) assert.equal(refusal(el(0x00080060, 'CS', value)), 'RISK_SOP_CLASS', JSON.stringify(value));
  for (const value of ['derived\\secondary', 'DERIVED\\SECONDARY\0x', 'DERIVED/SECONDARY', 'DERIVED SECONDARY', 'DERIVED\\PRIMARY\\SCREENSHOT', 'DERIVED\\PRIMARY\\SCREEN CAPTURE']) {
    assert.equal(refusal(el(0x00080008, 'CS', value)), 'RISK_IMAGE_TYPE', JSON.stringify(value));
  }
  assert.equal(refusal(el(0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\SCREENING')), undefined);
  assert.equal(refusal(el(0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\LABEL\0x')), 'RISK_WSI_LABEL');
  assert.equal(refusal(el(0x00480010, 'CS', 'Y')), 'RISK_WSI_LABEL');
  assert.equal(refusal(el(0x00080064, 'CS', 'WSD\\SD')), 'RISK_DOCUMENT');
  assert.equal(refusal(sop(`${STORAGE}06.1`)), 'RISK_PRIVATE_SOP_CLASS');
});

test('a value that decides is heard however long it is, as long as it stays', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'exdicom-risk-'));
  t.after(() => { rmSync(root, { recursive: true, force: true }); });
  const outcome = async (...values: readonly string[]): Promise<string> => {
    const [from, to] = [join(root, 'in'), join(root, 'out')];
    writeFileSync(from, part10([...ct(), ...values.map((value) => el(0x00280301, 'UT', value))].toSorted((one, other) => one.tag - other.tag)));
    rmSync(to, { force: true });
    const result = await rewriteFile(from, to, strict);
    return result.kind === 'refused' ? result.refusal.code : result.kind;
  };
  assert.equal(await outcome('YES'.padEnd(100_000)), 'RISK_BURNED_IN');
  assert.equal(await outcome('NO'.padEnd(2 << 20), 'YES'.padEnd(4)), 'DEID_UNSUPPORTED');
});

test('what decides and cannot be read, as items or as longer than any value, costs the file', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'exdicom-risk-'));
  t.after(() => { rmSync(root, { recursive: true, force: true }); });
  const outcome = async (element: NewElement, rules = strict): Promise<string> => {
    const [from, to] = [join(root, 'in'), join(root, 'out')];
    writeFileSync(from, part10(ct(element)));
    rmSync(to, { force: true });
    const result = await rewriteFile(from, to, rules);
    return result.kind === 'refused' ? result.refusal.code : result.kind;
  };
  for (const unheard of [(tag: number) => sq(tag, [el(0x00080100, 'SH', 'YES')]), (tag: number) => el(tag, 'UT', 'YES'.padEnd(2 << 20))]) {
    for (const tag of [0x00280301, 0x00480010]) {
      assert.match(await outcome(unheard(tag)), /^RISK_/);
      assert.equal(await outcome(unheard(tag), rulesFor()), 'written', 'where the profile allows the risk');
    }
    for (const tag of [0x00080008, 0x00080060, 0x00080064, 0x00100020, 0x00100021, 0x0020000d]) assert.equal(await outcome(unheard(tag)), 'DEID_UNSUPPORTED', tag.toString(16));
  }
  for (const empty of [sq(0x00280301), el(0x00280301, 'UT')]) assert.equal(await outcome(empty), 'written');
});

test('what decides and stands there twice has to say the same', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'exdicom-risk-'));
  t.after(() => { rmSync(root, { recursive: true, force: true }); });
  const outcome = async (...elements: readonly NewElement[]): Promise<string> => {
    const [from, to] = [join(root, 'in'), join(root, 'out')];
    writeFileSync(from, part10([...ct(), ...elements].toSorted((one, other) => one.tag - other.tag)));
    rmSync(to, { force: true });
    const result = await rewriteFile(from, to, strict);
    return result.kind === 'refused' ? result.refusal.code : result.kind;
  };
  const no = el(0x00280301, 'CS', 'NO');
  assert.equal(await outcome(no, el(0x00280301, 'CS', 'YES')), 'DEID_UNSUPPORTED');
  assert.equal(await outcome(no, el(0x00280301, 'CS', '')), 'written');
  assert.equal(await outcome(el(0x00280301, 'CS', ''), el(0x00280301, 'CS', 'YES')), 'RISK_BURNED_IN');
  assert.equal(await outcome(el(0x00080060, 'CS', 'US')), 'DEID_UNSUPPORTED');
  assert.equal(await outcome(el(0x00080016, 'UI', `${STORAGE}6.1`)), 'DEID_UNSUPPORTED');
  assert.equal(await outcome(el(0x00100020, 'LO', 'MRN-4712')), 'DEID_UNSUPPORTED');
  assert.equal(await outcome(el(0x00100020, 'LO', ' MRN-4711'), el(0x0020000d, 'UI', '1.2.3')), 'written');
  // Names are replaced, however many there are, and each is looked for where text is kept.
  assert.equal(await outcome(el(0x00100010, 'PN', 'Otherwise^Joan'), el(0x00080070, 'LO', 'ACME for Otherwise')), 'written');
  assert.doesNotMatch(readFileSync(join(root, 'out'), 'latin1'), /Otherwise|Dolittle/);
  assert.equal(await outcome(...Array.from({ length: 2000 }, () => no), el(0x00280301, 'CS', 'YES')), 'DEID_UNSUPPORTED');
});

test('pixels by reference are never rewritten', () => {
  assert.equal(begin(rulesFor(), ct(), '1.2.840.10008.1.2.4.94')?.code, 'DEID_UNSUPPORTED');
});

test('an allowed code lets its risk through and no other', () => {
  const allowing = rulesFor({ allowedRisks: ['RISK_SOP_CLASS'] });
  assert.equal(begin(allowing, ct(sop(`${STORAGE}6.1`))), undefined);
  assert.equal(begin(allowing, ct(sop(`${STORAGE}6.1`), el(0x00280301, 'CS', 'YES')))?.code, 'RISK_BURNED_IN');
});

test('an allowed SOP Class lets its own objects through, but not what says of itself that text is burned in', () => {
  const allowing = rulesFor({ allowedRisks: [], allowedSopClasses: [`${STORAGE}7`] });
  assert.equal(begin(allowing, ct(sop(`${STORAGE}7`), el(0x00080008, 'CS', 'DERIVED\\SECONDARY'))), undefined);
  assert.equal(begin(allowing, ct(sop(`${STORAGE}7.1`)))?.code, 'RISK_SOP_CLASS');
  assert.equal(begin(allowing, ct(sop(`${STORAGE}7`), el(0x00280301, 'CS', 'YES')))?.code, 'RISK_BURNED_IN');
});

test('an object without patient and study cannot be given a pseudonym', () => {
  assert.equal(refusal(el(0x00100020, 'LO', ' '), el(0x0020000d, 'UI', '')), 'DEID_NO_IDENTITY');
  assert.equal(refusal(el(0x00100020, 'LO', '')), undefined);
  assert.equal(refusal(el(0x00080018, 'UI', '')), 'DICOM_INCOMPLETE');
});

test('no US, SC, XC, ES, OT, document or video file of the shared data comes out', withShared, async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'exdicom-risk-'));
  t.after(() => { rmSync(root, { recursive: true, force: true }); });
  const lines = readFileSync(join(SHARED, 'MANIFEST.tsv'), 'utf8').split('\n').slice(1).map((line) => line.split('\t'));
  let stopped = 0;
  for (const [path = '', , , kind = '', , , , sopClass = '', transferSyntax = '', modality = ''] of lines) {
    if (!kind.startsWith('dicom') && !path.startsWith('synthetic/')) continue;
    const risky = ['US', 'SC', 'XC', 'ES', 'OT', 'IVUS', 'DOC'].includes(modality) || /\.(?:7|7\.[1-4]|6\.[12]|3\.1|104\.\d|77\.1\.[124]\.1)$/.test(sopClass.replace(STORAGE, '.')) || /\.4\.10[0-8]$/.test(transferSyntax);
    if (!risky || !existsSync(join(SHARED, path))) continue;
    const result = await rewriteFile(join(SHARED, path), join(root, 'out.dcm'), strict);
    assert.notEqual(result.kind, 'written', path);
    if (result.kind === 'refused' && RISK_CODES.some((code) => code === result.refusal.code)) stopped += 1;
  }
  assert.ok(stopped > 100, `${stopped} stopped by their risk`);
  assert.deepEqual(readdirSync(root), []);
});
