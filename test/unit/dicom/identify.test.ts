import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { deflateRawSync, gzipSync } from 'node:zlib';
import { identifyBuffer, identifyFile, normalisePart10, part10Header } from '../../../nodes/engine/dicom/identify';
import type { DicomIdentity, Identification } from '../../../nodes/engine/dicom/identity';
import { CLASS, dataSet, element, elements, file, folder, INSTANCE, meta, PREAMBLE, sharedFiles, SYNTAX_UID, withoutShared } from './building';
import type { Element, Syntax } from './building';
import { readFile } from './reading';

const SYNTAXES: readonly Syntax[] = ['explicit', 'implicit', 'big', 'deflated'];

function whole(bytes: Buffer): Identification {
  const found = identifyBuffer(bytes, bytes.length);
  assert.notEqual(found, 'more', 'the whole file is never too little');
  return found as Identification;
}

function instance(bytes: Buffer): DicomIdentity {
  const found = whole(bytes);
  assert.equal(found.kind, 'instance', JSON.stringify(found));
  return found.identity;
}

for (const syntax of SYNTAXES) {
  test(`a Part 10 file in ${syntax} is an instance with its identity`, () => {
    const bytes = file(elements([0x00100021, 'LO', ' CLINIC ']), syntax);
    assert.deepEqual(instance(bytes), {
      sopClassUID: CLASS, sopInstanceUID: INSTANCE, studyInstanceUID: '1.2.3', seriesInstanceUID: '1.2.3.5', modality: 'OT',
      transferSyntaxUID: SYNTAX_UID[syntax], patientId: 'PID1', issuerOfPatientId: 'CLINIC',
      dataSetOffset: PREAMBLE.length + meta({ transferSyntax: SYNTAX_UID[syntax] }).length, part10: true,
    });
  });
}

for (const syntax of ['explicit', 'implicit', 'big'] as const) {
  test(`a bare data set in ${syntax} is recognised, and normalised into a Part 10 file with the same data set`, (context) => {
    const bytes = dataSet(elements(), syntax);
    const identity = instance(bytes);
    assert.equal(identity.dataSetOffset, 0);
    assert.equal(identity.part10, false);
    assert.equal(identity.transferSyntaxUID, SYNTAX_UID[syntax]);
    const from = join(folder(context), 'bare');
    writeFileSync(from, bytes);
    normalisePart10(from, `${from}.dcm`, identity);
    const written = readFileSync(`${from}.dcm`);
    assert.deepEqual(written, Buffer.concat([part10Header(identity), bytes]));
    assert.equal(instance(written).part10, true);
    assert.throws(() => normalisePart10(from, `${from}.dcm`, identity), { code: 'EEXIST' });
    assert.deepEqual(readFileSync(`${from}.dcm`), written, 'a file that was there is not touched');
  });
}

test('File Meta Information is found without preamble, with the prefix at the start, and without or with a wrong group length', () => {
  const body = dataSet(elements(), 'explicit');
  for (const [what, bytes] of Object.entries({
    'no preamble': Buffer.concat([meta(), body]),
    'prefix at 0': Buffer.concat([Buffer.from('DICM'), meta(), body]),
    'no group length': Buffer.concat([PREAMBLE, meta({ groupLength: 'missing' }), body]),
    'group length too small': Buffer.concat([PREAMBLE, meta({ groupLength: 10 }), body]),
    'group length too large': Buffer.concat([PREAMBLE, meta({ groupLength: 90_000 }), body]),
    'no meta after the prefix': Buffer.concat([PREAMBLE, body]),
  })) {
    const identity = instance(bytes);
    assert.equal(identity.dataSetOffset, bytes.length - body.length, what);
    assert.equal(identity.transferSyntaxUID, SYNTAX_UID.explicit, what);
    assert.equal(identity.part10, false, what);
  }
});

