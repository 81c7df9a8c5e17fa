import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { ByteSource } from '../../../nodes/engine/archive/byte-source';
import { readRarVolume } from '../../../nodes/engine/archive/rar-headers';
import { closePool } from '../../../nodes/engine/workers/pool';
import { instance, rar, rar4, rarVolumes } from '../../support/archives';
import { drop, story } from './dropping';

const one = instance({ sop: '1.2.3.1' });
const two = instance({ sop: '1.2.3.2', pixels: Buffer.alloc(5000, 9) });
const note = Buffer.from('a note');

describe('rar', () => {
  after(closePool);

  test('entries come out as they went in, whatever they are called', async () => {
    const names = ['../../evil', '/abs', 'C:\\x\\y', 'same', 'same', 'SAME', '환자/홍길동', 'a'];
    const { entries, contents, stayed } = await drop({ x: rar(names.map((name, i) => ({ name, data: i === 7 ? note : instance({ sop: `1.2.${i + 1}` }) }))) });
    assert.deepEqual(entries.map(({ kind }) => kind), [...Array.from({ length: 7 }, () => 'instance'), 'not-dicom']);
    assert.equal(entries[6]?.name, '환자/홍길동');
    assert.equal(contents.length, 7);
    assert.ok(stayed.every((name) => /^\d{6}\.dcm$/.test(name)));
  });

  test('an entry with a wrong checksum costs no other one and leaves nothing on disk', async () => {
    const { entries, stayed } = await drop({ x: rar([{ name: '1', data: one }, { name: 'bad', data: two, badCrc: true }, { name: 'bad2', data: one, badCrc: true }, { name: '2', data: two }]) });
    assert.deepEqual(story(entries), ['instance 1', 'unreadable ENTRY_CRC bad', 'unreadable ENTRY_CRC bad2', 'instance 2']);
    assert.equal(stayed.length, 2);
  });

  test('an entry with a damaged header costs no other one, and is accounted for', async () => {
    const specs = [1, 2, 3].map((n) => ({ name: `name ${n}`, data: instance({ sop: `1.2.3.${n}` }) }));
    const whole = rar(specs);
    const name = whole.indexOf('name 2');
    // The name, its length, the checksum of the content, attributes, the size, the type, the checksum of the header.
    for (const back of [-3, 1, 5, 9, 12, 17, 20]) {
      const bytes = Buffer.from(whole);
      bytes[name - back]! ^= 1;
      const { code, entries, contents } = await drop({ 'a.rar': bytes });
      assert.equal(code, undefined, `${back}`);
      assert.deepEqual(story(entries), ['instance name 1', 'instance name 3', 'unreadable ENTRY_DAMAGED '], `${back}`);
      assert.deepEqual(contents, [specs[0]!.data, specs[2]!.data]);
    }
    // The same of RAR 4: one with a header that is not as it should be, between two.
    const old = rar4(specs);
    const { entries } = await drop({ 'a.rar': Buffer.from(old).fill('X', old.indexOf('name 2'), old.indexOf('name 2') + 4) });
    assert.deepEqual(story((await drop({ 'a.rar': old })).entries), ['instance name 1', 'instance name 2', 'instance name 3']);
    assert.deepEqual(story(entries), ['instance name 1', 'instance name 3', 'unreadable ENTRY_DAMAGED ']);
  });

  test('a damaged entry of a solid archive costs those alone that do not come out right', async () => {
    const specs = [1, 2, 3, 4].map((n) => ({ name: `${n}`, data: instance({ sop: `1.2.3.${n}` }), solid: n > 1, badCrc: n < 3 }));
    const { code, entries, stayed } = await drop({ 'a.rar': rar(specs) });
    assert.equal(code, undefined);
    assert.deepEqual(story(entries), ['unreadable ENTRY_CRC 1', 'unreadable ENTRY_CRC 2', 'instance 3', 'instance 4']);
    assert.equal(stayed.length, 2);
  });

  test('links are not followed; a copy that the archive stores once is a copy', async () => {
    const empty = Buffer.alloc(0);
    const { entries, contents } = await drop({ x: rar([
      { name: '1', data: one }, { name: 'sym', data: empty, redirect: { kind: 'symlink', to: '/etc/passwd' } }, { name: 'hard', data: empty, redirect: { kind: 'hardlink', to: '1' } },
      { name: 'copy', data: empty, redirect: { kind: 'copy', to: '1' } }, { name: 'out', data: empty, redirect: { kind: 'copy', to: '/etc/passwd' } }, { name: 'n', data: note }, { name: 'n2', data: empty, redirect: { kind: 'copy', to: 'n' } }, { name: '2', data: two },
    ]) });
    assert.deepEqual(story(entries), ['instance 1', 'unreadable ENTRY_LINK sym', 'unreadable ENTRY_LINK hard', 'instance copy', 'unreadable ENTRY_DAMAGED out', 'not-dicom n', 'not-dicom n2', 'instance 2']);
    assert.deepEqual(contents, [one, one, two]);
  });

  test('an archive behind a program is found', async () => {
    assert.deepEqual((await drop({ 'x.exe': rar([{ name: '1', data: one }], Buffer.concat([Buffer.from('MZ'), Buffer.alloc(9000, 1)])) })).contents, [one]);
  });

  test('volumes are read together, in any order, under either naming; a missing one is said to be', async () => {
    const volumes = rarVolumes([{ name: '1', data: one }, { name: '2', data: two }, { name: '3', data: one }], 2000);
    assert.ok(volumes.length >= 3);
    const named = Object.fromEntries(volumes.map((volume, i) => [`s.part${i + 1}.rar`, volume]).toReversed());
    assert.deepEqual((await drop(named)).contents, [one, two, one]);
    const { 's.part2.rar': _second, ...gap } = named;
    assert.equal((await drop(gap)).code, 'MISSING_VOLUME');
    const { 's.part1.rar': _first, ...headless } = named;
    assert.equal((await drop(headless)).code, 'MISSING_VOLUME');
    assert.equal((await drop({ 's.part1.rar': volumes[0]! })).code, 'MISSING_VOLUME');
    const whole = rar([{ name: '1', data: one }, { name: '2', data: two }]);
    assert.deepEqual((await drop({ 'c.rar.002': whole.subarray(300), 'c.rar.001': whole.subarray(0, 300) })).contents, [one, two]);
  });

  test('in a set of volumes a refused entry that spans them costs no other one', async () => {
    const volumes = rarVolumes([{ name: 'x'.repeat(100), data: two }, { name: '1', data: one }, { name: 'bad', data: two, badCrc: true }, { name: '2', data: two }], 2000);
    const { entries, contents } = await drop(Object.fromEntries(volumes.map((volume, i) => [`s.part${i + 1}.rar`, volume])), { limits: { nameBytes: 50 } });
    assert.deepEqual(entries.map(({ kind, code }) => code ?? kind), ['LIMIT_NAME', 'instance', 'ENTRY_CRC', 'instance']);
    assert.deepEqual(contents, [one, two]);
  });

  test('a cut off archive is damaged, and nothing of it is sent', async () => {
    const whole = rar([{ name: '1', data: one }, { name: '2', data: two }]);
    const { code, stayed } = await drop({ x: whole.subarray(0, whole.length - 200) });
    assert.equal(code, 'ARCHIVE_DAMAGED');
    assert.deepEqual(stayed, []);
  });

  test('headers are read without the data between them', () => {
    let bytes = 0;
    class Counted extends ByteSource {
      override readInto(target: Uint8Array, position: number): number {
        const count = super.readInto(target, position);
        bytes += count;
        return count;
      }
    }
    const folder = mkdtempSync(join(tmpdir(), 'exdicom-headers-'));
    try {
      writeFileSync(join(folder, 'a.rar'), rar([...Array.from({ length: 20 }, (_, i) => ({ name: `${i}`, data: Buffer.alloc(1 << 20, i) })), { name: 'one', data: one }, { name: 'two', data: two }]));
      using source = new Counted([join(folder, 'a.rar')]);
      const volume = readRarVolume(source, 0);
      assert.deepEqual([volume?.end, volume?.files?.length], ['end', 22]);
      assert.ok(bytes < 3 << 20, `${bytes}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('many entries in shares come out in order', async () => {
    const specs = Array.from({ length: 600 }, (_, i) => ({ name: `${i}`, data: instance({ sop: `1.2.3.${i + 1}` }) }));
    const { entries, contents } = await drop({ x: rar(specs) });
    assert.deepEqual(entries.map(({ name }) => name), specs.map(({ name }) => name));
    assert.ok(contents.every((content, i) => content.equals(specs[i]!.data)));
  });
});
