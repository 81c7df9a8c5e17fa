import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { ERRORS, ExdicomError } from '../../../nodes/engine/errors';
import { Bench, destination, notDicom, sha256, until } from './fixture';

test('a job whose instances are all verified closes as complete, once, and leaves nothing in the work folder', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('archive one');
  const files = await bench.extract(token, ['1.1#a', '1.2#b'], [{ kind: 'index', name: 'DICOMDIR', bytes: 9 }, notDicom()]);
  const made = await bench.prepare(token, files);
  await bench.deliver(token, destination('pacs'), made);
  assert.deepEqual(await bench.ledger.finish(token, 'finish'), { closed: true });
  assert.deepEqual(await bench.ledger.finish(token, 'finish'), { closed: true });
  await bench.closed(1);
  const [receipt] = bench.receipts;
  assert.equal(receipt?.job.outcome, 'complete');
  assert.equal(receipt.source.sha256, sha256('archive one'));
  assert.deepEqual(receipt.entries, { instance: 2, index: 1, 'not-dicom': 1, duplicate: 0, conflict: 0, unreadable: 0, total: 4 });
  assert.equal(receipt.destinations[0]?.verified, 2);
  assert.equal(receipt.balanced, true);
  assert.deepEqual(receipt.instances.map(({ instance, sopInstanceUID }) => [instance, sopInstanceUID]), made.map((file) => [file.instance, file.sopInstanceUID]));
  assert.deepEqual(receipt.steps.map(({ step }) => step), ['verify', 'source', 'temporary files', 'receipt']);
  assert.deepEqual(bench.source.disposed.map(({ disposition }) => disposition), ['done']);
  assert.deepEqual(await readdir(bench.ledger.folders.work), []);
  assert.deepEqual(await bench.ledger.receipt(token.id), receipt);
  await sleep(20);
  assert.equal(bench.receipts.length, 1);
  assert.throws(() => bench.ledger.enter(token, 'anonymize'), { code: 'JOB_UNKNOWN' });
  bench.ledger.enter(token, 'finish').leave();
});

test('a finish node hears whether a receipt will come to it, so that it keeps nothing of messages that are late or another node\'s', async () => {
  await using bench = await Bench.open();
  bench.ledger.attachFinisher('other', { required: [], allowLeftOut: false }, () => undefined);
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  const visit = bench.ledger.enter(token, 'anonymize');
  assert.deepEqual(await bench.ledger.finish(token, 'finish'), { closed: false, waitingFor: 'messages 1' });
  assert.deepEqual(await bench.ledger.finish(token, 'other'), { closed: false, waitingFor: 'messages 1', told: true });
  await bench.deliver(token, destination('pacs'), files);
  visit.leave();
  await bench.closed(1);
  assert.deepEqual(await bench.ledger.finish(token, 'finish'), { closed: true, told: true });
});

test('of two finish nodes that a job comes to at once, the first judges it, and has its receipt', async () => {
  await using bench = await Bench.open({ quiet: 100 }, { required: ['pacs', 'archive'], allowLeftOut: false });
  bench.ledger.attachFinisher('other', { required: [], allowLeftOut: true }, () => assert.fail('the receipt is the first one\'s'));
  const token = await bench.take();
  await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
  await Promise.all(['finish', 'other'].map((node) => bench.ledger.finish(token, node)));
  await bench.closed(1);
  assert.deepEqual([bench.receipts[0]?.job.outcome, bench.receipts[0]?.error?.code], ['failed', 'LEFT_OUT']);
});

test('finish waits for messages in other nodes and for deliveries under way', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  const elsewhere = bench.ledger.enter(token, 'anonymize');
  const here = bench.ledger.enter(token, 'finish');
  assert.deepEqual(await bench.ledger.finish(token, 'finish'), { closed: false, waitingFor: 'messages 1' });
  const pacs = destination('pacs');
  await bench.ledger.planDeliveries(token.id, pacs, files);
  elsewhere.leave();
  assert.deepEqual(await bench.ledger.finish(token, 'finish'), { closed: false, waitingFor: 'deliveries 1' });
  here.leave();
  await bench.deliver(token, pacs, files);
  await bench.closed(1);
  assert.equal(bench.receipts[0]?.job.outcome, 'complete');
});

test('finish waits for a parked job, though everything seems to be there', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
  await bench.ledger.fail(token, new ExdicomError('PEER_UNREACHABLE', { destination: 'second' }), { delay: 60_000, factor: 1, cap: 60_000, jitter: 0, maximumAge: 1e9 });
  assert.deepEqual(await bench.ledger.finish(token, 'finish'), { closed: false, waitingFor: 'parked' });
  bench.ledger.destinationUp('second');
  await until(() => bench.source.sent.length === 1);
  assert.deepEqual(await bench.ledger.finish(bench.source.sent[0]!.token, 'finish'), { closed: true });
});

