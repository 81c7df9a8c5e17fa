import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { listenSettings } from '../../../nodes/engine/dimse/listen-settings';
import { Receiver } from '../../../nodes/engine/dimse/receive';
import type { ReceiverOptions } from '../../../nodes/engine/dimse/receive';
import type { ExdicomError } from '../../../nodes/engine/errors';
import type { SourceKey } from '../../../nodes/engine/model';
import { closePool } from '../../../nodes/engine/workers/pool';
import { CT, EXPLICIT, RawClient, dataSet, dataSetOf, memoryReceivingLedger, namesIn, temporaryFolder, until } from '../../support/listening';
import type { MemoryReceivingLedger } from '../../support/listening';

after(closePool);

const QUIET = 150;

interface Receiving extends AsyncDisposable {
  readonly port: number;
  readonly ledger: MemoryReceivingLedger;
  readonly sent: string[];
  readonly errors: ExdicomError[];
  readonly receiver: Receiver;
  readonly folder: string;
}

async function receiving(more: Partial<ReceiverOptions> = {}, prepare: (ledger: MemoryReceivingLedger) => void = () => { /* nothing */ }): Promise<Receiving> {
  const folder = temporaryFolder();
  const ledger = memoryReceivingLedger(folder.path);
  prepare(ledger);
  const sent: string[] = [];
  const errors: ExdicomError[] = [];
  const receiver = new Receiver({
    ledger, settings: listenSettings({ port: 0, aet: 'EXDICOM' }), quiet: QUIET, prefix: 'c-store-in',
    send: ({ id }) => { sent.push(id); }, onError: (error) => { errors.push(error); }, ...more,
  });
  const port = await receiver.start();
  return {
    port, ledger, sent, errors, receiver, folder: folder.path,
    [Symbol.asyncDispose]: async () => {
      await receiver.stop();
      folder[Symbol.dispose]();
    },
  };
}

interface Sent { readonly sop: string; readonly study?: string; readonly dataSetSop?: string; readonly bytes?: Buffer }

/** Sends instances on an association that stays open, and answers the statuses. */
async function send(client: RawClient, ...instances: readonly Sent[]): Promise<Array<number | undefined>> {
  const statuses: Array<number | undefined> = [];
  for (const { sop, study, dataSetSop, bytes } of instances) {
    const identity = { sopInstanceUID: dataSetSop ?? sop, ...(study === undefined ? {} : { studyInstanceUID: study }) };
    client.send(client.storeRequest(sop), client.value(1, 2, bytes ?? dataSet(identity)));
    statuses.push(await client.status());
  }
  return statuses;
}

/** The same on an association of its own, released afterwards. */
async function sendAll(port: number, instances: readonly Sent[], calling = 'SENDER'): Promise<Array<number | undefined>> {
  using client = new RawClient(port);
  await client.associate([[CT, EXPLICIT]], { calling });
  const statuses = await send(client, ...instances);
  client.send(client.pdu(5, Buffer.alloc(4)));
  await client.next();
  return statuses;
}

void test('the instances of a study are one job, sent when the study has gone quiet', async () => {
  await using site = await receiving();
  assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.1' }, { sop: '1.2.3.2' }]), [0, 0]);
  assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.3' }]), [0]);
  assert.deepEqual(site.sent, []);
  await until(() => site.sent.length > 0);
  assert.equal(site.ledger.all.length, 1);
  const [job] = site.ledger.all;
  assert.equal(job!.files.length, 3);
  assert.deepEqual(job!.files.map(({ path }) => dataSetOf(path)), ['1.2.3.1', '1.2.3.2', '1.2.3.3'].map((sopInstanceUID) => dataSet({ sopInstanceUID })));
});

void test('each study, and each sender of a study, is a job of its own', async () => {
  await using site = await receiving();
  await sendAll(site.port, [{ sop: '1.2.3.1', study: '1.1' }, { sop: '1.2.3.2', study: '1.2' }, { sop: '1.2.3.3', study: '1.1' }], 'CT01');
  await sendAll(site.port, [{ sop: '1.2.3.4', study: '1.1' }], 'MR01');
  await until(() => site.sent.length === 3);
  assert.deepEqual(site.ledger.all.map(({ study, files }) => `${study}: ${files.length}`), ['1.1: 2', '1.2: 1', '1.1: 1']);
});

void test('a late instance is a new job', async () => {
  await using site = await receiving();
  await sendAll(site.port, [{ sop: '1.2.3.1' }]);
  await until(() => site.sent.length === 1);
  await sendAll(site.port, [{ sop: '1.2.3.2' }]);
  await until(() => site.sent.length === 2);
  assert.deepEqual(site.ledger.all.map(({ files }) => files.length), [1, 1]);
});

