import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { verifyJournal } from '../../../nodes/engine/ledger/journal';
import { createLedger } from '../../../nodes/engine/ledger/ledger';
import type { JobToken, OwnPath, SourceKey } from '../../../nodes/engine/model';
import { Bench, destination, sha256, until } from './fixture';

const closed = (bench: Bench, { id }: Pick<JobToken, 'id'>): Promise<void> => until(async () => (await bench.ledger.job(id)).state === 'closed');

async function assertCancelled(bench: Bench, token: Pick<JobToken, 'id'>, who: string): Promise<void> {
  await closed(bench, token);
  const receipt = await bench.ledger.receipt(token.id);
  assert.equal(receipt?.job.outcome, 'cancelled');
  assert.deepEqual(receipt.acts.map((act) => [act.event, act.who]), [['cancelled', who]]);
  assert.equal((await bench.ledger.details(token.id)).events.filter(({ event }) => event === 'cancelled').length, 1);
  assert.deepEqual(bench.source.disposed.filter(({ job }) => job.id === token.id).map(({ disposition }) => disposition), ['put-back']);
  assert.ok(!(await readdir(bench.ledger.folders.work)).includes(token.id));
}

test('a job in a node is cancelled: its signal fires at once, it closes when the node has let go, and late messages hear why', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('archive');
  const visit = bench.ledger.enter(token, 'anonymize');
  const files = await bench.extract(token, ['1.1#a', '1.2#b']);
  await bench.ledger.cancel(token.id, 'Chen\nYi\u0007');
  assert.equal((visit.signal.reason as ExdicomError).code, 'JOB_CANCELLED');
  assert.throws(() => bench.ledger.enter(token, 'extract'), { code: 'JOB_CANCELLED' });
  await assert.rejects(bench.ledger.stageFolder(token.id, 'anonymize'), { code: 'JOB_CANCELLED' });
  await assert.rejects(bench.ledger.planDeliveries(token.id, destination('pacs'), files), { code: 'JOB_CANCELLED' });
  await assert.rejects(bench.ledger.attempting(token.id, 'anonymize'), { code: 'JOB_CANCELLED' });
  await sleep(50);
  assert.equal((await bench.ledger.job(token.id)).state, 'closing');
  assert.ok((await readdir(bench.ledger.folders.work)).includes(token.id), 'nothing is taken from under a stage that still works');
  visit.leave();
  await assertCancelled(bench, token, 'Chen Yi');
  assert.throws(() => bench.ledger.enter(token, 'extract'), { code: 'JOB_CANCELLED' });
  assert.equal(bench.source.sent.length, 0);
});

test('parked, waiting for a password, interrupted and about to be sent: all can be cancelled, and none is sent again', async () => {
  await using bench = await Bench.open();
  const parked = await bench.take('one');
  await bench.ledger.fail(parked, new ExdicomError('PEER_UNREACHABLE', { destination: 'pacs' }), { delay: 60_000, factor: 1, cap: 60_000, jitter: 0, maximumAge: 1e9 });
  const locked = await bench.take('two');
  await bench.ledger.fail(locked, new ExdicomError('NEEDS_PASSWORD'));
  const interrupted = await bench.take('three');
  bench.ledger.enter(interrupted, 'extract').interrupt();
  const parkedSoon = await bench.take('four');
  await bench.ledger.fail(parkedSoon, new ExdicomError('STORAGE_FAILED'));
  await Promise.all([parked, locked, interrupted, parkedSoon].map(({ id }) => bench.ledger.cancel(id)));
  for (const token of [parked, locked, interrupted, parkedSoon]) await assertCancelled(bench, token, 'jobs node');
  bench.ledger.destinationUp('pacs');
  bench.ledger.started();
  await sleep(100);
  assert.equal(bench.source.sent.length, 0);
});

test('what is cancelled while it is doomed is cancelled; what is decided is refused, and so is what nobody knows', async () => {
  await using bench = await Bench.open();
  const doomed = await bench.take('one');
  const visit = bench.ledger.enter(doomed, 'extract');
  await bench.ledger.fail(doomed, new ExdicomError('ARCHIVE_DAMAGED'));
  await bench.ledger.cancel(doomed.id, 'A');
  visit.leave();
  await assertCancelled(bench, doomed, 'A');
  await assert.rejects(bench.ledger.cancel(doomed.id), { code: 'JOB_STATE', detail: 'it is closed' });
  await assert.rejects(bench.ledger.cancel('nobody' as JobToken['id']), { code: 'JOB_UNKNOWN' });

  const done = await bench.take('two');
  bench.source.onDispose = () => Promise.reject(new ExdicomError('SOURCE_UNREADABLE'));
  await bench.deliver(done, destination('pacs'), await bench.prepare(done, await bench.extract(done, ['1.1#a'])));
  await bench.ledger.finish(done, 'finish');
  await assert.rejects(bench.ledger.cancel(done.id), { code: 'JOB_STATE', detail: 'it is closing' });
  assert.equal((await bench.ledger.job(done.id)).outcome, 'complete');
});