test('an instance that never reached a required destination is left out, after the quiet time, and fails the job', async () => {
  await using bench = await Bench.open({ quiet: 150 });
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a', '1.2#b', '1.3#c']));
  await bench.deliver(token, destination('pacs'), files.slice(0, 2));
  assert.deepEqual(await bench.ledger.finish(token, 'finish'), { closed: false, waitingFor: 'left out 1' });
  await bench.closed(1);
  const [receipt] = bench.receipts;
  assert.equal(receipt?.job.outcome, 'failed');
  assert.equal(receipt.error?.code, 'LEFT_OUT');
  assert.equal(receipt.destinations[0]?.leftOut, 1);
  assert.equal(bench.source.disposed[0]?.disposition, 'failed');
  assert.equal(bench.source.disposed[0].reason.leftOut, 1);
});

test('what is left out by permission makes an exception, and a required destination that was never begun counts', async () => {
  await using bench = await Bench.open({ quiet: 100 }, { required: ['pacs', 'archive'], allowLeftOut: true });
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  await bench.deliver(token, destination('pacs'), files);
  await bench.ledger.finish(token, 'finish');
  await bench.closed(1);
  const [receipt] = bench.receipts;
  assert.equal(receipt?.job.outcome, 'with-exceptions');
  assert.deepEqual(receipt.destinations.map(({ label, verified, leftOut, required }) => [label, verified, leftOut, required]), [['pacs', 1, 0, true], ['archive', 0, 1, true]]);
  assert.equal(bench.source.disposed[0]?.disposition, 'failed');
});

test('an archive that nothing was delivered of is never complete', async () => {
  await using bench = await Bench.open({ quiet: 100 });
  const token = await bench.take();
  await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  await bench.ledger.finish(token, 'finish');
  await bench.closed(1);
  assert.equal(bench.receipts[0]?.error?.code, 'LEFT_OUT');
});

test('duplicates are dropped, conflicts and quarantined files are set aside with a reason, and the job has exceptions', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const files = await bench.extract(token, ['1.1#a', '1.1#a', '1.1#other', '1.2#b', '1.3#c'], [{ kind: 'unreadable', code: 'DICOM_UNREADABLE', name: 'x', bytes: 1 }]);
  assert.deepEqual(files.map(({ instance }) => instance), [1, 3, 4]);
  const work = await bench.ledger.stageFolder(token.id, 'extract');
  assert.equal(existsSync(join(work, '000002.dcm')), false);
  const made = await bench.prepare(token, files.slice(0, 2));
  await bench.ledger.recordPreparation(token.id, {
    stage: 'anonymize', settings: 'v1', profile: 'basic', files: [], quarantined: [{ instance: 4, code: 'RISK_BURNED_IN', path: files[2]!.path as never, detail: 'offset 12' }],
  });
  await bench.deliver(token, destination('pacs'), made);
  await bench.ledger.finish(token, 'finish');
  await bench.closed(1);
  const [receipt] = bench.receipts;
  assert.equal(receipt?.job.outcome, 'with-exceptions');
  assert.deepEqual(receipt.entries, { instance: 3, index: 0, 'not-dicom': 0, duplicate: 1, conflict: 1, unreadable: 1, total: 6 });
  assert.deepEqual(receipt.quarantined, [{ instance: 2, code: 'UID_CONFLICT' }, { instance: 4, code: 'RISK_BURNED_IN' }]);
  const { instances, verified, quarantined, leftOut } = receipt.destinations[0]!;
  assert.deepEqual({ instances, verified, quarantined, leftOut }, { instances: 3, verified: 2, quarantined: 1, leftOut: 0 });
  const folder = join(bench.ledger.folders.quarantine, 'folder-in-0001');
  assert.deepEqual((await readdir(folder)).toSorted(), ['000002.dcm', '000002.reason.json', '000004.dcm', '000004.reason.json']);
  assert.equal(await readFile(join(folder, '000002.dcm'), 'utf8'), '1.1#other');
  const reason = JSON.parse(await readFile(join(folder, '000004.reason.json'), 'utf8')) as Record<string, unknown>;
  const { cause, remedy } = ERRORS.RISK_BURNED_IN;
  assert.deepEqual(reason, { file: '000004.dcm', job: 'folder-in 0001', instance: 4, code: 'RISK_BURNED_IN', cause, remedy, stage: 'anonymize', at: reason['at'], detail: 'offset 12' });
  assert.equal(bench.ledger.status().quarantined, 2);
});

