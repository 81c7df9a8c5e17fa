import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { JobToken, SourceKey } from '../../../nodes/engine/model';
import { Bench, destination, KEY, TestSource, until } from './fixture';

const LATER = { delay: 3_600_000, factor: 1, cap: 3_600_000, jitter: 0, maximumAge: 1e9 };
const never = new AbortController().signal;

test('a parked job is due now, one or all of a destination, by its address or its label', async () => {
  await using bench = await Bench.open();
  const pacs = { ...destination('pacs'), label: 'PACS of the clinic' };
  const tokens: JobToken[] = [];
  for (const n of [1, 2, 3, 4]) {
    const token = await bench.take(`content ${n}`);
    if (n < 4) await bench.ledger.planDeliveries(token.id, pacs, await bench.prepare(token, await bench.extract(token, [`1.${n}#a`])));
    await bench.ledger.fail(token, new ExdicomError('PEER_UNREACHABLE', { destination: n < 4 ? pacs.address : 'folder:/elsewhere' }), LATER);
    tokens.push(token);
  }
  assert.equal(await bench.ledger.retryNow(tokens[1]!.id, 'Wu'), 1);
  await until(() => bench.source.sent.length === 1);
  assert.equal(bench.source.sent[0]!.token.id, tokens[1]!.id);
  await assert.rejects(bench.ledger.retryNow(tokens[1]!.id), { code: 'JOB_STATE', detail: 'it is open' });
  assert.equal(await bench.ledger.retryNow({ destination: pacs.label }, 'Wu'), 2);
  await until(() => bench.source.sent.length === 3);
  assert.equal(await bench.ledger.retryNow({ destination: 'folder:/elsewhere' }), 1);
  await until(() => bench.source.sent.length === 4);
  assert.equal(await bench.ledger.retryNow({ destination: 'nobody' }), 0);
  assert.deepEqual((await bench.ledger.details(tokens[0]!.id)).events.filter(({ who }) => who !== undefined).map(({ event, who }) => [event, who]), [['retry now', 'Wu']]);
});

test('a try that a person asked for is made after a restart too', async () => {
  await using bench = await Bench.open({ slots: 1 });
  const parked = await bench.take('one');
  await bench.ledger.fail(parked, new ExdicomError('PEER_UNREACHABLE', { destination: 'x' }), LATER);
  const busy = await bench.take('two');
  bench.ledger.enter(busy, 'extract');
  await bench.ledger.retryNow(parked.id);
  await sleep(40);
  assert.equal(bench.source.sent.length, 0);
  await bench.restart();
  await until(() => bench.source.sent.some(({ token }) => token.id === parked.id));
});

test('a password given by hand lets its job go on, is known to no file, error or answer, and is forgotten with the job', async () => {
  await using bench = await Bench.open();
  const secret = 'pa55-CANARY-\u5bc6';
  const token = await bench.take('locked');
  await bench.ledger.fail(token, new ExdicomError('NEEDS_PASSWORD'));
  assert.deepEqual(bench.ledger.passwords(token.id), []);
  await bench.ledger.password(token.id, secret, 'Ho');
  await until(() => bench.source.sent.length === 1);
  assert.deepEqual(bench.ledger.passwords(token.id), [secret]);
  // A second one, while the job is on its way, stands before the first.
  await bench.ledger.password(token.id, 'second');
  assert.deepEqual(bench.ledger.passwords(token.id), ['second', secret]);
  const told = JSON.stringify([await bench.ledger.details(token.id), await bench.ledger.jobs(), await bench.ledger.counts(), bench.ledger.status()]);
  await bench.ledger.fail(token, new ExdicomError('ARCHIVE_DAMAGED'));
  await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
  assert.deepEqual(bench.ledger.passwords(token.id), []);
  assert.deepEqual((await bench.ledger.receipt(token.id))?.acts.map(({ event, who }) => [event, who]), [['password given', 'Ho'], ['password given', 'jobs node']]);
  assert.ok(!(told + JSON.stringify(await bench.ledger.receipt(token.id))).includes('CANARY'));
  await assert.rejects(bench.ledger.password(token.id, secret), (error: ExdicomError) => error.code === 'JOB_STATE' && !error.message.includes('CANARY'));
  await assert.rejects(bench.ledger.password('x' as JobToken['id'], secret), (error: ExdicomError) => error.code === 'JOB_UNKNOWN' && !error.message.includes('CANARY'));
  for (const entry of await readdir(bench.folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) assert.ok(!(await readFile(`${entry.parentPath}/${entry.name}`)).includes('CANARY'), entry.name);
  }
});

test('a password that comes while the job is being unpacked without it costs no second asking', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('locked');
  const visit = bench.ledger.enter(token, 'extract');
  await bench.ledger.password(token.id, 'secret');
  await bench.ledger.fail(token, new ExdicomError('NEEDS_PASSWORD'));
  visit.leave();
  await until(() => bench.source.sent.length === 1);
  // It did not fit: now the job waits.
  await bench.ledger.fail(bench.source.sent[0]!.token, new ExdicomError('NEEDS_PASSWORD'));
  await sleep(60);
  assert.equal(bench.source.sent.length, 1);
  assert.equal((await bench.ledger.job(token.id)).state, 'needs-password');
});

