import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isVolumeName, lacksVolume, volumeSets } from '../../../nodes/engine/archive/volumes';
import { isWhole } from '../../../nodes/engine/archive/whole';
import { instance, rar, rarVolumes, zip } from '../../support/archives';

const sets = (...names: string[]): readonly string[] => volumeSets(names).map((set) => set.map((index) => names[index]).join(' '));

describe('volumes', () => {
  test('the volumes of a set are one set, in their order', () => {
    assert.deepEqual(sets('a.part2.rar', 'a.part10.rar', 'a.part1.rar'), ['a.part1.rar a.part2.rar a.part10.rar']);
    assert.deepEqual(sets('a.r01', 'a.rar', 'a.r00', 'a.s00', 'a.r99'), ['a.rar a.r00 a.r01 a.r99 a.s00']);
    assert.deepEqual(sets('a.zip', 'a.z02', 'a.z01'), ['a.z01 a.z02 a.zip']);
    assert.deepEqual(sets('a.zip.002', 'a.zip.001', 'b.7z.001', 'b.7z.002'), ['a.zip.001 a.zip.002', 'b.7z.001 b.7z.002']);
    assert.deepEqual(sets('sfx.part1.exe', 'sfx.part2.rar'), ['sfx.part1.exe sfx.part2.rar']);
    assert.deepEqual(sets('A.PART1.RAR', 'a.part2.rar'), ['A.PART1.RAR a.part2.rar']);
  });

  test('what only looks alike stays apart', () => {
    assert.deepEqual(sets('IM.001', 'IM.002', 'a.dcm', 'a.zip', 'b.zip', 'a.rar', 'dir/a.rar'), ['IM.001', 'IM.002', 'a.dcm', 'a.zip', 'b.zip', 'a.rar', 'dir/a.rar']);
    assert.deepEqual(sets('a.zip', 'A.ZIP'), ['a.zip', 'A.ZIP']);
    assert.deepEqual(['a.part1.rar', 'a.r00', 'a.z01', 'a.zip.001', 'a.zip', 'a.rar', 'IM.001'].map(isVolumeName), [true, true, true, true, false, false, false]);
  });

  test('names tell that a volume is missing, but for the last of most sets', () => {
    for (const whole of ['a.zip', 'a.rar', 'a.part1.rar a.part2.rar', 'a.part01.exe a.part02.rar', 'a.rar a.r00 a.r01', 'a.z01 a.z02 a.zip', 'a.zip.001 a.zip.002', 'a.zip.000 a.zip.001', 'a.7z.001', 'IM.002', 'a.dcm']) {
      assert.ok(!lacksVolume(whole.split(' ')), whole);
    }
    for (const lacking of ['a.part2.rar', 'a.part1.rar a.part3.rar', 'a.r00', 'a.rar a.r01', 'a.z01', 'a.z02', 'a.z01 a.z02', 'a.z02 a.zip', 'a.z01 a.z03 a.zip', 'a.zip.002', 'a.rar.001 a.rar.003']) {
      assert.ok(lacksVolume(lacking.split(' ')), lacking);
    }
  });

  test('a copy under way is not whole', () => {
    const folder = mkdtempSync(join(tmpdir(), 'exdicom-whole-'));
    const data = instance();
    const put = (name: string, content: Buffer): string => { writeFileSync(join(folder, name), content); return join(folder, name); };
    try {
      for (const archive of [zip([{ name: '1', data }]), rar([{ name: '1', data }])]) {
        assert.ok(isWhole([put('a', archive)]));
        for (const share of [0.2, 0.9]) assert.ok(!isWhole([put('a', archive.subarray(0, Math.floor(archive.length * share)))]), `${share}`);
        assert.ok(!isWhole([put('a', archive.subarray(0, -1))]));
      }
      assert.ok(isWhole([put('a', data)]));
      assert.ok(isWhole([put('a', Buffer.alloc(0))]));
      const volumes = rarVolumes([{ name: '1', data }, { name: '2', data }], 500).map((volume, i) => put(`s.part${i + 1}.rar`, volume));
      assert.ok(isWhole(volumes));
      assert.ok(isWhole(volumes.slice(0, 1)), 'a missing volume is another matter');
      put('s.part1.rar', Buffer.from('526172211a07010000', 'hex'));
      assert.ok(!isWhole(volumes));
      const archive = zip([{ name: '1', data }]);
      assert.ok(isWhole([put('z.zip.001', archive.subarray(0, 300)), put('z.zip.002', archive.subarray(300))]));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