void test('a study waits while an association that brought some of it is open', async () => {
  await using site = await receiving();
  using client = new RawClient(site.port);
  await client.associate([[CT, EXPLICIT]]);
  await send(client, { sop: '1.2.3.1' });
  await pause(3 * QUIET);
  assert.deepEqual(site.sent, []);
  client.socket.destroy();
  await until(() => site.sent.length === 1);
});

void test('the same instance twice in one study is two files: the ledger judges them', async () => {
  await using site = await receiving();
  assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.1' }, { sop: '1.2.3.1' }]), [0, 0]);
  await until(() => site.sent.length === 1);
  assert.equal(new Set(site.ledger.all[0]!.files.map(({ path }) => path)).size, 2);
});

void test('a data set that is another instance than the command says is refused with A900 and not kept', async () => {
  await using site = await receiving();
  assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.1', dataSetSop: '1.2.3.2' }, { sop: '1.2.3.4' }]), [0xa900, 0]);
  assert.equal(site.ledger.all.length, 1);
  assert.deepEqual(namesIn(join(site.ledger.folders.work, namesIn(site.ledger.folders.work).find((name) => name.startsWith('incoming-')) ?? '')), []);
});

void test('a data set that cannot be read is refused with C000 and not kept', async () => {
  await using site = await receiving();
  assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.1', bytes: Buffer.alloc(5_000, 0xee) }]), [0xc000]);
  assert.equal(site.ledger.all.length, 0);
});

void test('without room senders are told A700; running jobs alone keep nobody from sending', async () => {
  await using site = await receiving();
  for (const room of ['space', 'parked', 'closed'] as const) {
    site.ledger.free = room;
    assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.1' }]), [0xa700], room);
  }
  site.ledger.free = 'slots';
  assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.1' }]), [0]);
});

void test('a study for which the ledger has no slot yet is sent as soon as it has', async () => {
  await using site = await receiving({}, (ledger) => { ledger.refusals = 1; });
  await sendAll(site.port, [{ sop: '1.2.3.1' }]);
  await until(() => site.sent.length === 1);
  assert.deepEqual(site.errors, []);
});

void test('where the ledger cannot record an instance its sender is told A700 and nothing of it stays', async () => {
  await using site = await receiving();
  site.ledger.failNext = 'DISK_FULL';
  assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.1' }, { sop: '1.2.3.2' }]), [0xa700, 0]);
  await until(() => site.sent.length === 1);
  assert.equal(namesIn(site.ledger.all[0]!.folder).length, 1);
});

void test('a study of which no instance could be recorded is no job and no error', async () => {
  await using site = await receiving();
  site.ledger.failNext = 'DISK_FULL';
  assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.1' }]), [0xa700]);
  await until(() => site.ledger.all[0]!.state === 'cancelled');
  assert.deepEqual([site.sent, site.errors], [[], []]);
});

void test('what arrives for a study that somebody cancelled meanwhile is a new job', async () => {
  await using site = await receiving();
  using client = new RawClient(site.port);
  await client.associate([[CT, EXPLICIT]]);
  await send(client, { sop: '1.2.3.1' });
  site.ledger.all[0]!.state = 'cancelled';
  assert.deepEqual(await send(client, { sop: '1.2.3.2' }, { sop: '1.2.3.3' }), [0, 0]);
  client.socket.destroy();
  await until(() => site.sent.length === 1);
  assert.deepEqual(site.ledger.all.map(({ state, files }) => `${state} ${files.length}`), ['cancelled 1', 'open 2']);
});

void test('after a restart a study that was on its way in is completed when it is quiet, with what still comes', async () => {
  const study = (ledger: MemoryReceivingLedger): void => {
    void ledger.receive({ sourceKey: 'dicom:EXDICOM@127.0.0.1:104' as SourceKey, kind: 'received', prefix: 'c-store-in', study: '1.2.3' });
  };
  await using site = await receiving({ quiet: 400 }, study);
  assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.2' }]), [0]);
  await until(() => site.sent.length === 1);
  assert.equal(site.ledger.all.length, 1);
  assert.equal(site.ledger.all[0]!.files.length, 1);
});

void test('what a process that was killed had half received is removed at the start', async () => {
  using folder = temporaryFolder();
  const ledger = memoryReceivingLedger(folder.path);
  const options: ReceiverOptions = { ledger, settings: listenSettings({ port: 0, aet: 'EXDICOM' }), quiet: QUIET, prefix: 'c-store-in', send: () => { /* none */ } };
  const first = new Receiver(options);
  await first.start();
  const incoming = join(ledger.folders.work, namesIn(ledger.folders.work)[0]!);
  writeFileSync(join(incoming, 'half.dcm'), 'half');
  const second = new Receiver(options);
  await second.start();
  assert.deepEqual(namesIn(incoming), []);
  await first.stop();
  await second.stop();
  assert.deepEqual(namesIn(ledger.folders.work), []);
});