test('a job of which everything is in quarantine closes with exceptions when it reaches finish', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const [file] = await bench.extract(token, ['1.1#a']);
  await bench.ledger.recordPreparation(token.id, { stage: 'anonymize', settings: 'v1', profile: 'basic', files: [], quarantined: [{ instance: 1, code: 'RISK_DOCUMENT', path: file!.path as never }] });
  assert.deepEqual(await bench.ledger.finish(token, 'finish'), { closed: true });
  await bench.closed(1);
  assert.equal(bench.receipts[0]?.job.outcome, 'with-exceptions');
});

test('a refused instance is an exception, a retryable failure is not an end', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const pacs = destination('pacs');
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a', '1.2#b']));
  await bench.ledger.planDeliveries(token.id, pacs, files);
  await bench.ledger.recordDeliveries(token.id, pacs, [
    { instance: 1, state: 'failed', code: 'STORE_REFUSED', status: '0xC000' }, { instance: 2, state: 'failed', code: 'STORE_BUSY', status: '0xA700' },
  ]);
  assert.deepEqual(await bench.ledger.finish(token, 'finish'), { closed: false, waitingFor: 'deliveries 1' });
  assert.deepEqual((await bench.ledger.planDeliveries(token.id, pacs, files)).map(({ state, code }) => [state, code]), [['failed', 'STORE_REFUSED'], ['pending', 'STORE_BUSY']]);
  await bench.ledger.recordDeliveries(token.id, pacs, [{ instance: 2, state: 'verified', level: 'C-FIND', warned: true, status: '0xB000' }]);
  await bench.ledger.finish(token, 'finish');
  await bench.closed(1);
  const [receipt] = bench.receipts;
  assert.equal(receipt?.job.outcome, 'with-exceptions');
  assert.deepEqual(receipt.failed, [{ instance: 1, destination: 'pacs', code: 'STORE_REFUSED', status: '0xC000' }]);
  assert.deepEqual([receipt.destinations[0]?.warned, receipt.destinations[0]?.levels], [1, { 'C-FIND': 1 }]);
});

test('a terminal error closes the job as failed when the last message has left', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const visit = bench.ledger.enter(token, 'extract');
  assert.deepEqual(await bench.ledger.fail(token, new ExdicomError('ARCHIVE_DAMAGED')), { kind: 'terminal' });
  await sleep(400);
  assert.equal((await bench.ledger.job(token.id)).state, 'open');
  visit.leave();
  await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
  const receipt = await bench.ledger.receipt(token.id);
  assert.equal(receipt?.job.outcome, 'failed');
  assert.equal(receipt.error?.code, 'ARCHIVE_DAMAGED');
  assert.deepEqual(bench.source.disposed.map(({ disposition, reason }) => [disposition, reason.error?.code]), [['failed', 'ARCHIVE_DAMAGED']]);
});

test('a closing step that fails is tried again and done once', async () => {
  await using bench = await Bench.open();
  let tries = 0;
  bench.source.onDispose = () => {
    tries += 1;
    return Promise.reject(new ExdicomError('SOURCE_UNREADABLE'));
  };
  const token = await bench.take();
  await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
  await bench.ledger.finish(token, 'finish');
  await until(async () => tries === 1 && (await readdir(bench.ledger.folders.work)).length === 0);
  assert.equal((await bench.ledger.job(token.id)).state, 'closing');
  await bench.restart();
  await bench.closed(1);
  assert.equal(bench.source.disposed.length, 1);
  assert.equal(bench.receipts[0]?.job.outcome, 'complete');
  assert.deepEqual(bench.source.disposed[0]?.origin, (bench.source.disposed[0]?.origin));
});

test('a closing step that ends with a terminal code is recorded with it', async () => {
  await using bench = await Bench.open();
  bench.source.onDispose = () => Promise.reject(new ExdicomError('SOURCE_GONE'));
  const token = await bench.take();
  await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
  await bench.ledger.finish(token, 'finish');
  await bench.closed(1);
  assert.equal(bench.receipts[0]?.steps.find(({ step }) => step === 'source')?.code, 'SOURCE_GONE');
});

test('the last copy of what was received stays until it has been kept, whatever goes wrong', async () => {
  await using bench = await Bench.open();
  let refused = 0;
  bench.source.onDispose = async () => {
    refused += 1;
    await Promise.resolve();
    if (refused === 1) throw new Error('a file system says something that nobody knows');
  };
  const token = await bench.take('content', { kind: 'message' });
  const [item] = await bench.ledger.spool(token.id);
  const visit = bench.ledger.enter(token, 'extract');
  await bench.ledger.fail(token, new ExdicomError('ARCHIVE_DAMAGED'));
  visit.leave();
  await until(() => refused === 1);
  await sleep(100);
  assert.equal((await bench.ledger.job(token.id)).state, 'closing');
  assert.equal(await readFile(item!.path, 'utf8'), 'content');
  bench.ledger.started();
  await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
  assert.equal(bench.source.disposed.length, 1);
});
