import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listenSettings } from '../../../nodes/engine/dimse/listen-settings';
import { Receiver } from '../../../nodes/engine/dimse/receive';
import { createLedger } from '../../../nodes/engine/ledger/ledger';
import type { Ledger } from '../../../nodes/engine/ledger/ledger-types';
import type { JobId, JobToken } from '../../../nodes/engine/model';
import { closePool } from '../../../nodes/engine/workers/pool';
import { CT, EXPLICIT, RawClient, dataSet, dataSetOf, namesIn, temporaryFolder, until } from '../../support/listening';

after(closePool);

const settings = (directory: string, slots: number) => ({
  directory, slots, maxParked: 100, reserve: 0, quiet: 60_000, retention: 1, quarantineRetention: 0, journal: { bytes: 10_000_000, days: 30, retention: 0 },
  policy: { delay: 60_000, factor: 2, cap: 60_000, jitter: 0, maximumAge: 3_600_000 },
});

interface Listener extends AsyncDisposable {
  readonly receiver: Receiver;
  readonly port: number;
  readonly sent: Array<{ token: JobToken; path: string }>;
}

/** What a c-store-in does: listens, and is the source of what it receives. Its AE title makes its source key. */
async function listen(ledger: Ledger, { node = 'one', aet = 'EXDICOM', quiet = 100 }: { readonly node?: string; readonly aet?: string; readonly quiet?: number } = {}): Promise<Listener> {
  const sent: Array<{ token: JobToken; path: string }> = [];
  const note = (token: JobToken, path: string): void => { sent.push({ token, path }); };
  const receiver = new Receiver({ ledger, settings: listenSettings({ port: 0, aet, checkCalledAET: false }), node, quiet, prefix: 'c-store-in', send: note });
  const port = await receiver.start();
  const attached = ledger.attachSource({ sourceKey: receiver.sourceKey, node, send: note, dispose: () => Promise.resolve() });
  ledger.started();
  return {
    receiver, port, sent,
    [Symbol.asyncDispose]: async () => {
      await receiver.stop();
      attached[Symbol.dispose]();
    },
  };
}

/** A listener on a real ledger, with a source that owns what it receives. */
async function site(ledger: Ledger): Promise<Listener> {
  await ledger.open();
  const listener = await listen(ledger);
  return {
    ...listener,
    [Symbol.asyncDispose]: async () => {
      await listener[Symbol.asyncDispose]();
      await ledger.close();
    },
  };
}

async function opened(directory: string): Promise<{ readonly ledger: Ledger } & AsyncDisposable> {
  const ledger = createLedger('received', settings(directory, 4));
  await ledger.open();
  return { ledger, [Symbol.asyncDispose]: () => ledger.close() };
}

const NEVER = 60_000;

/** A ledger in which a node has been told to listen elsewhere with a study of two instances not yet quiet. */
async function leftStudy(directory: string): Promise<{ readonly ledger: Ledger; readonly job: JobId } & AsyncDisposable> {
  const { ledger, ...ending } = await opened(directory);
  {
    await using before = await listen(ledger, { quiet: NEVER });
    assert.deepEqual(await send(before.port, ['2.25.1', '2.25.1.1'], ['2.25.1', '2.25.1.2']), [0, 0]);
  }
  const [job] = await ledger.jobs({ state: 'receiving' });
  return { ledger, job: job!.id, ...ending };
}

async function send(port: number, ...sops: ReadonlyArray<readonly [study: string, sop: string]>): Promise<Array<number | undefined>> {
  using client = new RawClient(port);
  await client.associate([[CT, EXPLICIT]]);
  const statuses: Array<number | undefined> = [];
  for (const [studyInstanceUID, sopInstanceUID] of sops) {
    client.send(client.storeRequest(sopInstanceUID), client.value(1, 2, dataSet({ sopInstanceUID, studyInstanceUID })));
    statuses.push(await client.status());
  }
  return statuses;
}

void test('a received study is a job of the ledger with every instance in its folder', async () => {
  using folder = temporaryFolder();
  const ledger = createLedger('received', settings(folder.path, 4));
  await using listener = await site(ledger);
  assert.deepEqual(await send(listener.port, ['2.25.1', '2.25.1.1'], ['2.25.1', '2.25.1.2']), [0, 0]);
  await until(() => listener.sent.length === 1);
  const [{ token, path }] = listener.sent as [{ token: JobToken; path: string }];
  assert.match(token.name, /^c-store-in \d+$/);
  assert.equal((await ledger.job(token.id)).kind, 'received');
  const spool = await ledger.spool(token.id);
  assert.deepEqual(spool.map((item) => dataSetOf(item.path)), ['2.25.1.1', '2.25.1.2'].map((sopInstanceUID) => dataSet({ sopInstanceUID, studyInstanceUID: '2.25.1' })));
  assert.deepEqual(namesIn(path).sort(), spool.map((item) => item.path.slice(path.length + 1)).sort());
});