test('a password is in memory only: after a restart the job waits for it again', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('locked');
  await bench.ledger.password(token.id, 'secret');
  await bench.restart();
  assert.deepEqual(bench.ledger.passwords(token.id), []);
});

test('a paused source takes nothing in and its jobs are not sent again, also after a restart, until it is resumed', async () => {
  await using bench = await Bench.open();
  const other = 'folder:/other' as SourceKey;
  const parked = await bench.take('one');
  await bench.ledger.fail(parked, new ExdicomError('PEER_UNREACHABLE', { destination: 'x' }));
  await bench.ledger.hold({ source: KEY }, 'pause', 'Tsai');
  assert.deepEqual([bench.ledger.held({ source: KEY }), bench.ledger.held({ source: other })], ['pause', undefined]);
  assert.deepEqual([await bench.ledger.room(KEY), await bench.ledger.room(other), await bench.ledger.room()], ['held', 'free', 'free']);
  assert.deepEqual(await bench.ledger.take(await bench.intake('two'), never), { kind: 'refused', reason: 'held' });
  await assert.rejects(bench.ledger.receive({ sourceKey: KEY, kind: 'received', prefix: 'c-store-in', study: '1' }), { code: 'INTAKE_CLOSED', detail: 'held' });
  assert.equal((await bench.ledger.take(await bench.intake('three', { sourceKey: other }), never)).kind, 'job', 'another source goes on');
  await sleep(60);
  await bench.restart();
  await sleep(60);
  assert.equal(bench.source.sent.length, 0);
  const [hold] = await bench.ledger.holds();
  assert.deepEqual([hold?.target, hold?.mode, hold?.who, (await bench.ledger.counts()).holds.length], [{ source: KEY }, 'pause', 'Tsai', 1]);
  await bench.ledger.resume({ source: KEY }, 'Tsai');
  await until(() => bench.source.sent.length === 1);
  assert.equal(bench.source.sent[0]!.token.id, parked.id);
  assert.deepEqual([await bench.ledger.holds(), await bench.ledger.room(KEY)], [[], 'free']);
});

test('a source that drains takes nothing new, and what is in goes on to its end', async () => {
  await using bench = await Bench.open();
  const parked = await bench.take('one');
  await bench.ledger.fail(parked, new ExdicomError('PEER_UNREACHABLE', { destination: 'x' }));
  await bench.ledger.hold({ source: KEY }, 'drain');
  assert.equal(await bench.ledger.room(KEY), 'held');
  await until(() => bench.source.sent.length === 1);
  await bench.ledger.hold({ source: KEY }, 'pause');
  assert.deepEqual((await bench.ledger.holds()).map(({ mode }) => mode), ['pause'], 'one hold at a time');
});

test('a study that is in waits for the end of the pause before it becomes a job, but not for that of a drain', async () => {
  await using bench = await Bench.open();
  const listener = new TestSource('dicom:104' as SourceKey);
  bench.ledger.attachSource(listener);
  const receive = async (): Promise<JobToken> => {
    const { token, folder } = await bench.ledger.receive({ sourceKey: listener.sourceKey, kind: 'received', prefix: 'c-store-in', study: '1' });
    const { writeFile } = await import('node:fs/promises');
    await writeFile(`${folder}/1`, token.id);
    await bench.ledger.addReceived(token.id, { path: `${folder}/1` as never, name: '1', bytes: 1, sha256: 'a'.repeat(64) as never });
    return token;
  };
  const [first, second] = [await receive(), await receive()];
  await bench.ledger.hold({ source: listener.sourceKey }, 'pause');
  assert.deepEqual(await bench.ledger.completeReceived(first.id), { kind: 'refused', reason: 'held' });
  await bench.ledger.hold({ source: listener.sourceKey }, 'drain');
  assert.equal((await bench.ledger.completeReceived(first.id)).kind, 'job');
  await bench.ledger.resume({ source: listener.sourceKey });
  assert.equal((await bench.ledger.completeReceived(second.id)).kind, 'duplicate');
});

test('a destination is held by its address, whichever of its names was given', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const pacs = { ...destination('pacs'), label: 'PACS' };
  await bench.ledger.planDeliveries(token.id, pacs, await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
  await bench.ledger.hold({ destination: 'PACS' }, 'drain', 'G');
  assert.equal(bench.ledger.held({ destination: pacs.address }), 'drain');
  await bench.ledger.hold({ destination: 'folder:/never used' }, 'pause', 'G');
  await bench.restart();
  assert.deepEqual([bench.ledger.held({ destination: pacs.address }), bench.ledger.held({ destination: 'folder:/never used' })], ['drain', 'pause']);
  await bench.ledger.resume({ destination: pacs.address });
  assert.equal(bench.ledger.held({ destination: pacs.address }), undefined);
});
