import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { createLedger } from '../../../nodes/engine/ledger/ledger';
import type { Receipt } from '../../../nodes/engine/ledger/ledger-types';
import type { JobToken, SourceKey } from '../../../nodes/engine/model';
import { Bench, destination, TestSource, until } from './fixture';

test('after a restart every open job is sent again, in order of age, and extraction and preparation are found again', async () => {
  await using bench = await Bench.open();
  const [first, second] = [await bench.take(), await bench.take()];
  const files = await bench.extract(first, ['1.1#a', '1.2#b']);
  const made = await bench.prepare(first, files);
  await bench.restart();
  await until(() => bench.source.sent.length === 2);
  assert.deepEqual(bench.source.sent.map(({ token }) => [token.id, token.attempt]), [[first.id, 2], [second.id, 2]]);
  const again = await bench.ledger.extraction(first.id, 'settings');
  assert.deepEqual(again?.files, files);
  assert.equal(await bench.ledger.extraction(first.id, 'other settings'), undefined);
  const prepared = await bench.ledger.prepared(first.id, 'anonymize', 'v1', files);
  assert.deepEqual(prepared.files.map(({ file }) => file), made);
  assert.deepEqual((await bench.ledger.prepared(first.id, 'anonymize', 'v2', files)).files, []);
});

test('results that are no longer on disk as recorded are not handed on', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const files = await bench.extract(token, ['1.1#a', '1.2#b', '1.3#c']);
  const made = await bench.prepare(token, files);
  await rm(made[0]!.path);
  await bench.restart();
  // The same size, other bytes: only the digest can tell.
  await writeFile(made[1]!.path, 'x'.repeat(made[1]!.bytes));
  const { files: prepared } = await bench.ledger.prepared(token.id, 'anonymize', 'v1', files);
  assert.deepEqual(prepared.map(({ instance }) => instance), [3]);
  await rm(files[0]!.path);
  assert.equal(await bench.ledger.extraction(token.id, 'settings'), undefined);
});

test('a message interrupted by a deploy is sent again when the flows have started, and only then', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const visit = bench.ledger.enter(token, 'anonymize');
  visit.interrupt();
  visit.leave();
  await sleep(30);
  assert.equal(bench.source.sent.length, 0);
  bench.ledger.started();
  await until(() => bench.source.sent.length === 1);
  bench.ledger.started();
  await sleep(30);
  assert.equal(bench.source.sent.length, 1);
});

test('a job in a node is left alone by a deploy; a forgotten one is sent again, once', async () => {
  await using bench = await Bench.open({ quiet: 200 });
  const [inside, forgotten] = [await bench.take(), await bench.take()];
  bench.ledger.enter(inside, 'anonymize');
  await sleep(300);
  assert.equal(bench.source.sent.length, 0, 'nothing is sent without a deploy');
  bench.ledger.started();
  await until(() => bench.source.sent.length === 1);
  await sleep(100);
  assert.deepEqual(bench.source.sent.map(({ token }) => token.id), [forgotten.id]);
});

test('a job that was between two nodes at a deploy is left alone, and sent again when it stays silent, once', async () => {
  await using bench = await Bench.open({ quiet: 300 });
  const [silent, alive] = [await bench.take(), await bench.take()];
  bench.ledger.started();
  await sleep(100);
  assert.equal(bench.source.sent.length, 0, 'its message may be on its way');
  bench.ledger.enter(alive, 'extract').leave();
  await until(() => bench.source.sent.length === 1);
  await sleep(400);
  assert.deepEqual(bench.source.sent.map(({ token }) => token.id), [silent.id]);
});

test('a forgotten job holds no slot for ever', async () => {
  await using bench = await Bench.open({ slots: 1, quiet: 100 });
  await bench.take();
  assert.equal(await bench.ledger.room(), 'slots');
  await sleep(200);
  assert.equal(await bench.ledger.room(), 'free');
});

