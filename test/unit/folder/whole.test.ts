import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { seemsWhole } from '../../../nodes/engine/folder/whole';
import { instance, rar, rarVolumes, zip } from '../../support/archives';

const specs = [1, 2, 3].map((n) => ({ name: `${n}`, data: instance({ sop: `1.2.3.${n}`, pixels: Buffer.alloc(4000, n) }) }));
const thirds = (bytes: Buffer): Buffer[] => [0, 1, 2].map((n) => bytes.subarray(Math.floor(bytes.length / 3) * n, n === 2 ? undefined : Math.floor(bytes.length / 3) * (n + 1)));
const program = Buffer.concat([Buffer.from('MZ'), Buffer.alloc(3000, 1)]);
const SETS: Readonly<Record<string, ReadonlyArray<readonly [string, Buffer]>>> = {
  'x.part1.rar': rarVolumes(specs, 4500).map((bytes, n) => [`x.part${n + 1}.rar`, bytes]),
  'x.part1.exe': rarVolumes(specs, 4500).map((bytes, n) => [n === 0 ? 'x.part1.exe' : `x.part${n + 1}.rar`, n === 0 ? Buffer.concat([program, bytes]) : bytes]),
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

/** What `zip -s` makes: the end record counts the disks, and what it says of the directory is counted from the beginning of its own. */
function split(): Array<readonly [string, Buffer]> {
  const bytes = zip(specs);
  const end = bytes.length - 22;
  const directory = bytes.readUInt32LE(end + 16);
  const second = Math.floor(directory / 2);
  bytes.writeUInt16LE(2, end + 4);
  bytes.writeUInt16LE(2, end + 6);
  bytes.writeUInt32LE(0, end + 16);
  return [['x.z01', bytes.subarray(0, second)], ['x.z02', bytes.subarray(second, directory)], ['x.zip', bytes.subarray(directory)]];
}

describe('a set of volumes', () => {
  test('that ends with its .zip is waited for however many of it are there', () => {
    const volumes = split();
    const some = (...which: readonly number[]): boolean => whole(which.map((n) => volumes[n]!));
    assert.equal(some(0, 1, 2), true);
    for (const which of [[2], [0], [0, 1], [0, 2], [1, 2]]) assert.equal(some(...which), false, which.join());
  });

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

test('a program with a rar behind it is whole when the rar is', () => {
  const bytes = Buffer.concat([program, rar(specs)]);
  assert.equal(whole([['x.exe', bytes]]), true);
  for (const share of [0.5, 0.9]) assert.equal(whole([['x.exe', bytes.subarray(0, Math.floor(bytes.length * share))]]), false);
  assert.equal(whole([['x.exe', Buffer.concat([program, rarVolumes(specs, 4500)[0]!])]]), false);
  assert.equal(whole([['x.exe', program]]), true);
});

test('an archive whose place is only kept yet is not whole; what is empty under another name is', () => {
  for (const name of ['x.zip', 'X.RAR', 'x.part1.rar']) {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(100_000)]) assert.equal(whole([[name, bytes]]), false, `${name} ${bytes.length}`);
  }
  assert.equal(whole([['x', Buffer.alloc(0)]]), true);
  assert.equal(whole([['x.zip', instance()]]), true);
});
