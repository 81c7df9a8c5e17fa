import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { join } from 'node:path';
import { listenSettings } from '../../../nodes/engine/dimse/listen-settings';
import { Receiver } from '../../../nodes/engine/dimse/receive';
import { createLedger } from '../../../nodes/engine/ledger/ledger';
import type { Ledger } from '../../../nodes/engine/ledger/ledger-types';
import type { JobToken } from '../../../nodes/engine/model';
import { closePool } from '../../../nodes/engine/workers/pool';
import { CT, EXPLICIT, RawClient, dataSet, dataSetOf, namesIn, temporaryFolder, until } from '../../support/listening';

after(closePool);

const settings = (directory: string, slots: number) => ({
  directory, slots, maxParked: 100, reserve: 0, quiet: 60_000, retention: 1, quarantineRetention: 0, journal: { bytes: 10_000_000, days: 30, retention: 0 },
  policy: { delay: 60_000, factor: 2, cap: 60_000, jitter: 0, maximumAge: 3_600_000 },
});

/** A listener on a real ledger, with a source that owns what it receives. */
async function site(ledger: Ledger): Promise<{ receiver: Receiver; port: number; sent: Array<{ token: JobToken; path: string }> } & AsyncDisposable> {
  const sent: Array<{ token: JobToken; path: string }> = [];
  const receiver = new Receiver({
    ledger, settings: listenSettings({ port: 0, aet: 'EXDICOM' }), quiet: 100, prefix: 'c-store-in', send: (token, path) => { sent.push({ token, path }); },
  });
  await ledger.open();
  const attached = ledger.attachSource({ sourceKey: receiver.sourceKey, send: (token, path) => { sent.push({ token, path }); }, dispose: () => Promise.resolve() });
  ledger.started();
  const port = await receiver.start();
  return {
    receiver, port, sent,
    [Symbol.asyncDispose]: async () => {
      await receiver.stop();
      attached[Symbol.dispose]();
      await ledger.close();
    },
  };
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
