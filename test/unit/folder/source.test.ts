import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { fingerprint } from '../../../nodes/engine/folder/candidates';
import { FolderWatcher } from '../../../nodes/engine/folder/watch';
import type { TakenAs } from '../../../nodes/engine/folder/watch';
import type { Job, JobSource, Ledger, Reason } from '../../../nodes/engine/ledger/ledger-types';
import type { JobId } from '../../../nodes/engine/model';
import { FolderSource } from '../../../nodes/folder-in/folder-source';
import { StatusLine } from '../../../nodes/runtime/status';
import { FakeNode } from '../../support/fake-node';

const { signal } = new AbortController();

interface Made {
  readonly source: FolderSource;
  readonly taken: string[];
  readonly watcher: FolderWatcher;
}

/** A ledger as far as a source uses it, with the sources that are attached to it. */
function ledgerOf(origins: Ledger['origins']): { readonly ledger: Ledger; readonly sources: JobSource[] } {
  const sources: JobSource[] = [];
  const attachSource = (source: JobSource): Disposable => {
    sources.push(source);
    return { [Symbol.dispose]: () => undefined };
  };
  return { ledger: { origins, attachSource } as unknown as Ledger, sources };
}

/** A node that watches `inbox`, with `done` and `failed` in `folder`. */
async function node(ledger: Ledger, folder: string, inbox: string, as: TakenAs): Promise<Made> {
  const taken: string[] = [];
  const source = new FolderSource({
    ledger, folder: inbox, done: join(folder, 'done'), failed: join(folder, 'failed'), deletes: false, issuer: '', status: new StatusLine(new FakeNode().asNode()), send: () => undefined,
  });
  const watcher = new FolderWatcher({ folder: inbox, interval: 60_000, subfolders: true, stable: 0, maxWait: 0, exclude: [] }, {
    whole: () => Promise.resolve(true), room: () => Promise.resolve(true), looked: () => undefined,
    take: ({ roots }) => { taken.push(...roots); return Promise.resolve(as); },
  });
  await source.start(watcher, signal);
  return { source, taken, watcher };
}

describe('two nodes that watch one folder', () => {
  it('both take a file of the same name again when its job has closed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'exdicom-source-'));
    const both: Made[] = [];
    try {
      const inbox = join(folder, 'inbox');
      await mkdir(inbox);
      const study = join(inbox, 'study.zip');
      await writeFile(study, 'x');
      const { ledger, sources } = ledgerOf(() => Promise.resolve([]));
      for (let n = 0; n < 2; n += 1) both.push(await node(ledger, folder, inbox, 'duplicate'));
      const look = async (): Promise<void> => { for (const { watcher } of both) for (let n = 0; n < 2; n += 1) await watcher.look(); };
      await look();
      const origin = { kind: 'files' as const, roots: [study], fingerprint: await fingerprint('files', [study], signal) };
      await sources[0]!.dispose({ id: 'j', name: 'folder-in 0001' } as Job, origin, 'done', {} as Reason);
      await writeFile(study, 'another');
      await look();
      assert.deepEqual(both.map(({ taken }) => taken), [[study, study], [study, study]]);
    } finally {
      for (const { source, watcher } of both) {
        source.close();
        await watcher.stop();
      }
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('the node of a folder, started while an original is moved away', () => {
  it('holds nothing for it when that has ended before the ledger has answered', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'exdicom-source-'));
    const study = join(folder, 'study.zip');
    let made: Made | undefined;
    try {
      await writeFile(study, 'x');
      const origin = { kind: 'files' as const, roots: [study], fingerprint: 'of the one before' };
      const answers = [[{ job: 'j' as JobId, origin }], []];
      const { source, taken, watcher } = made = await node(ledgerOf(() => Promise.resolve(answers.shift() ?? [])).ledger, folder, folder, 'job');
      for (let n = 0; n < 2; n += 1) await watcher.look();
      assert.deepEqual(taken, [study]);
      source.close();
    } finally {
      await made?.watcher.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('the node of a folder, replaced while an original is moved away', () => {
  it('leaves the moving to its successor, who takes a new file of that name', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'exdicom-source-'));
    try {
      const [inbox, study] = [join(folder, 'inbox'), join(folder, 'inbox', 'study')];
      await mkdir(study, { recursive: true });
      await writeFile(join(study, 'IM1'), 'x');
      const origin = { kind: 'folder' as const, roots: [study], fingerprint: await fingerprint('folder', [study], signal) };
      const { ledger, sources } = ledgerOf(() => Promise.resolve([{ job: 'j' as JobId, origin }]));
      const make = (): Promise<Made> => node(ledger, folder, inbox, 'job');
      const job = { id: 'j', name: 'folder-in 0001' } as Job;
      const reason = {} as Reason;

      const before = await make();
      before.source.close();
      const after = await make();
      // A disposal that was under way is told to stop by an error that the ledger tries again.
      await assert.rejects(sources[0]!.dispose(job, origin, 'done', reason), (error) => error instanceof ExdicomError && error.retryable);
      assert.deepEqual(await readdir(inbox), ['study']);
      await sources[1]!.dispose(job, origin, 'done', reason);
      assert.deepEqual(await readdir(join(folder, 'done', 'folder-in 0001')), ['study']);

      // One that came to its end all the same holds nothing for ever at the successor.
      const last = await make();
      await sources[1]!.dispose(job, origin, 'done', reason);
      await mkdir(study);
      await writeFile(join(study, 'IM2'), 'y');
      await last.watcher.look();
      await last.watcher.look();
      assert.deepEqual(last.taken, [study]);
      for (const { watcher } of [before, after, last]) await watcher.stop();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