test('cancelled while a stage records: what it asks later is refused, what a destination has is written down all the same', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const visit = bench.ledger.enter(token, 'c-store-out');
  const pacs = destination('pacs');
  const files = await bench.prepare(token, await bench.extract(token, Array.from({ length: 40 }, (_, n) => `1.${n}#${n}`)));
  await bench.ledger.planDeliveries(token.id, pacs, files);
  const recording = bench.ledger.recordDeliveries(token.id, pacs, files.slice(0, 20).map(({ instance }) => ({ instance: instance!, state: 'verified', level: 'digest' })));
  const cancelling = bench.ledger.cancel(token.id, 'B');
  const failing = bench.ledger.fail(token, new ExdicomError('PEER_CLOSED', { destination: pacs.address }));
  await Promise.all([recording, cancelling]);
  assert.ok(['parked', 'terminal'].includes((await failing).kind));
  await bench.ledger.recordDeliveries(token.id, pacs, [{ instance: 21, state: 'verified', level: 'digest' }]);
  visit.leave();
  await assertCancelled(bench, token, 'B');
  assert.equal((await bench.ledger.receipt(token.id))?.destinations[0]?.verified, 21);
  await sleep(60);
  assert.equal(bench.source.sent.length, 0);
});

test('whatever is being written down of a job at that moment, it stays cancelled', async () => {
  await using bench = await Bench.open({ slots: 100 });
  for (const what of ['parked', 'terminal', 'password', 'sent'] as const) {
    for (let turns = 0; turns < 10; turns += 1) {
      const token = await bench.take(`${what} ${turns}`);
      if (what === 'sent') await bench.ledger.fail(token, new ExdicomError('PEER_UNREACHABLE', { destination: what }), { delay: 60_000, factor: 1, cap: 60_000, jitter: 0, maximumAge: 1e9 });
      // Held open by a message inside, so that what is written down of it can be seen.
      const visit = what === 'sent' ? undefined : bench.ledger.enter(token, 'extract');
      const cancelling = bench.ledger.cancel(token.id);
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
      if (what === 'sent') bench.ledger.destinationUp(what);
      else {
        const code = { parked: 'STORAGE_FAILED', terminal: 'ARCHIVE_DAMAGED', password: 'NEEDS_PASSWORD' } as const;
        await bench.ledger.fail(token, new ExdicomError(code[what])).catch((error: ExdicomError) => { assert.equal(error.code, 'JOB_CANCELLED'); });
      }
      await cancelling;
      if (visit !== undefined) assert.deepEqual((await bench.ledger.jobs({ state: 'closing' })).map(({ id }) => id), [token.id], `${what} ${turns}`);
      visit?.leave();
      await closed(bench, token);
      assert.equal((await bench.ledger.job(token.id)).outcome, 'cancelled', `${what} ${turns}`);
      assert.throws(() => bench.ledger.enter(token, 'extract'), { code: 'JOB_CANCELLED' });
    }
  }
});

test('whichever comes first, the end of the job or its cancelling, is its outcome, and it has one', async () => {
  await using bench = await Bench.open({ slots: 100 });
  const pacs = destination('pacs');
  const outcomes = new Set<string>();
  for (let round = 0; round < 12; round += 1) {
    const token = await bench.take(`round ${round}`);
    await bench.deliver(token, pacs, await bench.prepare(token, await bench.extract(token, [`1.${round}#a`])));
    const finishing = bench.ledger.finish(token, 'finish');
    for (let turn = 0; turn < round % 4; turn += 1) await sleep(1);
    const [refused] = await Promise.all([bench.ledger.cancel(token.id).then(() => undefined, (error: unknown) => error), finishing]);
    await closed(bench, token);
    const { outcome } = await bench.ledger.job(token.id);
    assert.equal(outcome, refused === undefined ? 'cancelled' : 'complete');
    outcomes.add(outcome);
    assert.equal(bench.source.disposed.filter(({ job }) => job.id === token.id).length, 1);
  }
  assert.ok(outcomes.has('complete') || outcomes.has('cancelled'));
});

test('a restart in the middle of cancelling ends it, and the original is left alone as often as it is found', async () => {
  await using bench = await Bench.open();
  const intake = await bench.intake('archive');
  const taken = await bench.ledger.take(intake, new AbortController().signal);
  assert.ok(taken.kind === 'job');
  bench.ledger.enter(taken.token, 'extract');
  await bench.ledger.cancel(taken.token.id, 'C');
  assert.equal((await bench.ledger.job(taken.token.id)).state, 'closing');
  await bench.restart();
  await assertCancelled(bench, taken.token, 'C');
  const again = await bench.ledger.take(intake, new AbortController().signal);
  assert.deepEqual(again, { kind: 'put-back', of: taken.token.id });
  await bench.restart();
  assert.deepEqual(await bench.ledger.take(intake, new AbortController().signal), { kind: 'put-back', of: taken.token.id });
  // Changed it has another origin; taken away and brought back it is new.
  const changed = await bench.ledger.take({ ...intake, origin: { name: 'changed' } }, new AbortController().signal);
  assert.equal(changed.kind, 'job');
  await bench.ledger.letGo(intake.sourceKey, intake.origin);
  assert.equal((await bench.ledger.take({ ...intake, items: [await bench.file('x', 'other')] }, new AbortController().signal)).kind, 'job');
});

