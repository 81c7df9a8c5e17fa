import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { JobSource } from '../../../nodes/engine/ledger/ledger-types';
import type { JobToken } from '../../../nodes/engine/model';
import { Bench, destination, until } from './fixture';

const closed = (bench: Bench, id: JobToken['id']): Promise<void> => until(async () => (await bench.ledger.job(id)).state === 'closed');

/** A source that has the original of any job in a file of its own. */
async function withOriginals(bench: Bench, content: string, origin: unknown = { again: content }): Promise<void> {
  const file = await bench.file(`kept ${content}`, content);
  const source: JobSource = bench.source;
  source.again = (_job, take) => take({ kind: 'archive', items: [file], origin });
}

async function complete(bench: Bench, token: JobToken, uids: readonly string[], to = destination('pacs')): Promise<number> {
  const sent = await bench.deliver(token, to, await bench.prepare(token, await bench.extract(token, uids)));
  await bench.ledger.finish(token, 'finish');
  await closed(bench, token.id);
  return sent;
}

test('a completed job is sent again: a new job, linked with the old one, no duplicate, and all of it goes to the destination anew', async () => {
  await using bench = await Bench.open();
  await withOriginals(bench, 'archive');
  const first = await bench.take('archive');
  assert.equal(await complete(bench, first, ['1.1#a', '1.2#b']), 2);
  const made = await bench.ledger.sendAgain(first.id, 'Lin');
  assert.deepEqual([made.againOf, made.sourceKey, made.attempt], [first.id, bench.source.sourceKey, 0]);
  await until(() => bench.source.sent.length === 1);
  const { token } = bench.source.sent[0]!;
  assert.deepEqual([token.id, token.attempt], [made.id, 1]);
  assert.equal(await complete(bench, token, ['1.1#a', '1.2#b']), 2, 'what was verified for the old job does not count');
  const [old, now] = await Promise.all([first.id, token.id].map((id) => bench.ledger.receipt(id)));
  assert.deepEqual([now?.job.outcome, now?.job.againOf], ['complete', first.id]);
  assert.deepEqual(old?.acts.map(({ event, who, other }) => [event, who, other]), [['sent again', 'Lin', token.id]]);
  assert.deepEqual(now?.acts.map(({ event, who, other }) => [event, who, other]), [['open', 'Lin', first.id]]);
  assert.deepEqual((await bench.ledger.details(first.id)).sentAgainAs, [token.id]);

  // Nor does what others have sent of the same since.
  const third = await bench.take('other archive');
  assert.equal(await complete(bench, third, ['1.1#a', '1.2#b']), 0);
  const fourth = await bench.ledger.sendAgain(token.id);
  await until(() => bench.source.sent.length === 2);
  assert.equal(bench.source.sent[1]!.token.id, fourth.id);
  assert.equal(await complete(bench, bench.source.sent[1]!.token, ['1.1#a', '1.2#b']), 2);

  // For whatever else comes it is done already.
  assert.equal((await bench.ledger.take(await bench.intake('archive'), new AbortController().signal)).kind, 'duplicate');
});

test('other content under the UIDs of its own former run is sent, under those of another job it is a conflict', async () => {
  await using bench = await Bench.open();
  await withOriginals(bench, 'archive');
  const pacs = destination('pacs');
  const identified = destination('archive', true);
  const first = await bench.take('archive');
  const files = await bench.prepare(first, await bench.extract(first, ['1.1#a']), 'transcode');
  await bench.deliver(first, identified, files);
  await bench.ledger.finish(first, 'finish');
  await closed(bench, first.id);
  const stranger = await bench.take('stranger');
  await complete(bench, stranger, ['1.2#of somebody else'], pacs);

  await bench.ledger.sendAgain(first.id);
  await until(() => bench.source.sent.length === 1);
  const { token } = bench.source.sent[0]!;
  const found = await bench.extract(token, ['1.1#a', '1.2#b']);
  // Not transcoded this time, so it has other bytes under the same UID.
  assert.deepEqual((await bench.ledger.planDeliveries(token.id, identified, found.slice(0, 1))).map(({ state }) => state), ['pending']);
  const planned = await bench.ledger.planDeliveries(token.id, pacs, await bench.prepare(token, found));
  assert.deepEqual(planned.map(({ state, code }) => [state, code]), [['pending', undefined], ['failed', 'UID_CONFLICT']]);
});