test('jobs whose source is gone are orphaned and untouched; a source with the same key adopts them', async () => {
  await using bench = await Bench.open({ quiet: 50 });
  const token = await bench.take();
  await bench.ledger.close();
  bench.ledger = createLedger('test-ledger', bench.settings);
  await bench.ledger.open();
  bench.ledger.started();
  await sleep(150);
  assert.deepEqual((await bench.ledger.jobs({ state: 'open' })).map(({ id }) => id), [token.id]);
  assert.deepEqual(await readdir(bench.ledger.folders.work), [String(token.id)]);
  assert.equal(await bench.ledger.room(), 'free', 'an orphan holds no slot');
  const stranger = new TestSource('folder:/elsewhere' as SourceKey);
  bench.ledger.attachSource(stranger);
  const heir = new TestSource();
  bench.ledger.attachSource(heir);
  bench.ledger.started();
  await until(() => heir.sent.length === 1);
  assert.deepEqual([heir.sent[0]?.token.id, stranger.sent], [token.id, []]);
});

test('a closed job whose source was removed waits for adoption with its work folder gone', async () => {
  await using bench = await Bench.open();
  const other = new TestSource('folder:/other' as SourceKey);
  const attached = bench.ledger.attachSource(other);
  bench.ledger.started();
  const token = await bench.take('x', { sourceKey: other.sourceKey });
  attached[Symbol.dispose]();
  await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
  await bench.ledger.finish(token, 'finish');
  await until(async () => (await readdir(bench.ledger.folders.work)).length === 0);
  assert.equal((await bench.ledger.job(token.id)).state, 'closing');
  assert.equal(bench.receipts.length, 0);
  const heir = new TestSource(other.sourceKey);
  bench.ledger.attachSource(heir);
  bench.ledger.started();
  await bench.closed(1);
  assert.equal(heir.disposed[0]?.disposition, 'done');
  assert.notEqual(heir.disposed[0].origin, undefined);
});

test('what was received has no other copy, so its files wait for its source', async () => {
  await using bench = await Bench.open();
  const key = 'dicom:11112' as SourceKey;
  const { token, folder } = await bench.ledger.receive({ sourceKey: key, kind: 'received', prefix: 'c-store-in', study: '1.2.3' });
  await writeFile(`${folder}/1.dcm`, 'dicom');
  await bench.ledger.addReceived(token.id, { path: `${folder}/1.dcm` as never, name: '1', bytes: 5, sha256: 'a'.repeat(64) as never });
  const taken = await bench.ledger.completeReceived(token.id);
  assert.equal(taken.kind, 'job');
  await bench.ledger.fail(token, new ExdicomError('NO_DICOM'));
  await until(async () => (await bench.ledger.job(token.id)).state === 'closing');
  await sleep(50);
  assert.deepEqual(await readdir(folder), ['1.dcm']);
  const heir = new TestSource(key);
  heir.onDispose = async (job) => { assert.equal((await bench.ledger.spool(job.id)).length, 1); };
  bench.ledger.attachSource(heir);
  bench.ledger.started();
  await until(() => heir.disposed.length === 1);
  await until(async () => (await readdir(bench.ledger.folders.work)).length === 0);
});

test('a receipt that no node could take is handed out at the next start, once', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const finisher = bench.ledger.attachFinisher('finish', { required: [], allowLeftOut: false }, () => undefined);
  bench.source.onDispose = async () => { finisher[Symbol.dispose](); };
  await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
  await bench.ledger.finish(token, 'finish');
  await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
  await bench.restart();
  await bench.closed(1);
  await bench.restart();
  await sleep(50);
  assert.equal(bench.receipts.length, 1);
  assert.equal(bench.receipts[0]?.job.id, token.id);
});

test('a job that has visited a finish node waits for it, or for the one that was imported in its place, and closes by its rule', async () => {
  await using bench = await Bench.open();
  const required = { required: ['pacs', 'archive'], allowLeftOut: false };
  const deliver = async (): Promise<JobToken> => {
    const token = await bench.take();
    await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
    return token;
  };
  const token = await deliver();
  bench.ledger.attachFinisher('finish:Tab/#a1', required, () => undefined)[Symbol.dispose]();
  assert.deepEqual(await bench.ledger.finish(token, 'finish:Tab/#a1'), { closed: false, waitingFor: 'finish' });
  bench.ledger.attachFinisher('finish:Other/#b2', { required: [], allowLeftOut: false }, () => assert.fail('another tab has nothing to do with it'));
  assert.equal((await bench.ledger.finish(token, 'finish:Tab/#a1')).closed, false);
  const receipts: Receipt[] = [];
  bench.ledger.attachFinisher('finish:Tab/#b1', { required: ['pacs'], allowLeftOut: false }, (receipt) => { receipts.push(receipt); });
  bench.ledger.started();
  await until(() => receipts.length === 1);
  assert.deepEqual([receipts[0]?.job.id, receipts[0]?.job.outcome], [token.id, 'complete']);
});

