import assert from 'node:assert/strict';
import { appendFile, cp, mkdir, mkdtemp, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fingerprint } from '../../../nodes/engine/folder/candidates';
import { deleteOriginals, isOriginals, keepSpool, moveOriginals, writeWhole } from '../../../nodes/engine/folder/originals';
import type { Originals } from '../../../nodes/engine/folder/originals';

const { signal } = new AbortController();

async function inFolder(test: (folder: string) => Promise<void>, parent = tmpdir()): Promise<void> {
  const folder = await mkdtemp(join(parent, 'exdicom-originals-'));
  try {
    await test(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function originals(kind: Originals['kind'], ...roots: string[]): Promise<Originals> {
  return { kind, roots, fingerprint: (await fingerprint(kind, roots, signal)) ?? '' };
}

async function volumes(folder: string): Promise<string[]> {
  const roots = ['s.part1.rar', 's.part2.rar'].map((name) => join(folder, name));
  for (const root of roots) await writeFile(root, root);
  return roots;
}

describe('originals', () => {
  it('move with their names, and again without harm', async () => {
    await inFolder(async (folder) => {
      const set = await originals('files', ...await volumes(folder));
      const done = join(folder, 'done', 'folder-in 0001');
      assert.equal(await moveOriginals(set, done, signal), 'moved');
      assert.equal(await moveOriginals(set, done, signal), 'moved');
      assert.deepEqual((await readdir(done)).toSorted(), ['s.part1.rar', 's.part2.rar']);
      assert.deepEqual(await readdir(folder), ['done']);
    });
  });

  it('follow after a crash half way', async () => {
    await inFolder(async (folder) => {
      const roots = await volumes(folder);
      const set = await originals('files', ...roots);
      const done = join(folder, 'done');
      await moveOriginals({ ...set, roots: roots.slice(0, 1), fingerprint: (await fingerprint('files', roots.slice(0, 1), signal)) ?? '' }, done, signal);
      assert.equal(await moveOriginals(set, done, signal), 'moved');
      assert.deepEqual((await readdir(done)).toSorted(), ['s.part1.rar', 's.part2.rar']);
    });
  });

  it('stay where they are when they are not what was taken in', async () => {
    await inFolder(async (folder) => {
      const study = join(folder, 'study');
      await mkdir(study);
      await writeFile(join(study, 'IM1'), 'x');
      const taken = await originals('folder', study);
      await appendFile(join(study, 'IM1'), 'y');
      assert.equal(await moveOriginals(taken, join(folder, 'done'), signal), 'changed');
      assert.equal(await deleteOriginals(taken, signal), 'changed');
      assert.equal(await readFile(join(study, 'IM1'), 'utf8'), 'xy');
    });
  });

  it('that are gone are no error', async () => {
    await inFolder(async (folder) => {
      const gone: Originals = { kind: 'files', roots: [join(folder, 'a')], fingerprint: 'x' };
      assert.equal(await moveOriginals(gone, join(folder, 'done'), signal), 'gone');
      assert.equal(await deleteOriginals(gone, signal), 'gone');
    });
  });

  it('are deleted whole, a sub-folder with all that is in it', async () => {
    await inFolder(async (folder) => {
      const study = join(folder, 'study');
      await mkdir(join(study, 'deep'), { recursive: true });
      await writeFile(join(study, 'deep', 'IM1'), 'x');
      assert.equal(await deleteOriginals(await originals('folder', study), signal), 'moved');
      assert.deepEqual(await readdir(folder), []);
    });
  });

  it('are not deleted with what nobody has read, but for what systems leave behind', async () => {
    await inFolder(async (folder) => {
      const study = join(folder, 'study');
      for (const [name, expected] of [['IM2.tmp', 'unread'], ['.IM2.dcm', 'unread'], ['.DS_Store', 'moved'], ['._IM1', 'moved']] as const) {
        await mkdir(study, { recursive: true });
        await writeFile(join(study, 'IM1'), 'x');
        await writeFile(join(study, name), 'y');
        assert.equal(await deleteOriginals(await originals('folder', study), signal), expected, name);
        assert.deepEqual(await readdir(folder), expected === 'moved' ? [] : ['study']);
        await rm(study, { recursive: true, force: true });
      }
    });
  });

  it('move across file systems, and again after a crash between copy and unlink', async (test) => {
    const memory = '/dev/shm';
    const there = await stat(memory).catch(() => undefined);
    if (there === undefined || there.dev === (await stat(tmpdir())).dev) { test.skip('no second file system'); return; }
    await inFolder(async (target) => {
      await inFolder(async (folder) => {
        const study = join(folder, 'study');
        await mkdir(join(study, 'deep'), { recursive: true });
        await writeFile(join(study, 'deep', 'IM1'), 'x');
        const taken = await originals('folder', study);
        await mkdir(join(target, 'study.part'));
        await writeFile(join(target, 'study.part', 'left by a crash'), 'x');
        assert.equal(await moveOriginals(taken, target, signal), 'moved');
        assert.equal(await readFile(join(target, 'study', 'deep', 'IM1'), 'utf8'), 'x');
        assert.deepEqual(await readdir(target), ['study']);
        assert.deepEqual(await readdir(join(target, 'study')), ['deep']);
        assert.deepEqual(await readdir(folder), []);
      });
    }, memory);
  });

  it('that a crash left half removed behind their copy are removed, not taken for something new', async () => {
    await inFolder(async (folder) => {
      const study = join(folder, 'study');
      const done = join(folder, 'done');
      await mkdir(study);
      for (const name of ['IM1', 'IM2', 'IM3']) await writeFile(join(study, name), name);
      const taken = await originals('folder', study);
      await cp(study, join(done, 'study'), { recursive: true, preserveTimestamps: true });
      await rm(join(study, 'IM1'));
      assert.equal(await moveOriginals(taken, done, signal), 'moved');
      assert.deepEqual(await readdir(folder), ['done']);
      assert.deepEqual(await readdir(done), ['study']);
    });
  });

  it('never write over what lies where they go', async () => {
    await inFolder(async (folder) => {
      const done = join(folder, 'done');
      await mkdir(done);
      await writeFile(join(done, 'a.zip'), 'of another ledger');
      await writeFile(join(folder, 'a.zip'), 'mine');
      assert.equal(await moveOriginals(await originals('files', join(folder, 'a.zip')), done, signal), 'moved');
      assert.equal(await readFile(join(done, 'a.zip'), 'utf8'), 'of another ledger');
      assert.equal(await readFile(join(done, 'a (2).zip'), 'utf8'), 'mine');
      await writeFile(join(folder, '0001'), 'spooled');
      await writeFile(join(done, '0001'), 'older');
      await keepSpool([join(folder, '0001')], done);
      assert.deepEqual((await readdir(done)).toSorted(), ['0001', '0001 (2)', 'a (2).zip', 'a.zip']);
    });
  });

  it('with names as long as names can be move across file systems and beside one of the same name', async (test) => {
    const memory = '/dev/shm';
    const there = await stat(memory).catch(() => undefined);
    if (there === undefined || there.dev === (await stat(tmpdir())).dev) { test.skip('no second file system'); return; }
    const name = `${'x'.repeat(251)}.zip`;
    await inFolder(async (target) => {
      await inFolder(async (folder) => {
        for (let n = 0; n < 2; n += 1) {
          await writeFile(join(folder, name), 'x'.repeat(n));
          assert.equal(await moveOriginals(await originals('files', join(folder, name)), target, signal), 'moved');
        }
        assert.deepEqual((await readdir(target)).toSorted(), [`${'x'.repeat(247)} (2).zip`, name]);
        assert.deepEqual(await readdir(folder), []);
      });
    }, memory);
  });

  it('moved by two at once across file systems arrive whole', async (test) => {
    const memory = '/dev/shm';
    const there = await stat(memory).catch(() => undefined);
    if (there === undefined || there.dev === (await stat(tmpdir())).dev) { test.skip('no second file system'); return; }
    await inFolder(async (target) => {
      await inFolder(async (folder) => {
        const study = join(folder, 'study');
        await mkdir(study);
        const names = Array.from({ length: 300 }, (_, n) => `IM${n}`);
        for (const name of names) await writeFile(join(study, name), Buffer.alloc(20_000, name));
        const taken = await originals('folder', study);
        const first = moveOriginals(taken, join(target, 'job'), signal);
        // A deploy while the copy is under way asks for it again.
        await sleep(30);
        const second = moveOriginals(taken, join(target, 'job'), signal);
        assert.deepEqual(await Promise.all([first, second]), ['moved', 'moved']);
        assert.deepEqual(await readdir(join(target, 'job')), ['study']);
        assert.deepEqual((await readdir(join(target, 'job', 'study'))).toSorted(), names.toSorted());
      });
    }, memory);
  });

  it('replaced while they were copied stay, and the copy goes', async (test) => {
    const memory = '/dev/shm';
    const there = await stat(memory).catch(() => undefined);
    if (there === undefined || there.dev === (await stat(tmpdir())).dev) { test.skip('no second file system'); return; }
    await inFolder(async (target) => {
      await inFolder(async (folder) => {
        const path = join(folder, 'a.zip');
        await writeFile(path, Buffer.alloc(100 << 20, 1));
        const taken = await originals('files', path);
        const move = moveOriginals(taken, join(target, 'job'), signal);
        while (!(await readdir(join(target, 'job')).catch((): string[] => [])).includes('a.zip.part')) await sleep(1);
        await writeFile(join(folder, 'next'), 'the next one');
        await rename(join(folder, 'next'), path);
        assert.equal(await move, 'changed');
        assert.equal(await readFile(path, 'utf8'), 'the next one');
        assert.deepEqual(await readdir(join(target, 'job')), []);
      });
    }, memory);
  });

  it('are recognised in what the ledger gives back, and nothing else is', () => {
    assert.ok(isOriginals({ kind: 'files', roots: ['/a'], fingerprint: 'x' }));
    for (const wrong of [undefined, null, 1, [], {}, { kind: 'files', roots: [], fingerprint: 'x' }, { kind: 'x', roots: ['/a'], fingerprint: 'x' }, { kind: 'files', roots: [1], fingerprint: 'x' }]) {
      assert.equal(isOriginals(wrong), false);
    }
  });
});

describe('what failed and has no original', () => {
  it('is kept under our names, with its reason, for the owner only', async () => {
    await inFolder(async (folder) => {
      const spool = join(folder, 'in');
      await mkdir(spool);
      for (const name of ['0001', '0002']) await writeFile(join(spool, name), name);
      const failed = join(folder, 'failed', 'c-store-in 0001');
      for (let time = 0; time < 2; time += 1) {
        await keepSpool([join(spool, '0001'), join(spool, '0002')], failed);
        await writeWhole(join(failed, 'reason.json'), '{}\n');
      }
      assert.deepEqual((await readdir(failed)).toSorted(), ['0001', '0002', 'reason.json']);
      assert.equal((await stat(failed)).mode & 0o777, 0o700);
      assert.equal((await stat(join(failed, 'reason.json'))).mode & 0o777, 0o600);
    });
  });
});