for (const syntax of SYNTAXES) {
  test(`a group length that counts too few elements of the File Meta Information ends it nowhere in ${syntax}`, () => {
    const body = dataSet(elements(), syntax);
    const right = file(elements(), syntax);
    const head = meta({ transferSyntax: SYNTAX_UID[syntax] });
    for (const left of [0x01, 0x02, 0x03, 0x10, 0x12, 0x16].map((number) => head.indexOf(Buffer.from([2, 0, number, 0])) - 12)) {
      const bytes = Buffer.from(right);
      bytes.writeUInt32LE(left, PREAMBLE.length + 8);
      const identity = instance(bytes);
      assert.deepEqual([identity.dataSetOffset, identity.transferSyntaxUID, identity.part10], [PREAMBLE.length + head.length, SYNTAX_UID[syntax], false], `${left}`);
    }
    if (syntax === 'deflated') return;
    // What goes down again is of the data set, whatever its group.
    const stray = element([0x00020010, 'UI', SYNTAX_UID.big], syntax);
    const identity = instance(Buffer.concat([right.subarray(0, right.length - body.length), stray, body]));
    assert.deepEqual([identity.dataSetOffset, identity.transferSyntaxUID, identity.part10], [right.length - body.length, SYNTAX_UID[syntax], true]);
  });
}

test('a transfer syntax that the bytes contradict is replaced by what they are', () => {
  for (const [says, is] of [['implicit', 'explicit'], ['explicit', 'implicit'], ['big', 'explicit'], ['explicit', 'big'], ['deflated', 'explicit']] as const) {
    const bytes = file(dataSet(elements(), is), 'explicit', { transferSyntax: SYNTAX_UID[says] });
    const identity = instance(bytes);
    assert.equal(identity.transferSyntaxUID, SYNTAX_UID[is], `${says} is ${is}`);
    assert.equal(identity.part10, false);
  }
});

test('an unknown transfer syntax is kept as written', () => {
  assert.equal(instance(file(elements(), 'explicit', { transferSyntax: '1.2.3.4.5' })).transferSyntaxUID, '1.2.3.4.5');
});

test('the letters DICM in the middle of a data set without preamble are no prefix', () => {
  const long: Element = [0x00080005, 'CS', `ISO_IR 100${' '.repeat(110)}DICM`];
  const bytes = dataSet(elements(long), 'explicit');
  assert.equal(bytes.toString('latin1', 128, 132), 'DICM', 'the test hits the place');
  assert.equal(instance(bytes).dataSetOffset, 0);
});

test('a DICOMDIR is an index with its Referenced File IDs, whatever links its records', () => {
  const record = (id: string): readonly Element[] => [[0x00041400, 'UL', Buffer.alloc(4)], [0x00041430, 'CS', 'IMAGE'], [0x00041500, 'CS', id]];
  for (const undefinedLength of [false, true]) {
    for (const syntax of ['explicit', 'implicit', 'big'] as const) {
      const content: Element[] = [
        [0x00041130, 'CS', 'MEDIUM'],
        [0x00041220, 'SQ', { items: [record('IMAGES\\A \\1'), [[0x00041430, 'CS', 'PATIENT'], [0x00100010, 'PN', 'X']], record('..\\ETC')], undefinedLength }],
      ];
      const expected = { kind: 'index', references: [['IMAGES', 'A', '1'], ['..', 'ETC']] };
      assert.deepEqual(whole(file(content, syntax, { sopClass: '1.2.840.10008.1.3.10' })), expected);
      assert.deepEqual(whole(file(content, syntax, { sopClass: '', sopInstance: '' })), expected);
    }
  }
});

test('a Part 10 file without SOP Class or SOP Instance UID is incomplete; File Meta Information may stand in for the data set', () => {
  const anonymous = elements([0x00080018, 'UI', '']);
  const found = whole(file(anonymous, 'explicit', { sopInstance: '' }));
  assert.ok(found.kind === 'unreadable' && found.code === 'DICOM_INCOMPLETE');
  assert.equal(found.offset, PREAMBLE.length + meta({ sopInstance: '' }).length);
  // Everything else of it can be read.
  assert.equal(found.identity.sopInstanceUID, '');
  assert.notEqual(found.identity.studyInstanceUID, '');
  assert.equal(instance(file(anonymous)).sopInstanceUID, INSTANCE);
});

