import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import * as zlib from 'node:zlib';
import { closePool } from '../../../nodes/engine/workers/pool';
import { instance, zip } from '../../support/archives';
import { bzip2, deflate64, hasPacker, lzma } from '../../support/packers';
import { drop, story } from './dropping';

/** What each packer finds hard: runs, nothing, noise, text, distances over 32 KiB and lengths over 258. */
const far = randomBytes(40_000);
const contents: readonly Buffer[] = [
  Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(300_000, 7), randomBytes(70_000), Buffer.from('a note of the hospital\n'.repeat(5000)),
  Buffer.concat([far, Buffer.alloc(20_000, 1), far, far.subarray(5000), far]),
  Buffer.concat(Array.from({ length: 3000 }, (_, i) => Buffer.alloc(i % 300, i))),
].map((pixels, i) => instance({ sop: `1.2.3.${i}`, pixels }));
/** Larger than what is held in memory, and than any block or window. */
const large = instance({ sop: '1.2.3.99', pixels: Buffer.concat([randomBytes(1 << 20), Buffer.alloc(17 << 20, 3)]) });
const plain = instance({ sop: '1.2.3.100' });
/** Features of Info-ZIP's unzip; none where there is no unzip. */
const unzip = spawnSync('unzip -v', { shell: true, encoding: 'utf8' }).stdout;

interface Method {
  readonly number: number;
  readonly pack: (data: Buffer) => Buffer;
  readonly missing: string | false;
}

const METHODS: Readonly<Record<string, Method>> = {
  'Deflate64': { number: 9, pack: deflate64, missing: false },
  // Without repetitions it is the same as Deflate, whose codes for each block are then read.
  'Deflate64, blocks with codes of their own': { number: 9, pack: (data) => zlib.deflateRawSync(data, { strategy: zlib.constants.Z_HUFFMAN_ONLY }), missing: false },
  'Deflate64, stored blocks': { number: 9, pack: (data) => zlib.deflateRawSync(data, { level: 0 }), missing: false },
  'bzip2': { number: 12, pack: bzip2, missing: hasPacker('bzip2') ? false : 'no bzip2' },
  'bzip2, several streams': { number: 12, pack: (data) => Buffer.concat([bzip2(data.subarray(0, 500)), bzip2(data.subarray(500))]), missing: hasPacker('bzip2') ? false : 'no bzip2' },
  'LZMA': { number: 14, pack: lzma, missing: hasPacker('xz') ? false : 'no xz' },
  'Zstandard': { number: 93, pack: (data) => zlib.zstdCompressSync(data), missing: 'zstdCompressSync' in zlib ? false : 'not in this version of Node' },
};

