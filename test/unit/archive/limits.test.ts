import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { closePool } from '../../../nodes/engine/workers/pool';
import { instance, rar, rarVolumes, zip } from '../../support/archives';
import type { ZipSpec } from '../../support/archives';
import { drop, story } from './dropping';

const CENTRAL = Buffer.from('504b0102', 'hex');
const one = instance({ sop: '1.2.3.1' });
const two = instance({ sop: '1.2.3.2' });
const three = [1, 2, 3].map((n) => ({ name: `${n}`, data: instance({ sop: `1.2.3.${n}` }) }));

describe('limits', () => {
  after(closePool);

  test('more bytes or entries than allowed are refused before anything is unpacked', async () => {
    for (const archive of [zip(three), rar(three)]) {
      assert.equal((await drop({ a: archive }, { limits: { bytes: 700 } })).code, 'LIMIT_BYTES');
      const { code, stayed } = await drop({ a: archive }, { limits: { entries: 2 } });
      assert.equal(code, 'LIMIT_ENTRIES');
      assert.deepEqual(stayed, []);
      assert.equal((await drop({ a: archive }, { limits: { entries: 3 } })).code, undefined);
    }
    const files = Object.fromEntries(three.map(({ name, data }) => [name, data]));
    assert.equal((await drop(files, { limits: { entries: 2 } })).code, 'LIMIT_ENTRIES');
  });

  test('an entry that unpacks to far more than it holds is left out, the others are not', async () => {
    const bomb = Buffer.alloc(12_000_000);
    const { entries } = await drop({ 'a.zip': zip([{ name: '1', data: one }, { name: 'bomb', data: bomb, method: 'deflate' }, { name: '2', data: two }]) });
    assert.deepEqual(story(entries), ['instance 1', 'unreadable LIMIT_RATIO bomb', 'instance 2']);
    const hollow = instance({ sop: '1.2.3.4', pixels: Buffer.alloc(9_000_000) });
    assert.deepEqual(story((await drop({ 'a.zip': zip([{ name: 'hollow', data: hollow, method: 'deflate' }]) })).entries), ['instance hollow']);
  });

  test('a size that nobody announced is judged while it unpacks', async () => {
    const { entries } = await drop({ 'a.rar': rar([{ name: '1', data: one, unknownSize: true }, { name: '2', data: two, unknownSize: true }]) });
    assert.deepEqual(story(entries), ['instance 1', 'instance 2']);
    const capped = await drop({ 'a.rar': rar([{ name: 'x', data: instance({ pixels: Buffer.alloc(3000) }), unknownSize: true }, { name: '2', data: one }]) }, { limits: { bytes: 3500 } });
    assert.deepEqual(story(capped.entries), []);
    assert.equal(capped.code, 'LIMIT_BYTES');
  });

  test('entries that share bytes are refused', async () => {
    const { code, stayed } = await drop({ 'a.zip': zip([{ name: '1', data: one }, { name: '2', data: one, sharesDataOf: 0 }]) });
    assert.equal(code, 'LIMIT_OVERLAP');
    assert.deepEqual(stayed, []);
  });

  /** A zip of four images with four bytes of a directory record changed. */
  const altered = (which: number, field: 20 | 42, value: (bytes: Buffer, record: number) => number, spec: Partial<ZipSpec> = {}): Buffer => {
    const bytes = zip([1, 2, 3, 4].map((n) => ({ name: `${n}`, data: instance({ sop: `1.2.3.${n}`, pixels: Buffer.alloc(200 * n, n) }), ...spec })));
    const records: number[] = [];
    for (let at = bytes.indexOf(CENTRAL); at >= 0; at = bytes.indexOf(CENTRAL, at + 1)) records.push(at);
    const record = records[which]!;
    bytes.writeUInt32LE(value(bytes, record), record + field);
    return bytes;
  };
  const DAMAGE: ReadonlyArray<readonly [string, 20 | 42, (bytes: Buffer, record: number) => number]> = [
    ['an offset of 0', 42, () => 0], ['an offset into the data before', 42, (bytes, record) => bytes.readUInt32LE(record + 42) - 100], ['an offset a byte too high', 42, (bytes, record) => bytes.readUInt32LE(record + 42) + 1],
    ['a packed size that takes in the next entry', 20, (bytes, record) => bytes.readUInt32LE(record + 20) + 64], ['a packed size up to the directory', 20, (bytes, record) => bytes.indexOf(CENTRAL) - bytes.readUInt32LE(record + 42) - 31],
  ];
  for (const [what, field, value] of DAMAGE) {
    for (const spec of [{}, { method: 'deflate' }, { method: 'deflate', descriptor: true }, { encrypt: { kind: 'aes256', password: 'p' } }] satisfies ReadonlyArray<Partial<ZipSpec>>) {
      test(`${what} costs its own entry ${JSON.stringify(spec)}`, async () => {
        const { code, entries } = await drop({ 'a.zip': altered(2, field, value, spec) }, { passwords: ['p'] });
        assert.equal(code, undefined);
        assert.deepEqual(story(entries), ['instance 1', 'instance 2', 'unreadable ENTRY_DAMAGED 3', 'instance 4']);
      });
    }
  }

  test('of entries that share bytes though each has a header of its own none is unpacked', async () => {
    const { code, stayed } = await drop({ 'a.zip': zip([{ name: '1', data: one, descriptor: true }, { name: '2', data: two }, { name: '3', data: one, sharesDataOf: 0 }]) });
    assert.equal(code, 'LIMIT_OVERLAP');
    assert.deepEqual(stayed, []);
  });

  test('a name longer than allowed costs its own entry', async () => {
    for (const archive of [zip([{ name: 'n'.repeat(300), data: one }, { name: '2', data: two }]), rar([{ name: 'n'.repeat(300), data: one }, { name: '2', data: two }])]) {
      const { entries } = await drop({ a: archive }, { limits: { nameBytes: 200 } });
      assert.deepEqual(entries.map(({ kind, code }) => [kind, code]), [['unreadable', 'LIMIT_NAME'], ['instance', undefined]]);
    }
  });

  test('archives are opened as deep as set, and no deeper', async () => {
    const inner = zip([{ name: 'c', data: two }]);
    const nested = zip([{ name: 'a', data: one }, { name: 'b.zip', data: zip([{ name: 'b', data: two }, { name: 'c.rar', data: rar([{ name: 'c', data: one }]) }, { name: 'd', data: inner }]) }]);
    assert.deepEqual(story((await drop({ x: nested }, { depth: 0 })).entries), ['instance a', 'unreadable LIMIT_DEPTH b.zip']);
    assert.deepEqual(story((await drop({ x: nested }, { depth: 1 })).entries), ['instance a', 'instance b.zip/b', 'unreadable LIMIT_DEPTH b.zip/c.rar', 'unreadable LIMIT_DEPTH b.zip/d']);
    const deep = await drop({ x: nested }, { depth: 2 });
    assert.deepEqual(story(deep.entries), ['instance a', 'instance b.zip/b', 'instance b.zip/c.rar/c', 'instance b.zip/d/c']);
    assert.equal(deep.stayed.length, 4);
  });

  test('volumes inside an archive are read together', async () => {
    const volumes = rarVolumes([{ name: 'v', data: two }], 300).map((data, i) => ({ name: `s.part${i + 1}.rar`, data }));
    assert.deepEqual(story((await drop({ x: zip([{ name: 'a', data: one }, ...volumes.toReversed()]) })).entries), ['instance a', 'instance s.part1.rar/v']);
    assert.deepEqual(story((await drop({ x: zip([{ name: 'a', data: one }, ...volumes.slice(0, 1)]) })).entries), ['instance a', 'unreadable MISSING_VOLUME s.part1.rar']);
  });

  test('volumes inside an archive that do not look like one are read together, in any order, small or large', async () => {
    const large = instance({ sop: '1.2.3.7', pixels: randomBytes(36 << 20) });
    for (const data of [two, large]) {
      const whole = zip([{ name: 'v', data }]);
      const half = Math.ceil(whole.length / 2);
      const [first, second] = [{ name: 's.zip.001', data: whole.subarray(0, half) }, { name: 's.zip.002', data: whole.subarray(half) }];
      for (const outer of [zip([{ name: 'a', data: one }, second, first]), rar([{ name: 'a', data: one }, second, first])]) {
        const { entries, stayed } = await drop({ x: outer });
        assert.deepEqual(story(entries), ['instance a', 'instance s.zip.001/v']);
        assert.equal(stayed.length, 2);
      }
      const lacking = await drop({ x: zip([{ name: 'a', data: one }, second, { name: 'no.zip', data: Buffer.from('text') }]) });
      assert.deepEqual(story(lacking.entries), ['instance a', 'unreadable MISSING_VOLUME s.zip.002', 'not-dicom no.zip']);
      assert.equal(lacking.stayed.length, 1);
    }
  });

  test('what nested archives hold counts for the whole job', async () => {
    const { entries } = await drop({ x: zip([{ name: 'a', data: one }, { name: 'b.zip', data: zip(three) }]) }, { limits: { entries: 4 } });
    assert.deepEqual(story(entries), ['instance a', 'unreadable LIMIT_ENTRIES b.zip']);
  });

  test('unpacking ends when its time is over', async () => {
    assert.equal((await drop({ a: zip(three) }, { limits: { milliseconds: 0 } })).code, 'LIMIT_TIME');
  });
});