test('a message\'s job goes to the node that was imported in the place of its own, and to no other', async () => {
  await using bench = await Bench.open();
  const source = (key: string): TestSource => {
    const made = new TestSource(key as SourceKey);
    bench.ledger.attachSource(made);
    return made;
  };
  const own = new TestSource('message:extract/Tab/CT#a1' as SourceKey);
  const attached = bench.ledger.attachSource(own);
  const token = await bench.take(undefined, { sourceKey: own.sourceKey, kind: 'message' });
  bench.ledger.enter(token, 'extract').interrupt();
  attached[Symbol.dispose]();
  const others = [source('message:extract/Other/CT#b1'), source('message:anonymize/Tab/CT#b2')];
  bench.ledger.started();
  await sleep(50);
  assert.deepEqual([others.map(({ sent }) => sent.length), bench.ledger.status().orphaned], [[0, 0], 1]);
  const imported = source('message:extract/Tab/CT#c1');
  bench.ledger.started();
  await until(() => imported.sent.length === 1);
  assert.deepEqual([others.map(({ sent }) => sent.length), bench.ledger.status().orphaned], [[0, 0], 0]);
});

test('the profile of the first instance is the profile of the job', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  await bench.ledger.pinProfile(token.id, { name: 'basic', fingerprint: 'f1' });
  await bench.ledger.pinProfile(token.id, { name: 'basic', fingerprint: 'f1' });
  await bench.restart();
  await assert.rejects(bench.ledger.pinProfile(token.id, { name: 'basic', fingerprint: 'f2' }), { code: 'PROFILE_CHANGED' });
});

test('a key is remembered by its fingerprint', async () => {
  await using bench = await Bench.open();
  assert.equal(await bench.ledger.knowsKey('basic'), false);
  await bench.ledger.rememberKey('basic', 'f1');
  await bench.restart();
  assert.equal(await bench.ledger.knowsKey('basic'), true);
  await bench.ledger.rememberKey('basic', 'f1');
  await assert.rejects(bench.ledger.rememberKey('basic', 'f2'), { code: 'KEY_CHANGED' });
});

test('a job whose source goes while it is being sent is sent by the next one', async () => {
  await using bench = await Bench.open();
  await bench.ledger.close();
  bench.ledger = createLedger('test-ledger', bench.settings);
  await bench.ledger.open();
  const gone = new TestSource(), next = new TestSource();
  const attached = bench.ledger.attachSource(gone);
  bench.ledger.started();
  const taken = await bench.ledger.take(await bench.intake(), new AbortController().signal);
  assert.ok(taken.kind === 'job');
  bench.ledger.enter(taken.token, 'extract').interrupt();
  await sleep(20);
  bench.ledger.started();
  attached[Symbol.dispose]();
  bench.ledger.attachSource(next);
  await until(() => next.sent.length === 1);
  assert.deepEqual([gone.sent.length, next.sent[0]?.token.id], [0, taken.token.id]);
});

test('a job whose failure could not be written down is sent again after a while, without a deploy', async () => {
  await using bench = await Bench.open({ quiet: 100 });
  const token = await bench.take();
  bench.ledger.enter(token, 'extract').interrupt();
  await until(() => bench.source.sent.length === 1);
  assert.equal(bench.source.sent[0]?.token.attempt, 2);
});

test('what is missing after a deploy is sent again before it is judged as left out', async () => {
  await using bench = await Bench.open({ quiet: 200 });
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.2.3#a', '1.2.4#b']));
  await bench.deliver(token, destination('pacs'), files.slice(0, 1));
  const visit = bench.ledger.enter(token, 'finish');
  await bench.ledger.finish(token, 'finish');
  bench.ledger.started();
  visit.leave();
  await until(() => bench.source.sent.length === 1);
  await bench.deliver(token, destination('pacs'), files);
  const again = bench.ledger.enter(bench.source.sent[0]!.token, 'finish');
  await bench.ledger.finish(bench.source.sent[0]!.token, 'finish');
  again.leave();
  await bench.closed(1);
  assert.equal(bench.receipts[0]?.job.outcome, 'complete');
});
