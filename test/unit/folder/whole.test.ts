import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { seemsWhole } from '../../../nodes/engine/folder/whole';
import { instance, rar, rarVolumes, zip } from '../../support/archives';

const specs = [1, 2, 3].map((n) => ({ name: `${n}`, data: instance({ sop: `1.2.3.${n}`, pixels: Buffer.alloc(4000, n) }) }));
const thirds = (bytes: Buffer): Buffer[] => [0, 1, 2].map((n) => bytes.subarray(Math.floor(bytes.length / 3) * n, n === 2 ? undefined : Math.floor(bytes.length / 3) * (n + 1)));
const SETS: Readonly<Record<string, ReadonlyArray<readonly [string, Buffer]>>> = {
  'x.part1.rar': rarVolumes(specs, 4500).map((bytes, n) => [`x.part${n + 1}.rar`, bytes]),
  'x.rar, x.r00': rarVolumes(specs, 4500).map((bytes, n) => [n === 0 ? 'x.rar' : `x.r0${n - 1}`, bytes]),
  'x.rar.001': thirds(rar(specs)).map((bytes, n) => [`x.rar.00${n + 1}`, bytes]),
  'x.zip.001': thirds(zip(specs)).map((bytes, n) => [`x.zip.00${n + 1}`, bytes]),
};

function whole(files: ReadonlyArray<readonly [string, Buffer]>): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-whole-'));
  try {
    for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
    return seemsWhole(files.map(([name]) => join(folder, name)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('a set of volumes', () => {
  for (const [what, volumes] of Object.entries(SETS)) {
    test(`is whole with all its volumes, and not while one is missing or half there (${what})`, () => {
      assert.equal(volumes.length, 3);
      assert.equal(whole(volumes), true);
      for (let n = 0; n < volumes.length; n += 1) {
        assert.equal(whole(volumes.filter((_, i) => i !== n)), false, `without ${volumes[n]![0]}`);
        assert.equal(whole(volumes.map(([name, bytes], i) => [name, i === n ? bytes.subarray(0, bytes.length >> 1) : bytes])), false, `half of ${volumes[n]![0]}`);
        if (n > 0) assert.equal(whole([volumes[n]!]), false, `${volumes[n]![0]} alone`);
      }
    });
  }
});

test('an archive whose place is only kept yet is not whole; what is empty under another name is', () => {
  for (const name of ['x.zip', 'X.RAR', 'x.part1.rar']) {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(100_000)]) assert.equal(whole([[name, bytes]]), false, `${name} ${bytes.length}`);
  }
  assert.equal(whole([['x', Buffer.alloc(0)]]), true);
  assert.equal(whole([['x.zip', instance()]]), true);
});
