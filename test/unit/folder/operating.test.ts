import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFile, chmod, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { FolderWatcher } from '../../../nodes/engine/folder/watch';
import type { JobToken, SourceKey } from '../../../nodes/engine/model';
import { FolderSource } from '../../../nodes/folder-in/folder-source';
import { StatusLine } from '../../../nodes/runtime/status';
import { FakeNode } from '../../support/fake-node';
import { mountMissing } from '../../support/small-disk';
import { Bench, destination, until } from '../ledger/fixture';

/** A watched folder on a real ledger, looking only when told to. */
class Inbox {
  readonly sent: JobToken[] = [];
  readonly inbox: string;
  watcher!: FolderWatcher;
  #source: FolderSource | undefined;

  constructor(readonly bench: Bench) {
    this.inbox = join(bench.folder, 'inbox');
  }

  static async open(bench: Bench): Promise<Inbox> {
    const inbox = new Inbox(bench);
    await mkdir(inbox.inbox);
    await inbox.start();
    return inbox;
  }

  get key(): SourceKey {
    return `folder:${this.inbox}` as SourceKey;
  }

  async start(): Promise<void> {
    const { ledger } = this.bench;
    const { done, failed } = ledger.folders;
    const source = this.#source = new FolderSource({
      ledger, folder: this.inbox, done, failed, deletes: false, issuer: 'H', status: new StatusLine(new FakeNode().asNode()), send: (token) => { this.sent.push(token); },
    });
    this.watcher = new FolderWatcher({ folder: this.inbox, interval: 1e6, subfolders: true, stable: 0, maxWait: 0, exclude: [] }, {
      whole: () => Promise.resolve(true), room: source.room, take: source.take, letGo: source.letGo, looked: () => undefined,
    });
    await source.start(this.watcher, new AbortController().signal);
    ledger.started();
  }

  async restart(): Promise<void> {
    this.#source?.close();
    await this.watcher.stop();
    await this.bench.restart();
    await this.start();
  }

  async look(): Promise<void> {
    for (let times = 0; times < 3; times += 1) await this.watcher.look();
  }

  /** The job of a file that is dropped in. */
  async take(name: string, content: string): Promise<JobToken> {
    await writeFile(join(this.inbox, name), content);
    await this.look();
    return this.next();
  }

  /** The next job that is sent. */
  async next(): Promise<JobToken> {
    await until(() => this.sent.length > 0);
    return this.sent.shift()!;
  }

  closed({ id }: Pick<JobToken, 'id'>): Promise<void> {
    return until(async () => (await this.bench.ledger.job(id)).state === 'closed');
  }

  async complete(token: JobToken): Promise<void> {
    const { bench } = this;
    assert.equal(await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a']))), 1);
    await bench.ledger.finish(token, 'finish');
    await this.closed(token);
  }
}

const names = async (folder: string): Promise<string[]> => (await readdir(folder, { recursive: true })).toSorted();

