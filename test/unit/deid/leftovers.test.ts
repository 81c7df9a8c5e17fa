import assert from 'node:assert/strict';
import { linkSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { compileProfile } from '../../../nodes/engine/deid/profile';
import { deidTasks } from '../../../nodes/engine/deid/tasks';
import { ct, KEY, part10, settings } from './data-sets';

test('what a killed process left half written costs no instance, and the result is the same', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-leftovers-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const from = join(folder, 'in.dcm');
  writeFileSync(from, part10(ct()));
  const make = async (name: string): Promise<Buffer> => {
    const to = join(folder, name);
    const outputs = await deidTasks['deid.files']({ profile: compileProfile(settings()), key: KEY, issuer: '', files: [{ n: 1, from, to }] }, { progress: () => undefined });
    assert.deepEqual(outputs.map(({ kind }) => kind), ['written']);
    const [output] = outputs;
    assert.equal(output?.kind === 'written' ? output.mtimeMs : undefined, statSync(to).mtimeMs);
    return readFileSync(to);
  };
  const undisturbed = await make('a.dcm');
  writeFileSync(join(folder, 'b.dcm'), 'half of');
  assert.deepEqual(await make('b.dcm'), undisturbed);
  assert.deepEqual(readdirSync(folder).toSorted(), ['a.dcm', 'b.dcm', 'in.dcm']);
});

test('no file makes room for itself, by whatever name it is its own result', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-leftovers-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const from = join(folder, 'in.dcm');
  writeFileSync(from, '');
  linkSync(from, join(folder, 'hard.dcm'));
  symlinkSync(from, join(folder, 'soft.dcm'));
  for (const bytes of [part10(ct()), Buffer.from('no DICOM')]) {
    writeFileSync(from, bytes);
    for (const to of [from, join(folder, '.', 'hard.dcm'), join(folder, 'soft.dcm')]) {
      const outputs = await deidTasks['deid.files']({ profile: compileProfile(settings()), key: KEY, issuer: '', files: [{ n: 1, from, to }] }, { progress: () => undefined });
      assert.deepEqual(outputs.map((output) => [output.kind, output.kind === 'quarantined' && output.code]), [['quarantined', 'DEID_UNSUPPORTED']]);
      assert.deepEqual(readFileSync(from), bytes);
      assert.deepEqual(readdirSync(folder).toSorted(), ['hard.dcm', 'in.dcm', 'soft.dcm']);
    }
  }
});