void test('more studies than slots are all taken in, and wait for their turn', async () => {
  using folder = temporaryFolder();
  const ledger = createLedger('received', settings(folder.path, 1));
  await using listener = await site(ledger);
  assert.deepEqual(await send(listener.port, ['2.25.1', '2.25.1.1'], ['2.25.2', '2.25.2.1'], ['2.25.3', '2.25.3.1']), [0, 0, 0]);
  await until(() => listener.sent.length === 1);
  assert.equal((await ledger.receiving(listener.receiver.sourceKey)).length, 2, 'two have no slot yet');
  const visit = ledger.enter(listener.sent[0]!.token, 'extract');
  assert.deepEqual(await send(listener.port, ['2.25.4', '2.25.4.1']), [0], 'a running job keeps nobody from sending');
  visit.leave();
});

void test('what was answered with success is there after the process was killed, and becomes a job', async () => {
  using folder = temporaryFolder();
  const first = createLedger('received', settings(folder.path, 4));
  {
    await using listener = await site(first);
    assert.deepEqual(await send(listener.port, ['2.25.1', '2.25.1.1']), [0]);
    // Stopped before the study is quiet: for the ledger the same as a kill after the answer.
    await listener.receiver.stop();
    assert.deepEqual(listener.sent, []);
  }
  const second = createLedger('received', settings(folder.path, 4));
  await using listener = await site(second);
  await until(() => listener.sent.length === 1);
  const spool = await second.spool(listener.sent[0]!.token.id);
  assert.deepEqual(spool.map((item) => dataSetOf(item.path)), [dataSet({ sopInstanceUID: '2.25.1.1', studyInstanceUID: '2.25.1' })]);
  assert.deepEqual(namesIn(join(folder.path, 'work')).filter((name) => name.startsWith('incoming-')).length, 1);
});

void test('a node that listens elsewhere completes what it had begun to receive, also after a restart, and is the source of that job', async () => {
  using folder = temporaryFolder();
  {
    await using left = await leftStudy(folder.path);
    assert.equal(left.ledger.status().orphaned, 1);
  }
  await using restarted = await opened(folder.path);
  const { ledger } = restarted;
  await using elsewhere = await listen(ledger, { aet: 'ELSEWHERE' });
  await until(() => elsewhere.sent.length === 1);
  const { token } = elsewhere.sent[0]!;
  assert.equal((await ledger.spool(token.id)).length, 2);
  assert.equal(ledger.status().orphaned, 0);
  // A deploy in mid-job sends it again, through the same node.
  ledger.enter(token, 'extract').interrupt();
  ledger.started();
  await until(() => elsewhere.sent.length === 2);
  assert.equal(elsewhere.sent[1]!.token.id, token.id);
});

void test('what comes of the study to the new place joins what came to the old one', async () => {
  using folder = temporaryFolder();
  await using left = await leftStudy(folder.path);
  await using elsewhere = await listen(left.ledger, { aet: 'ELSEWHERE', quiet: 300 });
  assert.deepEqual(await send(elsewhere.port, ['2.25.1', '2.25.1.3']), [0]);
  await until(() => elsewhere.sent.length === 1);
  assert.equal(elsewhere.sent[0]!.token.id, left.job);
  assert.equal((await left.ledger.spool(left.job)).length, 3);
});

void test('another node has nothing of a study whose node is gone; a person cancels it, and its files are kept', async () => {
  using folder = temporaryFolder();
  await using left = await leftStudy(folder.path);
  const { ledger, job } = left;
  await using other = await listen(ledger, { node: 'two', aet: 'ELSEWHERE' });
  await sleep(300);
  assert.deepEqual([other.sent.length, (await ledger.job(job)).state, ledger.status().orphaned], [0, 'receiving', 1]);
  await ledger.cancel(job);
  await until(async () => (await ledger.job(job)).state === 'closed');
  assert.equal(namesIn(join(ledger.folders.failed, (await ledger.job(job)).name)).filter((name) => name.endsWith('.dcm')).length, 2);
});

void test('who listens in its place has nothing of it while its node is there, and all of it when that is gone', async () => {
  using folder = temporaryFolder();
  await using left = await leftStudy(folder.path);
  const { ledger, job } = left;
  {
    await using own = await listen(ledger, { aet: 'ELSEWHERE', quiet: NEVER });
    await using inItsPlace = await listen(ledger, { node: 'two' });
    await sleep(300);
    assert.deepEqual([own.sent.length, inItsPlace.sent.length, (await ledger.job(job)).state], [0, 0, 'receiving']);
  }
  await using inItsPlace = await listen(ledger, { node: 'two' });
  await until(() => inItsPlace.sent.length === 1);
  assert.equal(inItsPlace.sent[0]!.token.id, job);
});