test('failed, cancelled and duplicate jobs are sent again; open ones and those that run again already are not', async () => {
  await using bench = await Bench.open();
  await withOriginals(bench, 'one');
  const failed = await bench.take('one');
  await assert.rejects(bench.ledger.sendAgain(failed.id), { code: 'JOB_STATE', detail: 'it is open' });
  await bench.ledger.fail(failed, new ExdicomError('ARCHIVE_DAMAGED'));
  await closed(bench, failed.id);
  const [first, second] = await Promise.allSettled([bench.ledger.sendAgain(failed.id), bench.ledger.sendAgain(failed.id)]);
  assert.deepEqual([first.status, second.status, second.status === 'rejected' ? (second.reason as ExdicomError).code : ''], ['fulfilled', 'rejected', 'JOB_STATE']);
  await until(() => bench.source.sent.length === 1);
  await assert.rejects(bench.ledger.sendAgain(failed.id), { code: 'JOB_STATE', detail: 'it runs again as folder-in 0002' });

  const { token } = bench.source.sent[0]!;
  const duplicate = await bench.ledger.take(await bench.intake('one'), new AbortController().signal);
  assert.ok(duplicate.kind === 'duplicate' && duplicate.of === token.id);
  await bench.ledger.cancel(token.id);
  await closed(bench, token.id);
  await closed(bench, duplicate.job.id);
  const third = await bench.ledger.sendAgain(token.id);
  assert.equal(third.againOf, token.id);
  await bench.ledger.cancel(third.id);
  await closed(bench, third.id);
  assert.equal((await bench.ledger.sendAgain(duplicate.job.id)).againOf, duplicate.job.id);
});

test('what was put back is taken only when it is sent again, and then once', async () => {
  await using bench = await Bench.open();
  const intake = await bench.intake('archive');
  const taken = await bench.ledger.take(intake, new AbortController().signal);
  assert.ok(taken.kind === 'job');
  await bench.ledger.cancel(taken.token.id);
  await closed(bench, taken.token.id);
  assert.equal((await bench.ledger.take(intake, new AbortController().signal)).kind, 'put-back');
  assert.equal(await bench.ledger.putBack(intake.sourceKey, intake.origin), taken.token.id);
  (bench.source as JobSource).again = (_job, take) => take({ kind: 'archive', items: intake.items, origin: intake.origin });
  const made = await bench.ledger.sendAgain(taken.token.id);
  assert.equal(await bench.ledger.putBack(intake.sourceKey, intake.origin), undefined);
  const found = await bench.ledger.take(intake, new AbortController().signal);
  assert.ok(found.kind === 'duplicate' && found.of === made.id, 'it is that job already');
});

test('without its original, or its source, the operator hears what is wrong, and nothing is begun', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('one');
  await complete(bench, token, ['1.1#a']);
  await assert.rejects(bench.ledger.sendAgain(token.id), { code: 'SOURCE_GONE', detail: 'its original is no longer kept' });
  const source: JobSource = bench.source;
  source.again = () => Promise.resolve(undefined);
  await assert.rejects(bench.ledger.sendAgain(token.id), { code: 'SOURCE_GONE' });
  source.again = (_job, take) => take({ kind: 'archive', items: [{ path: '/nowhere/x', name: 'x', bytes: 1, mtimeMs: 1 }], origin: { x: 1 } });
  await assert.rejects(bench.ledger.sendAgain(token.id), { code: 'SOURCE_GONE' });
  assert.deepEqual((await bench.ledger.jobs()).map(({ id, state }) => [id, state]), [[token.id, 'closed']]);
  await assert.rejects(bench.ledger.sendAgain('x' as JobToken['id']), { code: 'JOB_UNKNOWN' });
  await withOriginals(bench, 'one');
  await bench.ledger.sendAgain(token.id);
  await until(() => bench.source.sent.length === 1);
  await complete(bench, bench.source.sent[0]!.token, ['1.1#a']);
  source.again = () => Promise.resolve(undefined);
  await assert.rejects(bench.ledger.sendAgain(token.id), (error: ExdicomError) => error.code === 'SOURCE_GONE' && /^its original is with folder-in \d+ now/.test(error.detail ?? ''));
});

test('a job that is sent again waits for a slot, and is sent after a restart in between', async () => {
  await using bench = await Bench.open({ slots: 1 });
  await withOriginals(bench, 'one');
  const first = await bench.take('one');
  await bench.ledger.fail(first, new ExdicomError('ARCHIVE_DAMAGED'));
  await closed(bench, first.id);
  const busy = await bench.take('two');
  const visit = bench.ledger.enter(busy, 'extract');
  const made = await bench.ledger.sendAgain(first.id);
  await sleep(60);
  assert.equal(bench.source.sent.length, 0);
  visit.interrupt();
  await bench.ledger.cancel(busy.id);
  await bench.restart();
  await until(() => bench.source.sent.length === 1);
  assert.deepEqual([bench.source.sent[0]!.token.id, bench.source.sent[0]!.token.attempt], [made.id, 1]);
  assert.equal((await bench.ledger.job(made.id)).againOf, first.id);
});