test('a file cut off in its identifying part is unreadable, with the offset', () => {
  const bytes = file(elements());
  const found = whole(bytes.subarray(0, bytes.indexOf('DOE^JANE') + 2));
  assert.deepEqual(found, { kind: 'unreadable', code: 'DICOM_UNREADABLE', offset: bytes.indexOf('DOE^JANE') - 8 });
});

test('files that only begin oddly are not DICOM', () => {
  const samples: Record<string, Buffer> = {
    empty: Buffer.alloc(0), one: Buffer.from('x'), text: Buffer.from('Patient report\n'.repeat(40)), zeros: Buffer.alloc(5000), ones: Buffer.alloc(5000, 0xff),
    exe: Buffer.concat([Buffer.from('MZ\x90\0\x03\0\0\0', 'latin1'), Buffer.alloc(600)]), jpeg: Buffer.concat([Buffer.from('ffd8ffe000104a46494600', 'hex'), Buffer.alloc(900, 7)]),
    zip: Buffer.concat([Buffer.from('PK\x03\x04\x14\0\x08\0', 'latin1'), Buffer.alloc(700, 3)]), gzip: gzipSync('hello'), deflate: deflateRawSync('hello hello'),
    eights: Buffer.alloc(4096, 8), 'eight and zeros': Buffer.from(Array.from({ length: 4096 }, (_, i) => i % 2 === 0 ? 8 : 0)),
    'group 2 alone': Buffer.from([2, 0, 1, 2]), 'a short group 8': Buffer.from([8, 0, 0x16, 0, 0x55, 0x49, 0, 0]),
  };
  for (const [what, bytes] of Object.entries(samples)) assert.equal(whole(bytes).kind, 'not-dicom', what);
});

test('a beginning that tells too little asks for more, and then says the same as the file', (context) => {
  const blob: Element = [0x00091001, 'OB', Buffer.alloc(200_000, 5)];
  for (const syntax of SYNTAXES) {
    const bytes = file(elements(blob), syntax);
    assert.equal(identifyBuffer(bytes.subarray(0, 300), bytes.length), 'more', syntax);
    let length = 300;
    let found: Identification | 'more' = 'more';
    while (found === 'more') found = identifyBuffer(bytes.subarray(0, length *= 2), bytes.length);
    assert.deepEqual(found, whole(bytes));
    const path = join(folder(context), 'file');
    writeFileSync(path, bytes);
    assert.deepEqual(identifyFile(path), whole(bytes));
  }
});

test('a deflated data set that would inflate without end tells its identity from a bounded part', () => {
  const bytes = file(elements([0x00091001, 'OB', Buffer.alloc(80 << 20)]), 'deflated');
  const found = whole(bytes);
  assert.equal(found.kind, 'unreadable', 'what lies behind 64 MiB of one value is not looked for');
  assert.equal(instance(file(elements([0x7fe00010, 'OW', Buffer.alloc(80 << 20)]), 'deflated')).studyInstanceUID, '1.2.3');
});

test('what dcmdump and pydicom both read of the shared data is never unreadable, unless it has no SOP UIDs at all', { skip: withoutShared() }, () => {
  let instances = 0;
  for (const { name, path, dcmdump, pydicom } of sharedFiles()) {
    const found = identifyFile(path);
    if (found.kind === 'instance') instances++;
    if (!dcmdump || !pydicom) continue;
    assert.notEqual(found.kind, 'not-dicom', name);
    if (found.kind === 'unreadable') assert.equal(found.code, 'DICOM_INCOMPLETE', name);
    assert.equal(found.kind === 'index', name.includes('DICOMDIR'), name);
  }
  assert.ok(instances > 400, `${instances} instances`);
});

test('a normalised file has the version, the UIDs, the transfer syntax and our implementation, and a preamble of zeros', () => {
  const { meta: read, preamble } = readFile(Buffer.concat([part10Header(instance(dataSet(elements(), 'explicit')))]));
  assert.deepEqual([...read.keys()], [0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013]);
  assert.ok(preamble.every((byte) => byte === 0));
});
