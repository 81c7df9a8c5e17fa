import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { extract } from '../../../nodes/engine/archive/extract';
import { DEFAULT_SETTINGS, settingsDigest } from '../../../nodes/engine/archive/settings';
import { closePool } from '../../../nodes/engine/workers/pool';
import { dataSet, dicomdir, instance, rarVolumes, zip } from '../../support/archives';
import { memoryLedger } from '../../support/memory-ledger';
import { drop, story } from './dropping';

const one = instance({ sop: '1.2.3.1' });
const two = instance({ sop: '1.2.3.2' });

describe('folders and files', () => {
  after(closePool);

  test('a single file, and any number of them, are taken as they are', async () => {
    assert.deepEqual((await drop({ 'IM1': one })).contents, [one]);
    const { entries, contents } = await drop({ 'a/IM.001': one, 'a/readme.txt': Buffer.from('x'), 'b/IM.002': two });
    assert.deepEqual(story(entries), ['instance a/IM.001', 'not-dicom a/readme.txt', 'instance b/IM.002']);
    assert.deepEqual(contents, [one, two]);
  });

  test('archives and volumes among files are opened; a bad one costs only itself', async () => {
    const volumes = rarVolumes([{ name: 'v', data: two }], 300);
    const { entries } = await drop({
      'plain': one, 'z.zip': zip([{ name: 'in', data: two }]), 'cut.zip': zip([{ name: 'in', data: two }]).subarray(0, 500), 'x.tar.gz': Buffer.from('1f8b0800000000', 'hex'),
      ...Object.fromEntries(volumes.map((volume, i) => [`s.part${i + 1}.rar`, volume])),
    });
    assert.deepEqual(story(entries).toSorted(), [
      'instance plain', 'instance s.part1.rar/v', 'instance z.zip/in', 'not-dicom UNSUPPORTED_ARCHIVE x.tar.gz', 'unreadable ARCHIVE_DAMAGED cut.zip',
    ]);
  });

  test('a locked archive among files makes the whole job wait', async () => {
    const locked = zip([{ name: '1', data: two, encrypt: { kind: 'aes256', password: 'pw' } }]);
    assert.equal((await drop({ one, 'l.zip': locked })).code, 'NEEDS_PASSWORD');
    assert.equal((await drop({ 'outer.zip': zip([{ name: 'l.zip', data: locked }]) })).code, 'NEEDS_PASSWORD');
    const junk = zip([{ name: '1', data: one }, { name: '__MACOSX/._1', data: Buffer.from('x'), encrypt: { kind: 'aes256', password: 'pw' } }]);
    assert.deepEqual(story((await drop({ 'j.zip': junk })).entries), ['instance 1', 'not-dicom __MACOSX/._1']);
  });

  test('a bare data set becomes a Part 10 file with the same data set', async () => {
    const bare = dataSet({ sop: '1.2.3.7' });
    for (const files of [{ IM: bare }, { 'a.zip': zip([{ name: 'IM', data: bare }]) }]) {
      const { entries, contents } = await drop(files);
      const content = contents[0]!;
      assert.equal(content.toString('latin1', 128, 132), 'DICM');
      assert.ok(content.subarray(content.length - bare.length).equals(bare));
      assert.equal(entries[0]?.file?.sha256, createHash('sha256').update(content).digest('hex'));
      assert.equal(entries[0]?.file?.dataSetSha256, createHash('sha256').update(bare).digest('hex'));
      assert.equal(entries[0]?.file?.bytes, content.length);
    }
  });

  test('the same data set under another File Meta has the same data set digest', async () => {
    const renamed = Buffer.from(one);
    renamed.write('ABCD', 0, 'latin1');
    const { entries } = await drop({ a: one, b: renamed });
    assert.notEqual(entries[0]?.file?.sha256, entries[1]?.file?.sha256);
    assert.match(entries[0]?.file?.dataSetSha256 ?? '', /^[0-9a-f]{64}$/);
    assert.equal(entries[0]?.file?.dataSetSha256, entries[1]?.file?.dataSetSha256);
    const other = Buffer.from(one);
    other.writeUInt8(other.at(-1)! ^ 1, other.length - 1);
    const [first, copy, alone, inZip] = (await drop({ a: one, b: one, c: two, 'd.zip': zip([{ name: 'x', data: other }]) })).entries.map(({ file }) => file?.dataSetSha256);
    assert.equal(first, copy);
    assert.notEqual(first, inZip);
    assert.equal(alone, undefined, 'only files of one UID that differ have one');
  });

  test('a DICOMDIR is an index, and says when its medium is not all there', async () => {
    const whole = { 'CD/DICOMDIR': dicomdir(['DICOM\\IM1', 'DICOM\\IM2']), 'CD/dicom/im1.;1': one, 'CD/DICOM/IM2.': two };
    assert.deepEqual(story((await drop(whole)).entries), ['index CD/DICOMDIR', 'instance CD/dicom/im1.;1', 'instance CD/DICOM/IM2.']);
    const { 'CD/DICOM/IM2.': _lost, ...partial } = whole;
    const { entries, extraction, stayed } = await drop(partial);
    assert.deepEqual(story(entries), ['index INCOMPLETE_MEDIA CD/DICOMDIR', 'instance CD/dicom/im1.;1']);
    assert.deepEqual(extraction?.summary.skipped, [{ entry: 1, code: 'INCOMPLETE_MEDIA' }]);
    assert.equal(stayed.length, 1);
  });

  test('what holds no DICOM ends with a code that says so, after it was accounted for', async () => {
    const nothing = await drop({ 'a.zip': zip([{ name: 'x', data: Buffer.from('text') }]) });
    assert.equal(nothing.code, 'NO_DICOM');
    assert.deepEqual(story(nothing.entries), ['not-dicom x']);
    assert.equal((await drop({ 'a.zip': zip([]) })).code, 'ARCHIVE_EMPTY');
    assert.equal((await drop({ 'a.zip': zip([{ name: 'x', data: one, forged: { method: 98 } }]) })).code, 'ENTRY_METHOD');
    assert.equal((await drop({ 'a.7z': Buffer.from('377abcaf271c00040000000000000000', 'hex') })).code, 'UNSUPPORTED_ARCHIVE');
    assert.equal((await drop({ x: Buffer.alloc(0) })).code, 'NO_DICOM');
  });

  test('archives of kinds that are not unpacked are told as that, alone, in another, or behind a program', async () => {
    const start = Buffer.alloc(20, 3);
    const sevenZip = Buffer.concat([Buffer.from('377abcaf271c0004', 'hex'), Buffer.alloc(4), start, Buffer.alloc(50)]);
    sevenZip.writeUInt32LE(crc32(start), 8);
    const udf = Buffer.alloc(0x9000);
    udf.write('BEA01', 0x8001, 'latin1');
    for (const data of [sevenZip, udf, Buffer.from('04224d180000', 'hex'), Buffer.from('1f9d9000', 'hex'), Buffer.from('070701000'), Buffer.from('78617221001c0001', 'hex')]) {
      assert.equal((await drop({ a: data })).code, 'UNSUPPORTED_ARCHIVE');
      const inside = await drop({ 'a.zip': zip([{ name: 'x', data }, { name: 'note', data: Buffer.from('text') }]) });
      assert.equal(inside.code, 'UNSUPPORTED_ARCHIVE');
      assert.deepEqual(story(inside.entries), ['not-dicom UNSUPPORTED_ARCHIVE x', 'not-dicom note']);
    }
    const program = Buffer.concat([Buffer.from('MZ'), Buffer.alloc(70_000, 1), Buffer.from('377abcaf271c', 'hex'), Buffer.alloc(3000, 1)]);
    assert.equal((await drop({ 'a.exe': Buffer.concat([program, sevenZip]) })).code, 'UNSUPPORTED_ARCHIVE');
    assert.equal((await drop({ 'a.exe': program })).code, 'NO_DICOM');
  });

  test('patients are told apart by issuer and Patient ID, and by study where there is none', async () => {
    const files = {
      a1: instance({ sop: '1.1', patientId: '1', issuer: 'HOSPITAL' }), a2: instance({ sop: '1.2', patientId: '1 ', issuer: 'HOSPITAL' }), b: instance({ sop: '1.3', patientId: '1' }),
      c: instance({ sop: '1.4', patientId: '', study: '9.1' }), d: instance({ sop: '1.5', patientId: '', study: '9.2' }), e: instance({ sop: '1.6', patientId: '', study: '9.2' }),
    };
    const labels = (await drop(files)).entries.map(({ file }) => file?.patient);
    assert.equal(labels[0], labels[1]);
    assert.equal(labels[4], labels[5]);
    assert.equal(new Set(labels).size, 4);
    assert.ok(labels.every((label) => /^[0-9a-f]{32}$/.test(label ?? '')));
    assert.equal(new Set((await drop(files, { issuer: 'HOSPITAL' })).entries.map(({ file }) => file?.patient)).size, 3);
    assert.notEqual((await drop(files)).entries[0]?.file?.patient, labels[0], 'a label means nothing in another job');
    const stopped = await drop(files, { patients: 'stop' });
    assert.equal(stopped.code, 'SEVERAL_PATIENTS');
    assert.ok(stopped.calls.includes('recorded'));
    assert.equal((await drop(files, { patients: 'split' })).code, undefined);
  });

  test('a second visit finds the first one recorded; passwords do not change what was recorded', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'exdicom-twice-'));
    writeFileSync(join(folder, '1'), zip([{ name: 'IM', data: one }]));
    const memory = memoryLedger([join(folder, '1')]);
    try {
      const context = { signal: new AbortController().signal, progress: () => undefined };
      const first = await extract(memory.ledger, memory.token, DEFAULT_SETTINGS, context);
      const second = await extract(memory.ledger, memory.token, { ...DEFAULT_SETTINGS, passwords: ['new'] }, context);
      assert.deepEqual(second, first);
      assert.equal(memory.calls.filter((call) => call === 'attempting extract').length, 1);
      assert.notEqual(settingsDigest({ ...DEFAULT_SETTINGS, depth: 2 }), settingsDigest(DEFAULT_SETTINGS));
      // An attempt that ended early has left files behind.
      writeFileSync(join(memory.stage, '000002.part'), 'x');
      const again = await extract(memory.ledger, memory.token, { ...DEFAULT_SETTINGS, depth: 2 }, context);
      assert.equal(again.files.length, 1);
    } finally {
      rmSync(folder, { recursive: true, force: true });
      rmSync(memory.root, { recursive: true, force: true });
    }
  });

  test('an abort ends the extraction with its reason', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'exdicom-abort-'));
    writeFileSync(join(folder, '1'), zip(Array.from({ length: 2000 }, (_, i) => ({ name: `${i}`, data: instance({ sop: `1.2.${i + 1}` }), method: 'deflate' as const }))));
    const memory = memoryLedger([join(folder, '1')]);
    const stop = new AbortController();
    const reason = new Error('the node closes');
    try {
      await assert.rejects(extract(memory.ledger, memory.token, DEFAULT_SETTINGS, { signal: stop.signal, progress: () => { stop.abort(reason); } }), (thrown) => thrown === reason);
      assert.ok(!memory.calls.includes('recorded'));
    } finally {
      rmSync(folder, { recursive: true, force: true });
      rmSync(memory.root, { recursive: true, force: true });
    }
  });
});
