import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { retryDelay } from '../../../nodes/engine/ledger/policy';
import { Bench, destination, until } from './fixture';

const policy = { delay: 1000, factor: 2, cap: 10_000, jitter: 0.5, maximumAge: 60_000 };

test('delays grow by the factor up to the cap, jitter shortens them, and the destination\'s wish is a minimum', () => {
  assert.deepEqual([1, 2, 3, 4, 5, 50].map((failures) => retryDelay(policy, failures, 0, 0)), [1000, 2000, 4000, 8000, 10_000, 10_000]);
  assert.equal(retryDelay(policy, 1, 0, 1), 500);
  assert.equal(retryDelay(policy, 1, 30_000, 0), 30_000);
});

test('a retryable error parks the job, which is sent again when it is due, with the next attempt', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('content', { topic: 'study' });
  const visit = bench.ledger.enter(token, 'c-store-out');
  const failure = await bench.ledger.fail(token, new ExdicomError('PEER_UNREACHABLE', { destination: 'dicom:X@h:1' }));
  assert.equal(failure.kind, 'parked');
  assert.equal((await bench.ledger.job(token.id)).state, 'parked');
  assert.equal(bench.ledger.status().parked, 1);
  await sleep(80);
  assert.equal(bench.source.sent.length, 0, 'not while another message of it is inside');
  visit.leave();
  await until(() => bench.source.sent.length === 1);
  const [sent] = bench.source.sent;
  assert.deepEqual([sent?.token.id, sent?.token.attempt, sent?.topic], [token.id, 2, 'study']);
  assert.match(sent?.path ?? '', /in\/0001$/);
  assert.equal((await bench.ledger.job(token.id)).state, 'open');
  await sleep(80);
  assert.equal(bench.source.sent.length, 1);
});

test('several failures of one attempt are one failure, and a job wakes for each destination it waits for', async () => {
  await using bench = await Bench.open({ policy: { ...policy, delay: 3_600_000, cap: 3_600_000, maximumAge: 1e9 } });
  const [first, second] = [await bench.take(), await bench.take()];
  await bench.ledger.fail(first, new ExdicomError('PEER_TIMEOUT', { destination: 'b' }));
  await bench.ledger.fail(first, new ExdicomError('PEER_TIMEOUT', { destination: 'a' }));
  await bench.ledger.fail(second, new ExdicomError('PEER_TIMEOUT', { destination: 'a' }));
  bench.ledger.destinationUp('c');
  await sleep(30);
  assert.equal(bench.source.sent.length, 0);
  bench.ledger.destinationUp('b');
  await until(() => bench.source.sent.length === 1);
  await bench.ledger.fail(first, new ExdicomError('PEER_TIMEOUT', { destination: 'a' }));
  bench.ledger.destinationUp('a');
  await until(() => bench.source.sent.length === 3);
  assert.deepEqual(bench.source.sent.map(({ token }) => token.id), [first.id, first.id, second.id]);
});

test('a parked job survives a restart and is sent when due', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  await bench.ledger.fail(token, new ExdicomError('PEER_UNREACHABLE'), { ...policy, delay: 300, jitter: 0 });
  await bench.restart();
  assert.equal((await bench.ledger.job(token.id)).state, 'parked');
  assert.equal(bench.source.sent.length, 0);
  await until(() => bench.source.sent.length === 1);
});

test('a job that failed for longer than the maximum age is given up', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const short = { ...policy, delay: 5, maximumAge: 50 };
  assert.equal((await bench.ledger.fail(token, new ExdicomError('PEER_TIMEOUT'), short)).kind, 'parked');
  await until(() => bench.source.sent.length === 1);
  await sleep(80);
  assert.equal((await bench.ledger.fail(token, new ExdicomError('PEER_TIMEOUT'), short)).kind, 'terminal');
  await until(() => bench.source.disposed.length === 1);
  assert.deepEqual(bench.source.disposed.map(({ disposition, reason }) => [disposition, reason.error?.code]), [['failed', 'GAVE_UP']]);
});

test('progress starts the count of failures anew', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a', '1.2#b']));
  const short = { ...policy, delay: 5, maximumAge: 50 };
  await bench.ledger.fail(token, new ExdicomError('PEER_TIMEOUT'), short);
  await until(() => bench.source.sent.length === 1);
  await sleep(80);
  await bench.deliver(token, destination('pacs'), files.slice(0, 1));
  assert.equal((await bench.ledger.fail(token, new ExdicomError('PEER_TIMEOUT'), short)).kind, 'parked');
});

test('a destination that says success again and again, and shows nothing, is no progress', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  const [pacs, short] = [destination('pacs'), { ...policy, delay: 5, maximumAge: 50 }];
  const attempt = async (): Promise<string> => {
    await bench.ledger.planDeliveries(token.id, pacs, files);
    await bench.ledger.recordDeliveries(token.id, pacs, [{ instance: 1, state: 'sent', status: '0x0000' }]);
    await bench.ledger.recordDeliveries(token.id, pacs, [{ instance: 1, state: 'failed', code: 'NOT_FOUND' }]);
    return (await bench.ledger.fail(token, new ExdicomError('NOT_FOUND', { destination: pacs.address }), short)).kind;
  };
  assert.equal(await attempt(), 'parked');
  await until(() => bench.source.sent.length === 1);
  await sleep(80);
  assert.equal(await attempt(), 'terminal');
});

test('a job that needs a password holds no slot, keeps its files and source, and is tried again after the next deploy', async () => {
  await using bench = await Bench.open({ slots: 1 });
  const token = await bench.take();
  assert.equal(await bench.ledger.room(), 'slots');
  assert.deepEqual(await bench.ledger.fail(token, new ExdicomError('NEEDS_PASSWORD')), { kind: 'needs-password' });
  assert.equal(await bench.ledger.room(), 'free');
  assert.equal((await bench.ledger.spool(token.id)).length, 1);
  await bench.restart();
  await until(() => bench.source.sent.length === 1);
  assert.equal(bench.source.sent[0]?.token.attempt, 2);
  assert.equal(bench.source.disposed.length, 0);
});

test('parked jobs leave their slots to others, up to the most that may be parked; due ones go before new ones', async () => {
  await using bench = await Bench.open({ slots: 1, maxParked: 2, policy: { ...policy, delay: 50, jitter: 0 } });
  const first = await bench.take();
  await bench.ledger.fail(first, new ExdicomError('PEER_TIMEOUT'));
  assert.equal(await bench.ledger.room(), 'free');
  const second = await bench.take();
  await sleep(100);
  assert.equal(bench.source.sent.length, 0, 'the only slot is taken');
  assert.equal(await bench.ledger.room(), 'slots');
  await bench.ledger.fail(second, new ExdicomError('PEER_TIMEOUT'), { ...policy, delay: 3_600_000, cap: 3_600_000 });
  await until(() => bench.source.sent.length === 1);
  assert.equal(bench.source.sent[0]?.token.id, first.id);
  assert.deepEqual(await bench.ledger.take(await bench.intake(), new AbortController().signal), { kind: 'refused', reason: 'slots' });
  await bench.ledger.fail(first, new ExdicomError('PEER_TIMEOUT'), { ...policy, delay: 3_600_000, cap: 3_600_000 });
  assert.deepEqual(await bench.ledger.take(await bench.intake(), new AbortController().signal), { kind: 'refused', reason: 'parked' });
});
