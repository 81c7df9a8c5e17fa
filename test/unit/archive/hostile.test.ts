import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { after, describe, test } from 'node:test';
import { closePool } from '../../../nodes/engine/workers/pool';
import { instance, rar, zip } from '../../support/archives';
import { drop } from './dropping';

describe('hostile archives', () => {
  after(closePool);

  test('no spelling of a path in an entry name becomes a path', async () => {
    const target = join(tmpdir(), 'exdicom-slip');
    const up = `${'../'.repeat(30)}${relative('/', target)}`;
    const names = [
      up, up.replaceAll('/', '\\'), target, `a/${up}`, `....//....//x`, '..%2f..%2fx', 'C:\\exdicom-slip', '\\\\server\\share\\x', 'a\0../../x', '..', '.', '~/x', '-rf', '$(x)', 'a\nb', 'NUL', 'x'.repeat(4000), `${'a/'.repeat(1500)}x`, '',
    ];
    for (const archive of [zip, rar]) {
      const { entries, stayed, code } = await drop({ a: archive(names.map((name, n) => ({ name, data: instance({ sop: `1.2.3.${n}` }) }))) });
      assert.equal(code, undefined);
      assert.equal(entries.length, names.length);
      assert.ok(stayed.length >= 15);
      for (const { file } of entries) if (file !== undefined) assert.match(basename(file.path), /^\d{6}\.dcm$/);
      for (const name of stayed) assert.match(name, /^\d{6}\.dcm$/);
      assert.equal(existsSync(target), false);
    }
    rmSync(target, { recursive: true, force: true });
  });

  test('sixty thousand entries are accounted for one by one', async () => {
    const data = Buffer.from('x');
    const { entries, code } = await drop({ a: zip([...Array.from({ length: 60_000 }, (_, n) => ({ name: `${n}`, data })), { name: 'image', data: instance() }]) });
    assert.equal(code, undefined);
    assert.equal(entries.length, 60_001);
    assert.equal(entries.at(-1)?.kind, 'instance');
  });

  test('a damaged archive ends with its code, wherever the damage is', async () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = Math.imul(seed, 1_103_515_245) + 12_345 >>> 0;
      return (seed >>> 8) % below;
    };
    const files = [{ name: '1', data: instance() }, { name: '2', data: instance({ sop: '1.2.3.2', pixels: Buffer.alloc(3000) }) }, { name: 'in.zip', data: zip([{ name: '3', data: instance({ sop: '1.2.3.3' }) }]) }];
    const ends = new Set<string>();
    for (let n = 0; n < 80; n += 1) {
      const bytes = n % 2 === 0 ? zip(files.map((file) => ({ ...file, method: 'deflate' }))) : rar(files);
      for (let change = 0; change <= random(4); change += 1) {
        const at = random(3) === 0 ? bytes.length - 1 - random(200) : random(bytes.length);
        if (random(2) === 0) bytes[at] = random(256);
        else bytes.fill(random(2) * 255, at, at + 4);
      }
      // `drop` fails on whatever is no ExdicomError.
      const { code, entries } = await drop({ a: n % 8 === 7 ? bytes.subarray(0, random(bytes.length)) : bytes });
      ends.add(code ?? (entries.some(({ kind }) => kind === 'unreadable') ? 'in part' : 'whole'));
    }
    assert.ok(ends.size >= 3, [...ends].join(' '));
  });
});
