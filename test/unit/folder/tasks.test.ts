import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { folderTasks } from '../../../nodes/engine/folder/tasks';
import { seemsWhole } from '../../../nodes/engine/folder/whole';

const context = { progress: () => undefined };
const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex');

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'exdicom-folder-'));
  try {
    await test(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('copying into a destination folder', () => {
  const copy = async (folder: string, content: string, digest = sha256(content)) => {
    const from = join(folder, 'source');
    await writeFile(from, content);
    const orders = [{ instance: 1, from, to: join(folder, 'to', 'a.dcm'), otherwise: join(folder, 'to', 'a.other.dcm'), sha256: digest }];
    return folderTasks['folder.copy']({ orders, marker: 'job' }, context);
  };

  it('writes a file whole, for the owner only, and finds it there the next time', async () => {
    await inFolder(async (folder) => {
      assert.deepEqual(await copy(folder, 'content'), [{ instance: 1, ok: true }]);
      assert.deepEqual(await copy(folder, 'content'), [{ instance: 1, ok: true }]);
      assert.deepEqual(await readdir(join(folder, 'to')), ['a.dcm']);
      assert.equal(await readFile(join(folder, 'to', 'a.dcm'), 'utf8'), 'content');
    });
  });

  it('never writes over another content', async () => {
    await inFolder(async (folder) => {
      await copy(folder, 'first');
      assert.deepEqual(await copy(folder, 'second'), [{ instance: 1, ok: true }]);
      assert.equal(await readFile(join(folder, 'to', 'a.dcm'), 'utf8'), 'first');
      assert.equal(await readFile(join(folder, 'to', 'a.other.dcm'), 'utf8'), 'second');
    });
  });

  it('goes beside what is no file', async (t) => {
    await inFolder(async (folder) => {
      await mkdir(join(folder, 'to', 'a.dcm'), { recursive: true });
      assert.deepEqual(await copy(folder, 'content'), [{ instance: 1, ok: true }]);
      assert.equal(await readFile(join(folder, 'to', 'a.other.dcm'), 'utf8'), 'content');
      assert.deepEqual(await readdir(join(folder, 'to', 'a.dcm')), []);
    });
    if (process.platform === 'win32') return;
    await inFolder(async (folder) => {
      await mkdir(join(folder, 'to'));
      execFileSync('mkfifo', [join(folder, 'to', 'a.dcm')]);
      // Whoever waits for a writer holds the whole process; one that says nothing lets it go on.
      const writer = spawn('sh', ['-c', 'sleep 2; : > "$0"', join(folder, 'to', 'a.dcm')]);
      t.after(() => writer.kill());
      const started = performance.now();
      assert.deepEqual(await copy(folder, 'content'), [{ instance: 1, ok: true }]);
      assert.ok(performance.now() - started < 1_500);
      assert.equal(await readFile(join(folder, 'to', 'a.other.dcm'), 'utf8'), 'content');
    });
  });

  it('leaves nothing of a source that is not what it should be', async () => {
    await inFolder(async (folder) => {
      assert.deepEqual(await copy(folder, 'other', sha256('wanted')), [{ instance: 1, ok: false, code: 'SOURCE_CHANGED' }]);
      assert.deepEqual(await readdir(join(folder, 'to')), []);
    });
  });

  it('says of each file what happened to it', async () => {
    await inFolder(async (folder) => {
      const orders = [{ instance: 7, from: join(folder, 'gone'), to: join(folder, 'to', 'a'), otherwise: join(folder, 'to', 'b'), sha256: sha256('') }];
      assert.deepEqual(await folderTasks['folder.copy']({ orders, marker: 'job' }, context), [{ instance: 7, ok: false, code: 'STORAGE_FAILED' }]);
    });
  });
});

describe('what a flow brought along', () => {
  it('is described, or told what it is not', async () => {
    await inFolder(async (folder) => {
      await writeFile(join(folder, 'note'), 'nothing to see');
      const described = await folderTasks['folder.describe']({ paths: [join(folder, 'note'), join(folder, 'gone')] }, context);
      assert.deepEqual(described, [{ ok: false, code: 'NO_DICOM' }, { ok: false, code: 'SOURCE_UNREADABLE' }]);
    });
  });
});

describe('whether an archive is whole', () => {
  const made = join('..', 'shared', 'data', 'archives', 'made');
  const cases: ReadonlyArray<readonly [boolean, ...string[]]> = [
    [true, 'study_store.zip'], [false, 'truncated_95.zip'], [true, 'rar5_stored_dicom.rar'], [false, 'rar5_truncated.rar'],
    [false, 'rar5_missing_part2.part1.rar'], [false, 'rar4_multivol.part1.rar'], [true, 'study.tar.gz'],
  ];
  for (const [expected, ...names] of cases) {
    it(`${names.join(' and ')}: ${expected ? 'yes' : 'no'}`, (test) => {
      if (!existsSync(made)) { test.skip('no shared data'); return; }
      assert.equal(seemsWhole(names.map((name) => join(made, name))), expected);
    });
  }

  it('tells what is gone from what cannot be read', async () => {
    await inFolder(async (folder) => {
      const ask = (path: string) => () => folderTasks['folder.whole']({ paths: [path] }, context);
      assert.throws(ask(join(folder, 'gone.zip')), { code: 'SOURCE_GONE' });
      assert.throws(ask(folder), { code: 'SOURCE_UNREADABLE' });
    });
  });

  it('a set with all its volumes is, and with a gap it is not', async (test) => {
    if (!existsSync(made)) { test.skip('no shared data'); return; }
    const volumes = (await readdir(made)).filter((name) => name.startsWith('rar5_multivol.part')).toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })).map((name) => join(made, name));
    assert.ok(volumes.length > 1);
    assert.equal(seemsWhole(volumes), true);
    assert.equal(seemsWhole(volumes.filter((_volume, index) => index !== 0)), false);
    assert.equal(seemsWhole(volumes.slice(0, -1)), false);
  });
});