test('cancelled while it is taken in, an archive stays where it is and leaves nothing behind', async () => {
  await using bench = await Bench.open();
  const intake = await bench.intake('x'.repeat(64 << 20));
  const taking = bench.ledger.take(intake, new AbortController().signal);
  await until(async () => (await bench.ledger.jobs({ state: 'receiving' })).length === 1);
  const [job] = await bench.ledger.jobs({ state: 'receiving' });
  await bench.ledger.cancel(job!.id, 'D');
  assert.deepEqual(await taking, { kind: 'put-back', of: job!.id });
  await assertCancelled(bench, job!, 'D');
});

test('a study that is cancelled on its way in takes no more, and has told its source what it holds', async () => {
  await using bench = await Bench.open();
  const { sourceKey } = bench.source;
  const { token, folder } = await bench.ledger.receive({ sourceKey, kind: 'received', prefix: 'c-store-in', study: '1.2.3' });
  const path = join(folder, '1.dcm');
  await writeFile(path, 'one');
  await bench.ledger.addReceived(token.id, { path: path as never, name: '1.dcm', bytes: 3, sha256: sha256('one') });
  let kept: string | undefined;
  bench.source.onDispose = async ({ id }) => { kept = await readFile((await bench.ledger.spool(id))[0]!.path, 'utf8'); };
  await bench.ledger.cancel(token.id, 'E');
  await assert.rejects(bench.ledger.addReceived(token.id, { path: path as never, name: '2.dcm', bytes: 3, sha256: sha256('two') }), { code: 'JOB_CANCELLED' });
  await assert.rejects(bench.ledger.completeReceived(token.id), { code: 'JOB_CANCELLED' });
  await assertCancelled(bench, token, 'E');
  assert.equal(kept, 'one', 'its only copy was there when the source was asked to keep it');
});

test('jobs whose source is in no flow end when they are cancelled: originals stay where they are, what has no other copy is kept', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('archive');
  const key = 'dicom:11112' as SourceKey;
  const received = await bench.ledger.receive({ sourceKey: key, kind: 'received', prefix: 'c-store-in', study: '1.2.3' });
  const path = join(received.folder, '1.dcm') as OwnPath;
  await writeFile(path, 'dicom');
  await bench.ledger.addReceived(received.token.id, { path, name: '1', bytes: 5, sha256: sha256('dicom') });
  await bench.ledger.completeReceived(received.token.id);
  await bench.ledger.close();
  bench.ledger = createLedger('test-ledger', bench.settings);
  await bench.ledger.open();
  bench.ledger.started();
  await until(() => bench.ledger.status().orphaned === 2);
  for (const { id } of [token, received.token]) await bench.ledger.cancel(id, 'Ada');
  for (const one of [token, received.token]) await closed(bench, one);
  assert.deepEqual([bench.ledger.status().open, bench.ledger.status().orphaned, await readdir(bench.ledger.folders.work)], [0, 0, []]);
  const { failed } = bench.ledger.folders;
  assert.deepEqual(await readdir(failed), [received.token.name]);
  assert.deepEqual((await readdir(join(failed, received.token.name))).toSorted(), ['1.dcm', 'reason.json']);
});

test('acts of persons are links of the chain', async () => {
  await using bench = await Bench.open();
  for (const n of [1, 2, 3]) await bench.ledger.cancel((await bench.take(`content ${n}`)).id, `operator ${n}`);
  await bench.ledger.hold({ source: bench.source.sourceKey }, 'pause', 'F');
  await bench.ledger.resume({ source: bench.source.sourceKey }, 'F');
  await until(async () => (await bench.ledger.jobs()).every(({ state }) => state === 'closed'));
  const anchors = await Promise.all((await bench.ledger.jobs()).map(async ({ id }) => (await bench.ledger.receipt(id))!.journal));
  await bench.ledger.close();
  const report = await verifyJournal(bench.ledger.folders.journal, anchors);
  assert.deepEqual([report.sound, report.problems], [true, []]);
  const lines = (await Promise.all((await readdir(bench.ledger.folders.journal)).map((name) => readFile(join(bench.ledger.folders.journal, name), 'utf8')))).join('').trim().split('\n');
  const acts = lines.map((line) => JSON.parse(line) as { event: string; who?: string; other?: string }).filter(({ who }) => who !== undefined);
  assert.deepEqual(acts.map(({ event, who }) => `${event} ${who}`), ['cancelled operator 1', 'cancelled operator 2', 'cancelled operator 3', 'source paused F', 'source resumed F']);
});
