import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { Candidate } from '../../../nodes/engine/folder/candidates';
import { FolderWatcher } from '../../../nodes/engine/folder/watch';
import type { Look, WatchHandler, WatchSettings } from '../../../nodes/engine/folder/watch';

interface Bench {
  readonly folder: string;
  readonly watcher: FolderWatcher;
  /** Names of the roots of each item taken, in order. */
  readonly taken: string[][];
  readonly looks: Look[];
  readonly look: (times?: number) => Promise<void>;
}

/** A watcher that looks only when it is told to. */
async function watching(test: (bench: Bench) => Promise<void>, settings: Partial<WatchSettings> | ((folder: string) => Partial<WatchSettings>) = {}, handler: Partial<WatchHandler> = {}): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'exdicom-watch-'));
  const taken: string[][] = [];
  const looks: Look[] = [];
  const watcher = new FolderWatcher({ folder, subfolders: true, interval: 1_000_000, stable: 0, maxWait: 1_000_000, exclude: [], ...(typeof settings === 'function' ? settings(folder) : settings) }, {
    whole: async () => true,
    room: async () => true,
    take: async ({ roots }) => { taken.push(roots.map((root) => basename(root))); return 'job'; },
    looked: (look) => { looks.push(look); },
    ...handler,
  });
  try {
    await test({ folder, watcher, taken, looks, look: async (times = 2) => { for (let look = 0; look < times; look += 1) await watcher.look(); } });
  } finally {
    await watcher.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

describe('a watched folder', () => {
  it('gives a file only after two looks that agree', async () => {
    await watching(async ({ folder, taken, look }) => {
      await writeFile(join(folder, 'a.dcm'), 'one');
      await look(1);
      assert.deepEqual(taken, []);
      await appendFile(join(folder, 'a.dcm'), 'two');
      await look(1);
      assert.deepEqual(taken, []);
      await look(1);
      assert.deepEqual(taken, [['a.dcm']]);
      await look(3);
      assert.equal(taken.length, 1);
    });
  });

  it('waits as long as it is told to after the last change', async () => {
    await watching(async ({ folder, taken, look, looks }) => {
      await writeFile(join(folder, 'a.dcm'), 'one');
      await look(3);
      assert.deepEqual(taken, []);
      assert.equal(looks.at(-1)?.waiting, 1);
    }, { stable: 1_000_000 });
  });

  it('leaves unfinished transfers, dot files, links and its own folders alone', async () => {
    await watching(async ({ folder, taken, look }) => {
      for (const name of ['a.part', 'b.TMP', 'c.crdownload', '.hidden', '.x.dcm.3fJ2']) await writeFile(join(folder, name), 'x');
      await mkdir(join(folder, 'own'));
      await writeFile(join(folder, 'own', 'x'), 'x');
      await symlink('/etc/hostname', join(folder, 'link'));
      await symlink('/etc', join(folder, 'links'));
      await mkdir(join(folder, 'empty'));
      await look(3);
      assert.deepEqual(taken, []);
      await rename(join(folder, 'a.part'), join(folder, 'a.zip'));
      await look(2);
      assert.deepEqual(taken, [['a.zip']]);
    }, (folder) => ({ exclude: [join(folder, 'own')] }));
  });

  it('takes the volumes of a set together, in their order, and nothing of it before it is whole', async () => {
    let whole = false;
    await watching(async ({ folder, taken, look }) => {
      for (const name of ['s.part2.rar', 's.part10.rar', 's.part1.rar', 'other.zip']) await writeFile(join(folder, name), 'x');
      await look(3);
      assert.deepEqual(taken, [['other.zip']]);
      whole = true;
      await look(1);
      assert.deepEqual(taken.at(-1), ['s.part1.rar', 's.part2.rar', 's.part10.rar']);
    }, {}, { whole: async ({ roots }) => whole || roots.length === 1 });
  });

  it('takes what is not whole after the longest wait all the same', async () => {
    await watching(async ({ folder, taken, look }) => {
      await writeFile(join(folder, 'a.zip'), 'x');
      await look(2);
      assert.deepEqual(taken, [['a.zip']]);
    }, { maxWait: 0 }, { whole: async () => false });
  });

  it('takes a sub-folder as one job when nothing in it changes, without what is unfinished', async () => {
    const found: Candidate[] = [];
    await watching(async ({ folder, look }) => {
      await mkdir(join(folder, 'study', 'deep'), { recursive: true });
      await writeFile(join(folder, 'study', 'deep', 'IM1'), 'x');
      await look(1);
      await writeFile(join(folder, 'study', 'IM2.part'), 'x');
      await look(3);
      assert.equal(found.length, 0);
      await rename(join(folder, 'study', 'IM2.part'), join(folder, 'study', 'IM2'));
      await writeFile(join(folder, 'study', '.DS_Store'), 'x');
      await look(2);
      assert.deepEqual(found.map(({ kind, files }) => [kind, ...files.map(({ name }) => name)]), [['folder', 'IM2', 'deep/IM1']]);
    }, {}, { take: async (candidate) => { found.push(candidate); return 'job'; } });
  });

  it('says that a sub-folder cannot be read to its end, and takes no part of it', async () => {
    await watching(async ({ folder, look, looks, taken }) => {
      const level = 'x'.repeat(200);
      const chain = (levels: number): string => join(...Array<string>(levels).fill(level));
      const upper = join(folder, 'study', chain(15));
      const lower = join(folder, '.lower');
      await mkdir(upper, { recursive: true });
      await mkdir(join(lower, chain(10)), { recursive: true });
      await writeFile(join(folder, 'study', 'IM1'), 'x');
      // Together they are deeper than a path may be long.
      await rename(lower, join(upper, 'lower'));
      await writeFile(join(folder, 'good'), 'x');
      await look(3);
      assert.deepEqual(taken, [['good']]);
      assert.equal(looks.at(-1)?.error?.code, 'SOURCE_UNREADABLE');
      assert.equal(looks.at(-1)?.waiting, 1);
      await rename(join(upper, 'lower'), lower);
      await look(2);
      assert.deepEqual(taken, [['good'], ['study']]);
      assert.equal(looks.at(-1)?.error, undefined);
    });
  });

  it('leaves sub-folders alone where they are no jobs', async () => {
    await watching(async ({ folder, taken, look }) => {
      await mkdir(join(folder, 'study'));
      await writeFile(join(folder, 'study', 'IM1'), 'x');
      await look(3);
      assert.deepEqual(taken, []);
    }, { subfolders: false });
  });

  it('takes the oldest first, and no more than there is room for', async () => {
    let room = 1;
    await watching(async ({ folder, taken, look, looks }) => {
      for (const [name, time] of [['young', 3], ['old', 1], ['middle', 2]] as const) {
        await writeFile(join(folder, name), 'x');
        await utimes(join(folder, name), time, time);
      }
      await look(2);
      assert.deepEqual(looks.at(-1), { waiting: 2, full: true, tooLarge: 0 });
      room = 5;
      await look(1);
      assert.deepEqual(taken, [['old'], ['middle'], ['young']]);
    }, {}, { room: async () => { room -= 1; return room >= 0; } });
  });

  it('goes on with what there is room for where one is too large', async () => {
    const sizes: number[] = [];
    let free = 10;
    await watching(async ({ folder, look, looks }) => {
      for (const [index, [name, bytes]] of ([['large.zip', 20], ['small.zip', 5], ['other.zip', 5]] as const).entries()) {
        await writeFile(join(folder, name), Buffer.alloc(bytes));
        await utimes(join(folder, name), 1000 + index, 1000 + index);
      }
      await look(2);
      assert.deepEqual(sizes, [5, 5]);
      assert.equal(looks.at(-1)?.waiting, 1);
      free = 20;
      await look(1);
      assert.deepEqual(sizes, [5, 5, 20]);
      assert.equal(looks.at(-1)?.waiting, 0);
    }, {}, {
      take: async ({ files: [file] }) => {
        if (file === undefined || file.bytes > free) return 'no-room';
        sizes.push(file.bytes);
        return 'job';
      },
    });
  });

  it('takes what it had to leave as soon as there is room, without waiting for the next look', async () => {
    let room = 1;
    const { promise, resolve } = Promise.withResolvers<void>();
    const order: string[] = [];
    await watching(async ({ folder, look }) => {
      for (const name of ['1', '2', '3']) await writeFile(join(folder, name), 'x');
      await look(2);
      assert.equal(order.length, 1);
      room = 1;
      await promise;
      // The interval is a quarter of an hour.
      assert.deepEqual(order, ['1', '2']);
    }, {}, {
      room: async () => room > 0,
      take: async ({ roots: [root = ''] }) => {
        room -= 1;
        order.push(basename(root));
        if (order.length === 2) resolve();
        return 'job';
      },
    });
  });

  it('takes nothing twice while its job is open, and a new file of the same name afterwards', async () => {
    await watching(async ({ folder, watcher, taken, look }) => {
      const path = join(folder, 'a.zip');
      watcher.hold([path]);
      await writeFile(path, 'x');
      await look(3);
      assert.deepEqual(taken, []);
      watcher.release([path]);
      await look(2);
      assert.deepEqual(taken, [['a.zip']]);
    });
  });

  it('leaves alone what was put back, until somebody changes it or takes it away', async () => {
    let last: Candidate | undefined;
    const letGo: string[] = [];
    await watching(async ({ folder, watcher, look }) => {
      const path = join(folder, 'a.zip');
      const taken = (): Candidate | undefined => { const candidate = last; last = undefined; return candidate; };
      await writeFile(path, 'x');
      await look(2);
      const first = taken()!;
      watcher.release([path], first);
      await look(3);
      assert.deepEqual([taken(), letGo], [undefined, []]);
      await appendFile(path, 'y');
      await look(2);
      const second = taken()!;
      assert.deepEqual(letGo, [first.fingerprint]);
      watcher.release([path], second);
      await look(2);
      await rm(path);
      await look(1);
      assert.deepEqual(letGo, [first.fingerprint, second.fingerprint]);
    }, {}, { take: async (candidate) => { last = candidate; return 'job'; }, letGo: ({ fingerprint }) => { letGo.push(fingerprint); } });
  });

  it('does not take what was put back for taken away while its share is not mounted', async (test) => {
    const memory = '/dev/shm';
    const there = await stat(memory).catch(() => undefined);
    if (there === undefined || there.dev === (await stat(tmpdir())).dev) { test.skip('no second file system'); return; }
    const share = await mkdtemp(join(memory, 'exdicom-share-'));
    const letGo: string[] = [];
    const found: Candidate[] = [];
    try {
      await watching(async ({ folder, watcher, look }) => {
        const mounted = async (to: string): Promise<void> => { await rm(folder, { recursive: true, force: true }); await symlink(to, folder); };
        await mounted(share);
        await writeFile(join(share, 'a.zip'), 'x');
        await look(2);
        watcher.release([join(folder, 'a.zip')], found[0]);
        await look(1);
        const empty = await mkdtemp(join(tmpdir(), 'exdicom-unmounted-'));
        await mounted(empty);
        await look(2);
        await mounted(share);
        await look(3);
        await rm(empty, { recursive: true });
        assert.deepEqual([letGo, found.length], [[], 1]);
        await rm(join(share, 'a.zip'));
        await look(1);
        assert.equal(letGo.length, 1);
      }, {}, { take: async (candidate) => { found.push(candidate); return 'job'; }, letGo: ({ fingerprint }) => { letGo.push(fingerprint); } });
    } finally {
      await rm(share, { recursive: true, force: true });
    }
  });

  it('leaves alone what the ledger says was put back', async () => {
    let asked = 0;
    await watching(async ({ folder, look }) => {
      await writeFile(join(folder, 'a.zip'), 'x');
      await look(6);
      assert.equal(asked, 1);
      await appendFile(join(folder, 'a.zip'), 'y');
      await look(2);
      assert.equal(asked, 2);
    }, {}, { take: async () => { asked += 1; return 'put-back'; } });
  });

  it('tries again, but not at once, what could not be taken, and goes on with the rest', async () => {
    const tried: string[] = [];
    await watching(async ({ folder, look, looks }) => {
      await writeFile(join(folder, 'bad'), 'x');
      await utimes(join(folder, 'bad'), 1, 1);
      await writeFile(join(folder, 'good'), 'x');
      await look(4);
      assert.deepEqual(tried, ['bad', 'good']);
      assert.equal(looks[1]?.error?.code, 'DISK_FULL');
    }, {}, {
      take: async ({ roots }) => {
        tried.push(basename(roots[0] ?? ''));
        if (roots[0]?.endsWith('bad') === true) throw new ExdicomError('DISK_FULL');
        return 'job';
      },
    });
  });

  it('goes on with the rest where one cannot be asked whether it is whole', async () => {
    const asked: string[] = [];
    await watching(async ({ folder, look, looks, taken }) => {
      for (const [index, name] of ['gone.zip', 'locked.zip', 'good.zip'].entries()) {
        await writeFile(join(folder, name), 'x');
        await utimes(join(folder, name), index + 1, index + 1);
      }
      await look(4);
      assert.deepEqual(taken, [['good.zip']]);
      assert.deepEqual(asked, ['gone.zip', 'locked.zip', 'good.zip'], 'what failed is not tried at every look');
      assert.equal(looks[1]?.error?.code, 'SOURCE_UNREADABLE');
      assert.equal(looks[1]?.waiting, 2);
    }, {}, {
      whole: async ({ roots: [root = ''] }) => {
        asked.push(basename(root));
        if (root.endsWith('gone.zip')) throw new ExdicomError('SOURCE_GONE');
        if (root.endsWith('locked.zip')) throw new ExdicomError('SOURCE_UNREADABLE');
        return true;
      },
    });
  });

  it('says that it cannot be read, and works again when it can', async () => {
    await watching(async ({ folder, taken, look, looks }) => {
      await rm(folder, { recursive: true });
      await look(1);
      assert.equal(looks.at(-1)?.error?.code, 'SOURCE_UNREADABLE');
      await mkdir(folder);
      await writeFile(join(folder, 'a'), 'x');
      await look(2);
      assert.deepEqual(taken, [['a']]);
      assert.equal(looks.at(-1)?.error, undefined);
    });
  });

  it('stops in the middle of a look without another word', async () => {
    await watching(async ({ folder, watcher, look, looks }) => {
      await writeFile(join(folder, 'a'), 'x');
      await look(1);
      const taking = watcher.look();
      await new Promise((resolve) => { setImmediate(resolve); });
      await watcher.stop();
      await taking;
      assert.equal(looks.length, 1);
    }, {}, { take: (_candidate, signal) => new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason as Error); }); }) });
  });
});