describe('a watched folder, operated by a person', () => {
  it('leaves the archive of a cancelled job where it is, also after a restart, until it is changed', async () => {
    await using bench = await Bench.open();
    const inbox = await Inbox.open(bench);
    const token = await inbox.take('a.zip', 'one');
    await bench.ledger.cancel(token.id, 'X');
    await inbox.closed(token);
    await inbox.look();
    await inbox.restart();
    await inbox.look();
    assert.deepEqual([await names(inbox.inbox), inbox.sent.length], [['a.zip'], 0]);
    await appendFile(join(inbox.inbox, 'a.zip'), 'two');
    await inbox.look();
    assert.notEqual((await inbox.next()).id, token.id);
    await inbox.watcher.stop();
  });

  it('takes the archive of a cancelled job that was taken away and is brought again', async () => {
    await using bench = await Bench.open();
    const inbox = await Inbox.open(bench);
    const path = join(inbox.inbox, 'a.zip');
    const away = join(bench.folder, 'a.zip');
    await writeFile(path, 'one');
    await inbox.look();
    const token = await inbox.next();
    await bench.ledger.cancel(token.id);
    await inbox.closed(token);
    await inbox.look();
    await rename(path, away);
    await inbox.look();
    await rename(away, path);
    await inbox.look();
    await inbox.next();
    await inbox.watcher.stop();
  });

  it('takes the archive of a cancelled job in again when it is sent again, also after a restart, and then it ends in done', async () => {
    await using bench = await Bench.open();
    const inbox = await Inbox.open(bench);
    for (const name of ['a.zip', 'b.zip']) await writeFile(join(inbox.inbox, name), name);
    await inbox.look();
    const [first, other] = [await inbox.next(), await inbox.next()];
    await bench.ledger.cancel(first.id);
    await bench.ledger.cancel(other.id);
    await inbox.closed(first);
    await inbox.closed(other);
    await inbox.restart();
    const made = await bench.ledger.sendAgain(first.id);
    assert.equal(made.issuer, 'H');
    const token = await inbox.next();
    assert.equal(await readFile((await bench.ledger.spool(token.id))[0]!.path, 'utf8'), 'a.zip');
    await inbox.look();
    assert.equal(inbox.sent.length, 0, 'it is a job already');
    await inbox.complete(token);
    assert.deepEqual(await names(inbox.inbox), ['b.zip']);
    assert.deepEqual(await names(join(bench.ledger.folders.done, made.name)), ['a.zip']);
    await inbox.watcher.stop();
  });

  for (const [what, make] of [
    ['a set of volumes', async (folder: string) => { for (const n of [1, 2]) await writeFile(join(folder, `s.part${n}.rar`), `${n}`); }],
    ['a sub-folder', async (folder: string) => { await mkdir(join(folder, 'study', 'deep'), { recursive: true }); await writeFile(join(folder, 'study', 'deep', 'IM1'), 'x'); await writeFile(join(folder, 'study', 'IM2'), 'y'); }],
  ] as const) {
    it(`sends ${what} again from done, and from failed, with its names and its order`, async () => {
      await using bench = await Bench.open();
      const inbox = await Inbox.open(bench);
      const { done, failed } = bench.ledger.folders;
      await make(inbox.inbox);
      const originals = await names(inbox.inbox);
      await inbox.look();
      const first = await inbox.next();
      const spooled = (await bench.ledger.spool(first.id)).map(({ name }) => name);
      await inbox.complete(first);
      assert.deepEqual(await names(done), [first.name, ...originals.map((name) => join(first.name, name))]);

      const second = await bench.ledger.sendAgain(first.id);
      const token = await inbox.next();
      assert.deepEqual((await bench.ledger.spool(token.id)).map(({ name }) => name), spooled);
      await bench.ledger.fail(token, new ExdicomError('ARCHIVE_DAMAGED'));
      await inbox.closed(token);
      assert.deepEqual(await names(done), [], 'nothing is left of the folder of the job before');
      assert.deepEqual(await names(join(failed, second.name)), [...originals, 'reason.json'].toSorted());

      await inbox.restart();
      const third = await bench.ledger.sendAgain(second.id);
      await bench.ledger.cancel(third.id);
      await inbox.closed(third);
      assert.deepEqual(await names(join(failed, second.name)), [...originals, 'reason.json'].toSorted(), 'put back where it was');
      await assert.rejects(bench.ledger.sendAgain(first.id), { code: 'SOURCE_GONE' });
      inbox.sent.length = 0;
      const fourth = await bench.ledger.sendAgain(third.id);
      await inbox.complete(await inbox.next());
      assert.deepEqual(await names(join(done, fourth.name)), originals);
      assert.deepEqual(await names(join(failed, second.name)), ['reason.json']);
      await inbox.watcher.stop();
    });
  }

  for (const [what, make, originals, reason] of [
    ['a file', async (path: string) => writeFile(path, 'theirs'), ['reason.json'], 'reason.exdicom.json'],
    ['a folder', async (path: string) => { await mkdir(path); await writeFile(join(path, 'IM1'), 'theirs'); }, ['Reason.exdicom.JSON', 'Reason.exdicom.JSON/IM1'], 'reason.exdicom.exdicom.json'],
  ] as const) {
    it(`never writes a reason over an original that has its name, as ${what}, and finds it again from failed and from done`, async () => {
      await using bench = await Bench.open();
      const inbox = await Inbox.open(bench);
      const { done, failed } = bench.ledger.folders;
      await make(join(inbox.inbox, originals[0]));
      await inbox.look();
      const first = await inbox.next();
      await bench.ledger.fail(first, new ExdicomError('ARCHIVE_DAMAGED'));
      await inbox.closed(first);
      assert.deepEqual(await names(join(failed, first.name)), [...originals, reason].toSorted());
      assert.equal(await readFile(join(failed, first.name, originals.at(-1)!), 'utf8'), 'theirs');

      const second = await bench.ledger.sendAgain(first.id);
      await inbox.complete(await inbox.next());
      assert.deepEqual(await names(join(done, second.name)), originals);
      await assert.rejects(bench.ledger.sendAgain(first.id), { code: 'SOURCE_GONE' }, 'what is left there is our reason');
      await bench.ledger.sendAgain(second.id);
      assert.equal(await readFile((await bench.ledger.spool((await inbox.next()).id))[0]!.path, 'utf8'), 'theirs');
      await inbox.watcher.stop();
    });
  }

  it('says that the original is gone where somebody took it away or changed it before it could be moved', async () => {
    await using bench = await Bench.open();
    const inbox = await Inbox.open(bench);
    const token = await inbox.take('a.zip', 'one');
    await inbox.complete(token);
    await rm(join(bench.ledger.folders.done, token.name, 'a.zip'));
    await assert.rejects(bench.ledger.sendAgain(token.id), { code: 'SOURCE_GONE' });
    await inbox.watcher.stop();
  });

  for (const what of ['a file', 'a folder'] as const) {
    it(`moves ${what} that another of its size and time has replaced nowhere, and takes that one in`, async () => {
      await using bench = await Bench.open();
      const inbox = await Inbox.open(bench);
      const path = what === 'a file' ? join(inbox.inbox, 'a.zip') : join(inbox.inbox, 'study', 'IM1');
      const place = async (content: string): Promise<void> => {
        await mkdir(join(path, '..'), { recursive: true });
        await writeFile(`${path}.part`, content);
        await utimes(`${path}.part`, 1000, 1000);
        await rename(`${path}.part`, path);
      };
      await place('one');
      await inbox.look();
      const token = await inbox.next();
      await place('two');
      await inbox.complete(token);
      assert.equal(await readFile(path, 'utf8'), 'two');
      assert.deepEqual(await readdir(bench.ledger.folders.done), []);
      await inbox.look();
      assert.equal(await readFile((await bench.ledger.spool((await inbox.next()).id))[0]!.path, 'utf8'), 'two');
      await inbox.watcher.stop();
    });
  }

  it('takes a new file of the name of one that was moved away, also where its job could not end before a restart', { skip: mountMissing() }, async () => {
    await using bench = await Bench.open();
    const inbox = await Inbox.open(bench);
    const token = await inbox.take('a.zip', 'one');
    const files = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
    // Temporary files that cannot be removed for a while.
    const busy = await bench.ledger.stageFolder(token.id, 'busy');
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', busy]);
    try {
      await bench.deliver(token, destination('pacs'), files);
      await bench.ledger.finish(token, 'finish');
      await until(async () => (await names(bench.ledger.folders.done)).length === 2);
      await inbox.restart();
      await writeFile(join(inbox.inbox, 'a.zip'), 'two');
      await inbox.look();
      assert.equal(await readFile((await bench.ledger.spool((await inbox.next()).id))[0]!.path, 'utf8'), 'two');
    } finally {
      execFileSync('umount', [busy]);
      await inbox.watcher.stop();
    }
  });

  it('moves an original that was only touched', async () => {
    await using bench = await Bench.open();
    const inbox = await Inbox.open(bench);
    const token = await inbox.take('a.zip', 'one');
    await chmod(join(inbox.inbox, 'a.zip'), 0o600);
    await inbox.complete(token);
    assert.deepEqual(await names(bench.ledger.folders.done), [token.name, join(token.name, 'a.zip')]);
    await inbox.watcher.stop();
  });

  it('takes nothing while it is held, and everything when it is resumed', async () => {
    await using bench = await Bench.open();
    const inbox = await Inbox.open(bench);
    await bench.ledger.hold({ source: inbox.key }, 'pause');
    await writeFile(join(inbox.inbox, 'a.zip'), 'one');
    await inbox.look();
    await inbox.restart();
    await inbox.look();
    assert.equal(inbox.sent.length, 0);
    await bench.ledger.resume({ source: inbox.key });
    await inbox.look();
    await inbox.next();
    await inbox.watcher.stop();
  });
});