void test('a receiver whose port another holds takes nothing of what that one has under way', async () => {
  await using site = await receiving({ quiet: 60_000 });
  await sendAll(site.port, [{ sop: '1.2.3.1' }]);
  using client = new RawClient(site.port);
  await client.associate([[CT, EXPLICIT]]);
  const bytes = dataSet({ sopInstanceUID: '1.2.3.2' });
  client.send(client.storeRequest('1.2.3.2'), client.value(1, 0, bytes.subarray(0, 40)));
  await until(() => namesIn(site.ledger.folders.work).some((name) => name.startsWith('incoming-') && namesIn(join(site.ledger.folders.work, name)).length === 1));
  const sent: string[] = [];
  const settings = { ...listenSettings({ port: site.port, aet: 'EXDICOM' }), sourceKey: site.receiver.sourceKey };
  const second = new Receiver({ ledger: site.ledger, settings, quiet: 1, prefix: 'c-store-in', send: ({ id }) => { sent.push(id); } });
  await assert.rejects(second.start(), { code: 'LISTEN_FAILED' });
  await pause(50);
  assert.equal(second.status.receiving, 0);
  assert.deepEqual(sent, []);
  client.send(client.value(1, 2, bytes.subarray(40)));
  assert.equal(await client.status(), 0);
  assert.deepEqual(site.ledger.all.map(({ files, state }) => `${state}: ${files.length}`), ['receiving: 2']);
});

void test('a receiver listens as soon as its port is free, and what keeps it is told', async () => {
  const holder = await receiving();
  using folder = temporaryFolder();
  const ledger = memoryReceivingLedger(folder.path);
  const receiver = new Receiver({ ledger, settings: listenSettings({ port: holder.port, aet: 'EXDICOM' }), quiet: QUIET, prefix: 'c-store-in', send: () => { /* none */ } });
  const told: string[] = [];
  const starting = receiver.startWhenPossible(new AbortController().signal, ({ code }) => { told.push(code); }, 20);
  await until(() => told.length > 1);
  await holder[Symbol.asyncDispose]();
  assert.equal(await starting, holder.port);
  assert.deepEqual(new Set(told), new Set(['LISTEN_FAILED']));
  assert.deepEqual(await sendAll(holder.port, [{ sop: '1.2.3.1' }]), [0]);
  await receiver.stop();
});

void test('a receiver that waits for its port ends at once with the reason of the signal', async () => {
  await using holder = await receiving();
  using folder = temporaryFolder();
  const receiver = new Receiver({
    ledger: memoryReceivingLedger(folder.path), settings: listenSettings({ port: holder.port, aet: 'EXDICOM' }), quiet: QUIET, prefix: 'c-store-in', send: () => { /* none */ },
  });
  const abort = new AbortController();
  const reason = new Error('closed');
  const starting = receiver.startWhenPossible(abort.signal, () => { abort.abort(reason); });
  await assert.rejects(starting, reason);
});

void test('an instance without a byte of a data set is not taken: what says who it is are the words of its sender alone', async () => {
  await using site = await receiving();
  assert.deepEqual(await sendAll(site.port, [{ sop: '1.2.3.1', bytes: Buffer.alloc(0) }, { sop: '1.2.3.2' }]), [0xc000, 0]);
  assert.deepEqual(site.ledger.all.map(({ files }) => files.length), [1]);
});

void test('a stop leaves a study that is not quiet as receiving, and sends nothing any more', async () => {
  await using site = await receiving();
  await sendAll(site.port, [{ sop: '1.2.3.1' }]);
  await site.receiver.stop();
  await pause(2 * QUIET);
  assert.deepEqual(site.sent, []);
  assert.equal(site.ledger.all[0]!.state, 'receiving');
});

void test('a stop does not wait for a worker that is busy with other things: what it was to look at has no answer', async () => {
  let asked = false;
  await using site = await receiving({
    identify: (_path, signal) => new Promise((_resolve, reject) => {
      asked = true;
      signal.addEventListener('abort', () => { reject(new Error('stopped')); });
    }),
  });
  using client = new RawClient(site.port);
  await client.associate([[CT, EXPLICIT]]);
  const statuses = send(client, { sop: '1.2.3.1' });
  await until(() => asked);
  const start = performance.now();
  await Promise.race([site.receiver.stop(), pause(5_000)]);
  assert.ok(performance.now() - start < 3_000);
  assert.deepEqual(await statuses, [undefined]);
  assert.deepEqual(site.ledger.all, []);
});
