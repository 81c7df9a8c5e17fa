import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { ByteSource } from '../../../nodes/engine/archive/byte-source';
import { DEFAULT_SETTINGS } from '../../../nodes/engine/archive/settings';
import { readZipDirectory } from '../../../nodes/engine/archive/zip-directory';
import { closePool } from '../../../nodes/engine/workers/pool';
import { extraField, instance, rar, zip } from '../../support/archives';
import type { ZipSpec } from '../../support/archives';
import { drop, story } from './dropping';

const RECORD = Buffer.from('504b0102', 'hex');
const one = instance({ sop: '1.2.3.1' });
const two = instance({ sop: '1.2.3.2' });
const text = Buffer.from('a note of the hospital\n'.repeat(20));
/** Larger than what is held in memory. */
const large = instance({ sop: '1.2.3.3', pixels: Buffer.concat([randomBytes(1 << 20), Buffer.alloc(17 << 20, 3)]) });

describe('zip', () => {
  after(closePool);

  for (const method of ['store', 'deflate'] as const) {
    for (const shape of [{}, { descriptor: true }, { zip64: true }] satisfies ReadonlyArray<Partial<ZipSpec>>) {
      test(`${method}d entries come out as they went in ${JSON.stringify(shape)}`, async () => {
        const { entries, contents, stayed } = await drop({ 'a.zip': zip([{ name: 'x/1', data: one, method, ...shape }, { name: 'x/note.txt', data: text, method, ...shape }, { name: 'x/2', data: two, method, ...shape }]) });
        assert.deepEqual(story(entries), ['instance x/1', 'not-dicom x/note.txt', 'instance x/2']);
        assert.deepEqual(contents, [one, two]);
        assert.deepEqual(stayed, ['000002.dcm', '000004.dcm']);
      });
    }
  }

  test('an entry too large for memory comes out whole, with its digest', async () => {
    for (const spec of [{ method: 'store' }, { method: 'deflate' }, { method: 'deflate', encrypt: { kind: 'aes256', password: 'pw' } }, { method: 'store', encrypt: { kind: 'zipcrypto', password: 'pw' } }] satisfies ReadonlyArray<Partial<ZipSpec>>) {
      const { entries, contents } = await drop({ 'a.zip': zip([{ name: '1', data: large, ...spec }]) }, { passwords: ['pw'] });
      assert.ok(contents[0]?.equals(large));
      assert.equal(entries[0]?.file?.sha256, createHash('sha256').update(large).digest('hex'));
    }
  });

  for (const kind of ['zipcrypto', 'aes128', 'aes192', 'aes256'] as const) {
    test(`${kind}: the password that fits is found in the list; with none the job waits`, async () => {
      const archive = zip([
        { name: '1', data: one, method: 'deflate', encrypt: { kind, password: 'first' } },
        { name: '2', data: two, method: 'store', encrypt: { kind, password: 'second', version: 1 } },
        { name: 'plain', data: text, method: 'store' },
        { name: '4', data: two, descriptor: true, encrypt: { kind, password: 'first' } },
      ]);
      const { contents } = await drop({ 'a.zip': archive }, { passwords: ['wrong', 'second', 'first'] });
      assert.deepEqual(contents, [one, two, two]);
      for (const passwords of [[], ['wrong'], ['first']]) {
        const waiting = await drop({ 'a.zip': archive }, { passwords });
        assert.equal(waiting.code, 'NEEDS_PASSWORD');
        assert.deepEqual(waiting.calls.filter((call) => call === 'recorded'), []);
        assert.ok(!passwords.some((password) => `${waiting.error?.message} ${waiting.error?.stack}`.includes(password)));
      }
    });
  }

  test('a password opens an archive whatever code page its program wrote it in', async () => {
    const written = [['비밀번호1', 'baf1b9d0b9f8c8a331'], ['密碼1', 'b14bbd5831'], ['密码1', 'c3dcc2eb31'], ['暗証1', '88c38fd831'], ['clé1', '636c8231'], ['clé1', '636ce931'], ['clé1', '636cc3a931']] as const;
    for (const [password, hex] of written) {
      for (const kind of ['zipcrypto', 'aes256'] as const) {
        const typed = { name: '1', data: one, encrypt: { kind, password: Buffer.from(hex, 'hex') } };
        assert.deepEqual((await drop({ 'a.zip': zip([typed]) }, { passwords: ['x', password] })).contents, [one], `${hex} ${kind}`);
      }
    }
  });

  test('passwords given by hand for the job are tried besides the list, and are told by nobody', async () => {
    const archive = zip([{ name: '1', data: one, encrypt: { kind: 'aes256', password: 'by hand' } }, { name: '2', data: two, encrypt: { kind: 'aes256', password: 'listed' } }]);
    const { contents } = await drop({ 'a.zip': archive }, { passwords: ['listed'], byHand: ['another', 'by hand'] });
    assert.equal(contents.length, 2);
    const waiting = await drop({ 'a.zip': archive }, { passwords: ['listed'], byHand: ['wrong by hand'] });
    assert.equal(waiting.code, 'NEEDS_PASSWORD');
    assert.ok(!`${waiting.error?.message} ${waiting.error?.stack} ${JSON.stringify(waiting.error)} ${String(waiting.error?.origin())} ${waiting.calls.join(' ')}`.includes('by hand'));
  });

  test('a password that opened others proves that an entry is damaged, not locked', async () => {
    const encrypt = { kind: 'zipcrypto', password: 'pw' } as const;
    const archive = zip([{ name: '1', data: one, encrypt }, { name: '2', data: two, encrypt }]);
    archive[archive.lastIndexOf(Buffer.from('504b0102', 'hex'), archive.lastIndexOf(Buffer.from('504b0102', 'hex')) - 1) - 20]! ^= 1;
    const { entries } = await drop({ 'a.zip': archive }, { passwords: ['pw'] });
    assert.deepEqual(story(entries), ['instance 1', 'unreadable ENTRY_CRC 2']);
  });

  test('an entry that its directory record alone calls encrypted is damaged, and nobody is asked for its password', async () => {
    const archive = zip([{ name: '1', data: one }, { name: '2', data: two }]);
    archive.writeUInt16LE(1, archive.lastIndexOf(RECORD) + 8);
    assert.deepEqual(story((await drop({ 'a.zip': archive })).entries), ['instance 1', 'unreadable ENTRY_DAMAGED 2']);
    const locked = zip([{ name: '1', data: one }, { name: '2', data: two, encrypt: { kind: 'zipcrypto', password: 'p' } }]);
    assert.equal((await drop({ 'a.zip': locked })).code, 'NEEDS_PASSWORD');
  });

  test('an encrypted entry with a damaged header costs no other one, and nobody is asked for its password', async () => {
    for (const kind of ['zipcrypto', 'aes256'] as const) {
      for (const descriptor of [false, true]) {
        const whole = zip([1, 2, 3].map((n) => ({ name: `name ${n}`, data: instance({ sop: `1.2.3.${n}` }), descriptor, encrypt: { kind, password: 'p' } })));
        const local = whole.indexOf('name 2') - 30;
        const record = whole.lastIndexOf('name 2') - 46;
        // Lengths of the name and of the extra field, by which the data is elsewhere; what a password of the old kind is checked against.
        for (const at of [local + 26, local + 28, ...(kind === 'zipcrypto' ? [record + (descriptor ? 13 : 19)] : [])]) {
          const archive = Buffer.from(whole);
          archive[at]! ^= 2;
          assert.deepEqual(story((await drop({ 'a.zip': archive }, { passwords: ['p'] })).entries), ['instance name 1', 'unreadable ENTRY_CRC name 2', 'instance name 3'], `${kind} ${at}`);
          assert.equal((await drop({ 'a.zip': archive }, { passwords: ['q'] })).code, 'NEEDS_PASSWORD', kind);
        }
      }
    }
    // With a password of its own it is waited for.
    const mixed = zip(['p', 'q', 'p'].map((password, n) => ({ name: `name ${n}`, data: instance({ sop: `1.2.3.${n + 1}` }), encrypt: { kind: 'aes256', password } })));
    assert.equal((await drop({ 'a.zip': mixed }, { passwords: ['p'] })).code, 'NEEDS_PASSWORD');
  });

  test('an AES entry that was tampered with is found out by its authentication code, small or large', async () => {
    const encrypt = { kind: 'aes256', password: 'pw' } as const;
    for (const data of [two, large]) {
      const archive = zip([{ name: '1', data: one, encrypt }, { name: '2', data, encrypt }]);
      // Into the pixels at the end, in front of code and directory.
      archive[archive.indexOf(Buffer.from('504b0102', 'hex')) - 20]! ^= 1;
      const { entries, stayed } = await drop({ 'a.zip': archive }, { passwords: ['pw'] });
      assert.deepEqual(story(entries), ['instance 1', 'unreadable ENTRY_CRC 2']);
      assert.equal(stayed.length, 1);
    }
  });

  test('what is damaged, linked, or packed otherwise costs no other entry', async () => {
    const broken = zip([
      { name: '1', data: one }, { name: 'crc', data: two, forged: { crc: 1 } }, { name: 'short', data: two, method: 'deflate', forged: { size: two.length - 1 } },
      { name: 'long', data: two, method: 'deflate', forged: { size: two.length + 1 } }, { name: 'ppmd', data: two, forged: { method: 98 } },
      { name: 'link', data: Buffer.from('/etc/passwd'), mode: 0o120777 }, { name: 'mixed', data: two, forged: { size: 5 } }, { name: 'last', data: two },
    ]);
    const { entries, contents, stayed } = await drop({ 'a.zip': broken });
    assert.deepEqual(story(entries), [
      'instance 1', 'unreadable ENTRY_CRC crc', 'unreadable ENTRY_DAMAGED short', 'unreadable ENTRY_DAMAGED long', 'unreadable ENTRY_METHOD ppmd',
      'unreadable ENTRY_LINK link', 'unreadable ENTRY_DAMAGED mixed', 'instance last',
    ]);
    assert.deepEqual(contents, [one, two]);
    assert.equal(stayed.length, 2);
  });

  test('a large entry with a wrong CRC leaves nothing on disk', async () => {
    const { entries, stayed } = await drop({ 'a.zip': zip([{ name: '1', data: one }, { name: 'big', data: large, method: 'deflate', forged: { crc: 1 } }]) });
    assert.deepEqual(story(entries), ['instance 1', 'unreadable ENTRY_CRC big']);
    assert.equal(stayed.length, 1);
  });

  test('names never become paths', async () => {
    const names = ['../../evil.dcm', '/etc/evil', 'C:\\evil', 'a\0b', '..', 'same', 'same', 'SAME', 'same/inside'];
    const { entries, stayed } = await drop({ 'a.zip': zip(names.map((name, i) => ({ name, localName: 'other', data: instance({ sop: `1.2.${i + 1}` }) }))) });
    assert.deepEqual(entries.map(({ name }) => name), names);
    assert.equal(entries.filter(({ kind }) => kind === 'instance').length, names.length);
    assert.ok(stayed.every((name) => /^\d{6}\.dcm$/.test(name)));
  });

  test('an archive behind a program, and one whose comment holds an end record, are found', async () => {
    const fake = Buffer.concat([Buffer.from('504b0506', 'hex'), Buffer.alloc(18)]);
    for (const archive of [zip([{ name: '1', data: one }], { prefix: Buffer.concat([Buffer.from('MZ'), Buffer.alloc(5000, 1)]) }), zip([{ name: '1', data: one }], { comment: Buffer.concat([Buffer.from('see '), fake, Buffer.from('end')]) }), Buffer.concat([zip([{ name: '1', data: one }]), Buffer.alloc(100, 0x20)])]) {
      assert.deepEqual((await drop({ 'a.exe': archive })).contents, [one]);
    }
  });

  test('behind a program, an archive that lies in another one is not taken for that', async () => {
    const prefix = Buffer.concat([Buffer.from('MZ'), Buffer.alloc(5000, 1)]);
    const inner = [{ name: 'x', data: two }];
    for (const inOffsets of [false, true]) {
      const outer = zip([{ name: '1', data: one }, { name: 'in.rar', data: rar(inner) }], { prefix });
      if (inOffsets) for (let at = outer.indexOf(RECORD); at >= 0; at = outer.indexOf(RECORD, at + 1)) outer.writeUInt32LE(outer.readUInt32LE(at + 42) + prefix.length, at + 42);
      if (inOffsets) outer.writeUInt32LE(outer.readUInt32LE(outer.length - 6) + prefix.length, outer.length - 6);
      assert.deepEqual(story((await drop({ 'a.exe': outer })).entries), ['instance 1', 'instance in.rar/x'], `${inOffsets}`);
    }
    assert.deepEqual(story((await drop({ 'a.exe': rar([{ name: '1', data: one }, { name: 'in.zip', data: zip(inner) }], prefix) })).entries), ['instance 1', 'instance in.zip/x']);
  });

  test('a cut off archive is damaged, and nothing of it is sent', async () => {
    const whole = zip([{ name: '1', data: one }, { name: '2', data: two }]);
    const { code, stayed, calls } = await drop({ 'a.zip': whole.subarray(0, whole.length - 30) });
    assert.equal(code, 'ARCHIVE_DAMAGED');
    assert.deepEqual(stayed, []);
    assert.ok(!calls.includes('recorded'));
  });

  test('a cut off archive is not taken for one that lies in it', async () => {
    const outer = zip([{ name: '1', data: one }, { name: 'in.zip', data: zip([{ name: 'x', data: two }]) }, { name: '2', data: large }]);
    const inner = outer.indexOf(Buffer.from('504b0506', 'hex')) + 22;
    for (const length of [inner, inner + 40, inner + 100_000, outer.length - 30]) {
      const { code, stayed } = await drop({ 'a.zip': outer.subarray(0, length) });
      assert.equal(code, 'ARCHIVE_DAMAGED', `${length}`);
      assert.deepEqual(stayed, []);
    }
    // The same bytes in a comment are a comment.
    assert.deepEqual(story((await drop({ 'a.zip': zip([{ name: '1', data: one }], { comment: zip([{ name: 'x', data: two }]) }) })).entries), ['instance 1']);
    // Nor is the mark of a split set that became one file an archive around it.
    for (const mark of ['PK00', 'PK\x07\x08']) assert.deepEqual((await drop({ 'a.zip': zip([{ name: '1', data: one }], { prefix: Buffer.from(mark) }) })).contents, [one]);
    // Of two archives in a row nobody knows which one was meant.
    assert.equal((await drop({ 'a.zip': Buffer.concat([zip([{ name: '1', data: one }]), zip([{ name: '2', data: two }])]) })).code, 'ARCHIVE_DAMAGED');
  });

  test('however many foreign bytes follow it, up to 16 MB, an archive is found', async () => {
    const archive = zip([{ name: '1', data: one }]);
    for (const behind of [Buffer.alloc(1), Buffer.alloc(0x10000), Buffer.alloc(70_000, 0x50), randomBytes(3 << 20)]) {
      assert.deepEqual((await drop({ 'a.zip': Buffer.concat([archive, behind]) })).contents, [one], `${behind.length}`);
    }
    const marks = Buffer.concat(Array.from({ length: 1 << 20 }, () => Buffer.from('504b0506', 'hex')));
    assert.equal((await drop({ 'a.zip': Buffer.concat([archive, marks]) }, { limits: { milliseconds: 20_000 } })).code, 'MISSING_VOLUME', 'which is what the last of them says');
  });

  test('a damaged record of the directory costs its own entry, which is accounted for', async () => {
    const three = instance({ sop: '1.2.3.4' });
    const archive = zip([{ name: '1', data: one }, { name: '2', data: two }, { name: '3', data: three, method: 'deflate' }]);
    const records: number[] = [];
    for (let at = archive.indexOf(RECORD); at >= 0; at = archive.indexOf(RECORD, at + 1)) records.push(at);
    const changed = (record: number, at: number, value: number): Buffer => {
      const bytes = Buffer.from(archive);
      bytes.writeUInt16LE(value, records[record]! + at);
      return bytes;
    };
    for (const [record, left] of [[0, ['2', '3']], [1, ['1', '3']], [2, ['1', '2']]] as const) {
      const { entries, contents } = await drop({ 'a.zip': changed(record, 2, 0x0101) });
      assert.deepEqual(story(entries).toSorted(), [...left.map((name) => `instance ${name}`), 'unreadable ENTRY_DAMAGED '], `${record}`);
      assert.equal(contents.length, 2);
    }
    // Lengths of name, extra field and comment: where the data is and what comes out of it stands before them.
    for (const at of [28, 30, 32]) {
      for (const value of [3, 47, 48, 0xffff, 0x8001]) {
        const { entries, contents } = await drop({ 'a.zip': changed(1, at, value) });
        assert.equal(entries.length, 3, `${at} ${value}`);
        assert.deepEqual([contents[0], contents.at(-1)], [one, three], `${at} ${value}`);
      }
    }
  });

  test('an archive whose beginning is lost is damaged, among files and in another archive as well', async () => {
    const archive = zip([{ name: '1', data: one }, { name: '2', data: two }]);
    for (const lost of [1, 40]) {
      const rest = archive.subarray(lost);
      assert.equal((await drop({ 'a.zip': rest })).code, 'ARCHIVE_DAMAGED');
      assert.deepEqual(story((await drop({ 'a.zip': rest, b: one })).entries), ['unreadable ARCHIVE_DAMAGED a.zip', 'instance b']);
      assert.deepEqual(story((await drop({ x: zip([{ name: 'a.zip', data: rest }, { name: 'b', data: one }]) })).entries), ['unreadable ARCHIVE_DAMAGED a.zip', 'instance b']);
    }
    // Where it is the first four bytes alone, the first entry is damaged.
    const spoilt = Buffer.from(archive).fill(0, 0, 4);
    for (const files of [{ 'a.zip': spoilt, b: one }, { x: zip([{ name: 'a.zip', data: spoilt }, { name: 'b', data: one }]) }]) {
      assert.deepEqual(story((await drop(files)).entries).toSorted(), ['instance a.zip/2', 'instance b', 'unreadable ENTRY_DAMAGED a.zip/1']);
    }
  });

  test('a directory that holds fewer records than are counted is not smaller by that', async () => {
    const counted = (told: number): Buffer => {
      const bytes = zip([{ name: '1', data: one }, { name: '2', data: two }]);
      bytes.writeUInt16LE(told, bytes.length - 12);
      return bytes;
    };
    for (const told of [3, 999, 0xffff]) assert.deepEqual(story((await drop({ 'a.zip': counted(told) })).entries), ['instance 1', 'instance 2', 'unreadable ENTRY_DAMAGED '], `${told}`);
    // What is there is there.
    for (const told of [0, 1]) assert.deepEqual(story((await drop({ 'a.zip': counted(told) })).entries), ['instance 1', 'instance 2'], `${told}`);
    // Nor where the size of the directory is what is wrong.
    const sized = zip([1, 2, 3, 4].map((n) => ({ name: `name ${n}`, data: instance({ sop: `1.2.3.${n}` }) })));
    sized.writeUInt32LE(sized.readUInt32LE(sized.length - 10) - 128, sized.length - 10);
    assert.equal((await drop({ 'a.zip': sized })).contents.length, 4);
    const nothing = zip([]);
    nothing.writeUInt16LE(1, nothing.length - 12);
    assert.equal((await drop({ 'a.zip': nothing })).code, 'ARCHIVE_DAMAGED');
  });

  test('parts of a set are read together, in any order; with one missing the volume is', async () => {
    const whole = zip([{ name: '1', data: one, method: 'deflate' }, { name: '2', data: two }]);
    const cut = Math.floor(whole.length / 2);
    const parts = { 'a.zip.002': whole.subarray(cut), 'a.zip.001': whole.subarray(0, cut) };
    assert.deepEqual((await drop(parts)).contents, [one, two]);
    // A split set names disks: the end record lies on the second one.
    const split = Buffer.from(whole);
    const end = split.length - 22;
    const directory = split.readUInt32LE(end + 16);
    const tail = Buffer.concat([split.subarray(directory)]);
    tail.writeUInt16LE(1, tail.length - 18);
    tail.writeUInt16LE(1, tail.length - 16);
    tail.writeUInt32LE(0, tail.length - 6);
    assert.deepEqual((await drop({ 'b.zip': tail, 'b.z01': split.subarray(0, directory) })).contents, [one, two]);
    assert.equal((await drop({ 'b.zip': tail })).code, 'MISSING_VOLUME');
  });

  test('of a set that is not all there the volume is missing, whichever it is', async () => {
    const whole = zip([{ name: '1', data: large, method: 'store' }, { name: '2', data: two }]);
    const third = Math.ceil(whole.length / 3);
    const parts = [whole.subarray(0, third), whole.subarray(third, 2 * third), whole.subarray(2 * third)];
    const some = (naming: (i: number) => string, ...which: readonly number[]): Record<string, Buffer> => Object.fromEntries(which.map((i) => [naming(i), parts[i - 1]!]));
    const cut = (i: number): string => `a.zip.00${i}`;
    const split = (i: number): string => (i === 3 ? 'a.zip' : `a.z0${i}`);
    for (const naming of [cut, split]) {
      for (const which of [[1], [2], [1, 2], [2, 3], ...(naming === cut ? [[1, 3]] : [])]) {
        assert.equal((await drop(some(naming, ...which))).code, 'MISSING_VOLUME', `${naming(1)} ${which.join()}`);
        const among = await drop({ ...some(naming, ...which), other: one });
        assert.ok(among.entries.some(({ kind }) => kind === 'instance'));
        assert.deepEqual([...new Set(among.entries.flatMap(({ kind, code }) => (kind === 'instance' ? [] : [`${kind} ${code}`])))], ['unreadable MISSING_VOLUME'], `${naming(1)} ${which.join()}`);
      }
    }
    // Cut short it is damaged: a smaller piece is the last one.
    assert.equal((await drop({ ...some(cut, 1, 2), 'a.zip.003': parts[2]!.subarray(0, 1000) })).code, 'ARCHIVE_DAMAGED');
    assert.deepEqual(story((await drop({ 'a.z02': Buffer.from('a zone'), other: one, 'x.z01': two, 'y.zip': Buffer.from('no zip') })).entries), ['unreadable MISSING_VOLUME a.z02', 'instance other', 'instance x.z01', 'not-dicom y.zip']);
  });

  test('an archive beside a volume that is none of its own is read all the same', async () => {
    const { contents } = await drop({ 'a.zip': zip([{ name: '1', data: one }, { name: '2', data: two }]), 'a.z01': Buffer.alloc(1000, 7) });
    assert.deepEqual(contents, [one, two]);
    assert.deepEqual((await drop({ 'a.zip': zip([{ name: '1', data: one }]), 'a.z01': zip([{ name: '2', data: two }]) })).contents, [one]);
  });

  test('beyond 4 GiB without zip64, as macOS packs, entries are where their headers stand', () => {
    const folder = mkdtempSync(join(tmpdir(), 'exdicom-large-'));
    const path = join(folder, 'a.zip');
    try {
      const gap = 3 * 2 ** 30;
      const names = ['1', '2', '3', '4'];
      const pieces = names.map((name) => zip([{ name, data: one }]));
      const packed = pieces[0]!.readUInt32LE(pieces[0]!.lastIndexOf(Buffer.from('504b0102', 'hex')) + 20);
      const local = 30 + 1 + packed;
      const file = openSync(path, 'w');
      const offsets = names.map((_, i) => i * gap);
      const directory = Buffer.concat(pieces.map((piece, i) => {
        writeSync(file, piece, 0, local, offsets[i]);
        const entry = Buffer.from(piece.subarray(local, piece.length - 22));
        entry.writeUInt32LE(offsets[i]! % 2 ** 32, 42);
        return entry;
      }));
      const at = offsets[3]! + local;
      const end = Buffer.from(pieces[0]!.subarray(-22));
      end.writeUInt16LE(4, 8);
      end.writeUInt16LE(4, 10);
      end.writeUInt32LE(directory.length, 12);
      end.writeUInt32LE(at % 2 ** 32, 16);
      writeSync(file, Buffer.concat([directory, end]), 0, directory.length + 22, at);
      closeSync(file);
      using source = new ByteSource([path]);
      const { entries } = readZipDirectory(source, DEFAULT_SETTINGS.limits);
      assert.deepEqual(entries.map(({ offset, refused }) => [offset, refused]), offsets.map((offset) => [offset, undefined]));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('names are decoded by their mark, their extra field, their bytes, and the code pages of the settings', async () => {
    const korean = Buffer.from('c8afc0da2f3031', 'hex'); // 환자/01 in cp949
    const { entries } = await drop({ 'a.zip': zip([{ name: korean, data: one }, { name: Buffer.from('c7d1b1db', 'hex'), data: one }]) });
    assert.deepEqual(entries.map(({ name }) => name), ['환자/01', '한글']);
    const japanese = Buffer.from('83658358836783742e64636d', 'hex'); // テストフ.dcm in cp932
    assert.equal((await drop({ 'a.zip': zip([{ name: japanese, data: one }]) })).entries[0]?.name, 'テストフ.dcm');
    const taiwanese = Buffer.from('afa9b1e3a4a42e64636d', 'hex');
    assert.equal((await drop({ 'a.zip': zip([{ name: taiwanese, data: one }]) }, { encodings: ['cp950'] })).entries[0]?.name, new TextDecoder('big5').decode(taiwanese));
    assert.equal((await drop({ 'a.zip': zip([{ name: Buffer.from('4d81', 'hex'), data: one }]) }, { encodings: [] })).entries[0]?.name, 'Mü');
    const { crc32 } = await import('node:zlib');
    const raw = Buffer.from([0x81, 0x82]);
    const crc = Buffer.alloc(4);
    crc.writeUInt32LE(crc32(raw));
    const extra = extraField(0x7075, Buffer.concat([Buffer.from([1]), crc, Buffer.from('한글.dcm')]));
    assert.equal((await drop({ 'a.zip': zip([{ name: raw, data: one, extra }]) })).entries[0]?.name, '한글.dcm');
  });
});