describe('methods of zip', () => {
  after(closePool);

  for (const [name, { number, pack, missing }] of Object.entries(METHODS)) {
    const packed = (data: Buffer): { readonly method: number; readonly bytes: Buffer } => ({ method: number, bytes: pack(data) });

    test(`${name}: what was packed comes out`, { skip: missing }, async () => {
      const came = await drop({ 'a.zip': zip(contents.map((data, i) => ({ name: `${i}`, data, packed: packed(data) }))) });
      assert.deepEqual(story(came.entries), contents.map((_, i) => `instance ${i}`));
      for (const [i, content] of came.contents.entries()) assert.ok(content.equals(contents[i]!), `${i}`);
    });

    test(`${name}: and what is too large for memory, encrypted or not`, { skip: missing }, async () => {
      const bytes = pack(large);
      for (const encrypt of [undefined, { kind: 'aes256', password: 'pw' }] as const) {
        const came = await drop({ 'a.zip': zip([{ name: '1', data: large, packed: { method: number, bytes }, ...(encrypt === undefined ? {} : { encrypt }) }]) }, { passwords: ['pw'] });
        assert.deepEqual(story(came.entries), ['instance 1']);
        assert.ok(came.contents[0]?.equals(large));
      }
    });

    test(`${name}: more or fewer bytes than the directory says are damage`, { skip: missing }, async () => {
      const data = contents[4]!;
      const came = await drop({ 'a.zip': zip([
        { name: 'short', data, packed: packed(data), forged: { size: data.length - 1 } }, { name: 'long', data, packed: packed(data), forged: { size: data.length + 1 } },
        { name: 'cut', data, packed: { method: number, bytes: pack(data).subarray(0, -8) } }, { name: 'crc', data, packed: packed(data), forged: { crc: 1 } }, { name: 'last', data: plain },
      ]) });
      assert.deepEqual(story(came.entries), ['unreadable ENTRY_DAMAGED short', 'unreadable ENTRY_DAMAGED long', 'unreadable ENTRY_DAMAGED cut', 'unreadable ENTRY_CRC crc', 'instance last']);
      assert.equal(came.stayed.length, 1);
    });

    test(`${name}: of damaged data nothing comes out, and it costs no other entry`, { skip: missing }, async () => {
      let seed = number;
      const random = (below: number): number => {
        seed = Math.imul(seed, 1_103_515_245) + 12_345 >>> 0;
        return (seed >>> 8) % below;
      };
      const sources = [2, 4, 5].map((i) => ({ data: contents[i]!, bytes: pack(contents[i]!) }));
      const entries = Array.from({ length: 300 }, (_, n) => {
        const { data, bytes } = sources[n % sources.length]!;
        const broken = Buffer.from(bytes);
        // The beginning holds the headers.
        const at = random(n % 2 === 0 ? Math.min(60, broken.length) : broken.length);
        for (let i = 0; i <= random(4); i += 1) broken[Math.min(broken.length - 1, at + random(8))]! ^= 1 << random(8);
        return { name: `${n}`, data, packed: { method: number, bytes: n % 10 === 9 ? Buffer.from(Array.from({ length: 2000 }, () => random(256))) : broken } };
      });
      const came = await drop({ 'a.zip': zip([...entries, { name: 'last', data: plain }]) });
      assert.equal(came.code, undefined);
      assert.equal(came.entries.at(-1)?.kind, 'instance');
      let unreadable = 0;
      for (const { kind, code, file } of came.entries) {
        if (kind === 'unreadable') { unreadable += 1; assert.match(code ?? '', /^ENTRY_(?:CRC|DAMAGED|METHOD)$/); }
        else assert.ok(kind === 'instance' && file !== undefined, kind);
      }
      // A bit that nothing depends on leaves the content as it was, which the CRC-32 proved.
      assert.ok(unreadable > 200, `${unreadable}`);
      for (const [i, content] of came.contents.entries()) if (i < came.contents.length - 1) assert.ok(contents.some((one) => one.equals(content)));
    });
  }

  test('what is hollow is refused by its sizes, or where it comes to more than it says', { skip: METHODS['bzip2']!.missing }, async () => {
    const bomb = Buffer.alloc(100_000_000);
    const bytes = bzip2(bomb);
    const came = await drop({ 'a.zip': zip([
      { name: 'honest', data: bomb, packed: { method: 12, bytes } }, { name: 'forged', data: bomb, packed: { method: 12, bytes }, forged: { size: 1000 } }, { name: 'last', data: plain },
    ]) });
    assert.deepEqual(story(came.entries), ['unreadable LIMIT_RATIO honest', 'unreadable ENTRY_DAMAGED forged', 'instance last']);
  });

  test('a dictionary larger than any packer uses is taken for what comes out, and refused where that would be as large', { skip: METHODS['LZMA']!.missing }, async () => {
    const wide = lzma(plain);
    wide.writeUInt32LE(0xffffffff, 5);
    const huge = Buffer.concat([wide, Buffer.alloc(1 << 20)]);
    const came = await drop({ 'a.zip': zip([
      { name: 'small', data: plain, packed: { method: 14, bytes: wide } }, { name: 'huge', data: plain, packed: { method: 14, bytes: huge }, forged: { size: 100 << 20 } },
    ]) });
    assert.deepEqual(story(came.entries), ['instance small', 'unreadable ENTRY_METHOD huge']);
  });

  test('a method that is not unpacked costs the entry alone', async () => {
    const came = await drop({ 'a.zip': zip([1, 6, 98, 97, 65_535].map((method) => ({ name: `${method}`, data: plain, forged: { method } })).concat([{ name: 'last', data: plain, forged: { method: 0 } }])) });
    assert.deepEqual(story(came.entries), [1, 6, 98, 97, 65_535].map((method) => `unreadable ENTRY_METHOD ${method}`).concat(['instance last']));
  });

  test('the Deflate64 of these tests is what unzip knows by that name', { skip: unzip.includes('USE_DEFLATE64') ? false : 'no unzip that knows it' }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'exdicom-unzip-'));
    try {
      const path = join(folder, 'a.zip');
      writeFileSync(path, zip(contents.map((data, i) => ({ name: `${i}`, data, packed: { method: 9, bytes: deflate64(data) } }))));
      for (const [i, content] of contents.entries()) assert.ok(spawnSync('unzip', ['-p', path, `${i}`], { maxBuffer: 1 << 26 }).stdout.equals(content), `${i}`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
