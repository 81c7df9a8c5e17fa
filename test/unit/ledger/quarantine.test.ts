import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, readdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { ErrorCode } from '../../../nodes/engine/errors';
import { verifyJournal } from '../../../nodes/engine/ledger/journal';
import { Quarantine } from '../../../nodes/engine/ledger/quarantine';
import type { Intake, JobSource, LedgerSettings } from '../../../nodes/engine/ledger/ledger-types';
import type { DicomFile, JobToken, OwnPath, SourceKey } from '../../../nodes/engine/model';
import { Bench, TestSource, destination, until } from './fixture';

const pacs = destination('pacs');

async function setAside(bench: Bench, token: JobToken, files: readonly DicomFile[], code: ErrorCode = 'RISK_SOP_CLASS'): Promise<void> {
  await bench.ledger.recordPreparation(token.id, {
    stage: 'anonymize', settings: 'v', profile: 'strict', files: [], quarantined: files.map(({ instance, path }) => ({ instance: instance!, code, path: path as OwnPath })),
  });
}

/** A closed job of three instances: the first delivered, the others in quarantine. */
async function withQuarantine(bench: Bench, more?: Partial<Intake>): Promise<JobToken> {
  const before = bench.receipts.length;
  const token = await bench.take(undefined, more);
  const files = await bench.extract(token, ['1.1#a', '1.2#b', '1.3#c']);
  await bench.deliver(token, pacs, await bench.prepare(token, files.slice(0, 1)));
  await setAside(bench, token, files.slice(1));
  await bench.ledger.finish(token, 'finish');
  await bench.closed(before + 1);
  return token;
}

/** What extract makes of a released job: its items, as they are. */
async function unpack(bench: Bench, token: JobToken): Promise<readonly DicomFile[]> {
  const items = await bench.ledger.spool(token.id);
  const contents = await Promise.all(items.map(({ path }) => readFile(path, 'utf8')));
  return bench.extract(token, contents);
}

/** Runs a released job to its end: all but these instances are delivered. */
async function finishRelease(bench: Bench, token: JobToken, aside: readonly number[] = []): Promise<void> {
  await until(() => bench.source.sent.some(({ token: sent }) => sent.id === token.id));
  const sent = bench.source.sent.find((one) => one.token.id === token.id)!.token;
  const before = bench.receipts.length;
  const files = await unpack(bench, sent);
  await setAside(bench, sent, files.filter(({ instance }) => aside.includes(instance!)), 'RISK_BURNED_IN');
  await bench.deliver(sent, pacs, await bench.prepare(sent, files.filter(({ instance }) => !aside.includes(instance!))));
  await bench.ledger.finish(sent, 'finish');
  await bench.closed(before + 1);
}

const lying = async (bench: Bench): Promise<string[]> => (await readdir(bench.ledger.folders.quarantine, { recursive: true })).filter((name) => name.includes('/')).toSorted();
const eventsOf = (bench: Bench): Array<Record<string, unknown>> => {
  const database = new DatabaseSync(join(bench.settings.directory, 'ledger.sqlite'), { readOnly: true });
  try {
    return database.prepare('SELECT name, event, code, who, instances, other FROM event ORDER BY seq').all().map((row) => Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)));
  } finally {
    database.close();
  }
};
const aboutQuarantine = (bench: Bench): Array<Record<string, unknown>> => eventsOf(bench).filter(({ event }) => /quarantine|release/.test(String(event)) && event !== 'quarantine');

test('each quarantined file has its reason beside it, and the ledger says what lies there', async () => {
  await using bench = await Bench.open();
  const token = await withQuarantine(bench);
  assert.deepEqual(await lying(bench), ['2.dcm', '2.reason.json', '3.dcm', '3.reason.json'].map((name) => `folder-in-0001/00000${name}`));
  const listed = await bench.ledger.quarantine();
  assert.deepEqual(listed.map(({ at: _at, ...file }) => file), [2, 3].map((instance) => ({ job: token.id, name: 'folder-in 0001', instance, code: 'RISK_SOP_CLASS', stage: 'anonymize' })));
  assert.deepEqual(await bench.ledger.quarantine({ job: token.id }), listed);
  assert.equal(bench.ledger.status().quarantined, 2);
  assert.deepEqual(aboutQuarantine(bench), [{ name: 'folder-in 0001', event: 'quarantined', code: 'RISK_SOP_CLASS', instances: '2-3' }]);
});

test('discarded files go with their reasons, and the chain says who, when and which', async () => {
  await using bench = await Bench.open();
  const token = await withQuarantine(bench);
  assert.equal(await bench.ledger.discard(token.id, [3], '  Ada\n\u0007Lovelace '), 1);
  assert.deepEqual(await lying(bench), ['folder-in-0001/000002.dcm', 'folder-in-0001/000002.reason.json']);
  const [kept, gone] = await bench.ledger.quarantine({ job: token.id });
  assert.equal(kept?.gone, undefined);
  assert.deepEqual([gone?.discarded?.who, gone?.gone?.why], ['Ada Lovelace', 'discarded']);
  assert.equal(bench.ledger.status().quarantined, 1);
  await assert.rejects(bench.ledger.discard(token.id, [3], 'Ada'), { code: 'NOT_IN_QUARANTINE', detail: '3' });
  await assert.rejects(bench.ledger.discard(token.id, [2, 9], 'Ada'), { code: 'NOT_IN_QUARANTINE', detail: '9' });
  await assert.rejects(bench.ledger.discard('nobody' as never, 'all'), { code: 'JOB_UNKNOWN' });
  await writeFile(join(bench.ledger.folders.quarantine, 'folder-in-0001', 'note of a person.txt'), 'x');
  assert.equal(await bench.ledger.discard(token.id, 'all'), 1);
  assert.deepEqual(await lying(bench), ['folder-in-0001/note of a person.txt']);
  assert.deepEqual(aboutQuarantine(bench).slice(1).map(({ event, who, instances, code }) => [event, who, instances, code]), [
    ['quarantine discarded', 'Ada Lovelace', '3', 'RISK_SOP_CLASS'], ['quarantine discarded', 'jobs node', '2', 'RISK_SOP_CLASS'],
  ]);
  assert.equal((await bench.ledger.receipt(token.id))?.quarantined.length, 2, 'the receipt still says what happened');
});

test('what is released while somebody is about to discard it is not discarded', async (t) => {
  await using bench = await Bench.open();
  const token = await withQuarantine(bench);
  // oxlint-disable-next-line typescript/unbound-method -- applied to its own
  const held = Quarantine.prototype.held;
  let releasing: Promise<JobToken> | undefined;
  t.mock.method(Quarantine.prototype, 'held', async function late(this: Quarantine, ...given: Parameters<Quarantine['held']>) {
    const rows = await held.apply(this, given);
    // The first who looks acts last.
    if (releasing === undefined) await (releasing = bench.ledger.release(token.id, [2], 'Ultrasound', 'Ada'));
    return rows;
  });
  assert.equal(await bench.ledger.discard(token.id, 'all', 'Bob'), 1);
  const [two, three] = await bench.ledger.quarantine({ job: token.id });
  assert.deepEqual([two?.released?.who, two?.gone, three?.discarded?.who], ['Ada', undefined, 'Bob']);
  assert.deepEqual(await lying(bench), ['folder-in-0001/000002.dcm', 'folder-in-0001/000002.reason.json']);
});

test('an open job can have its quarantine discarded, and still adds up', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const files = await bench.extract(token, ['1.1#a', '1.2#b']);
  await setAside(bench, token, files.slice(1));
  assert.equal(await bench.ledger.discard(token.id, 'all', 'Ada'), 1);
  await bench.deliver(token, pacs, await bench.prepare(token, files.slice(0, 1)));
  await bench.ledger.finish(token, 'finish');
  await bench.closed(1);
  assert.deepEqual([bench.receipts[0]?.job.outcome, bench.receipts[0]?.balanced, bench.receipts[0]?.quarantined.length], ['with-exceptions', true, 1]);
  assert.deepEqual(await lying(bench), []);
});

test('released files become a job of the same source, issuer and topic, and leave when they are verified', async () => {
  await using bench = await Bench.open();
  const token = await withQuarantine(bench, { issuer: 'HOSPITAL', topic: 'ct' });
  const disposed = bench.source.disposed.length;
  const released = await bench.ledger.release(token.id, 'all', 'Ultrasound', 'Ada');
  const job = await bench.ledger.job(released.id);
  assert.deepEqual(
    { key: job.sourceKey, kind: job.kind, of: job.releaseOf, profile: job.profile, issuer: job.issuer, topic: job.topic, name: job.name },
    { key: bench.source.sourceKey, kind: 'file', of: token.id, profile: 'Ultrasound', issuer: 'HOSPITAL', topic: 'ct', name: 'folder-in 0002' },
  );
  assert.deepEqual((await bench.ledger.quarantine({ job: token.id })).map(({ released: into }) => [into?.to, into?.who]), [[released.id, 'Ada'], [released.id, 'Ada']]);
  assert.equal((await lying(bench)).length, 4, 'they stay until they are verified');
  await assert.rejects(bench.ledger.release(token.id, 'all', 'Other'), { code: 'NOT_IN_QUARANTINE' });
  await assert.rejects(bench.ledger.discard(token.id, [2]), { code: 'NOT_IN_QUARANTINE' });
  await until(() => bench.source.sent.length === 1);
  assert.deepEqual([bench.source.sent[0]!.token.attempt, bench.source.sent[0]!.topic], [1, 'ct']);

  await finishRelease(bench, released);
  assert.equal(bench.receipts[1]?.job.outcome, 'complete');
  assert.deepEqual(await lying(bench), []);
  assert.equal(bench.ledger.status().quarantined, 0);
  assert.equal(bench.source.disposed.length, disposed, 'no original of the source is touched');
  assert.deepEqual((await bench.ledger.quarantine({ job: token.id })).map(({ gone, released: into }) => [gone?.why, into?.to]), [['released', released.id], ['released', released.id]]);
  assert.deepEqual(aboutQuarantine(bench).slice(1), [
    { name: 'folder-in 0001', event: 'release begun', code: 'RISK_SOP_CLASS', who: 'Ada', instances: '2-3', other: released.id },
    { name: 'folder-in 0002', event: 'released from', who: 'Ada', instances: '2-3', other: token.id },
    { name: 'folder-in 0001', event: 'released', code: 'RISK_SOP_CLASS', instances: '2-3', other: released.id },
  ]);
  assert.deepEqual(eventsOf(bench).find(({ name, event }) => name === 'folder-in 0002' && event === 'open'), { name: 'folder-in 0002', event: 'open', who: 'Ada', other: 'Ultrasound' });
  await bench.ledger.close();
  assert.equal((await verifyJournal(bench.ledger.folders.journal, bench.receipts.map(({ journal }) => journal))).sound, true);
});

test('what is quarantined again stays where it is, once; the rest leaves', async () => {
  await using bench = await Bench.open();
  const token = await withQuarantine(bench);
  const released = await bench.ledger.release(token.id, 'all', 'Ultrasound', 'Ada');
  await finishRelease(bench, released, [2]);
  assert.deepEqual([bench.receipts[1]?.job.outcome, bench.receipts[1]?.quarantined], ['with-exceptions', [{ instance: 2, code: 'RISK_BURNED_IN' }]]);
  assert.deepEqual(await lying(bench), ['folder-in-0001/000003.dcm', 'folder-in-0001/000003.reason.json']);
  assert.deepEqual((await bench.ledger.quarantine()).map(({ job, instance, released: into }) => [job, instance, into]), [[token.id, 3, undefined]]);
  assert.deepEqual(await bench.ledger.quarantine({ job: released.id }), [], 'and is not there a second time');
  // It can be released once more.
  await finishRelease(bench, await bench.ledger.release(token.id, [3], 'Everything'));
  assert.deepEqual(await lying(bench), []);
});

test('a release that fails or is cancelled leaves everything where it was', async () => {
  await using bench = await Bench.open();
  const token = await withQuarantine(bench);
  const failing = await bench.ledger.release(token.id, 'all', 'Ultrasound');
  await until(() => bench.source.sent.length === 1);
  await bench.ledger.fail(bench.source.sent[0]!.token, new ExdicomError('NO_DICOM'));
  await until(async () => (await bench.ledger.job(failing.id)).state === 'closed');
  assert.equal((await lying(bench)).length, 4);
  const cancelled = await bench.ledger.release(token.id, [2], 'Ultrasound');
  await bench.ledger.cancel(cancelled.id, 'Ada');
  await until(async () => (await bench.ledger.job(cancelled.id)).state === 'closed');
  assert.equal((await lying(bench)).length, 4);
  assert.deepEqual((await bench.ledger.quarantine()).map(({ released: into }) => into), [undefined, undefined]);
  assert.equal(bench.source.disposed.length, 1, 'only the first job had an original');
  await writeFile(join(bench.ledger.folders.quarantine, 'folder-in-0001', '000002.dcm'), Buffer.alloc(30_000_000));
  const spooling = bench.ledger.release(token.id, [2], 'Ultrasound');
  await Promise.all([assert.rejects(spooling, { code: 'JOB_CANCELLED' }), (async () => {
    const begun = async () => (await bench.ledger.jobs()).find(({ state }) => state === 'receiving');
    await until(async () => (await begun()) !== undefined);
    await bench.ledger.cancel((await begun())!.id, 'Ada');
  })()]);
  await until(async () => (await bench.ledger.jobs()).every(({ state }) => state === 'closed'));
  assert.equal(bench.source.disposed.length, 1, 'also while it is taken in');
  assert.deepEqual(aboutQuarantine(bench).filter(({ event }) => event === 'release undone').map(({ instances, other }) => [instances, other]), [['2-3', failing.id], ['2', cancelled.id]]);
});

test('a release survives a restart, also between its last verification and the removal', async () => {
  await using bench = await Bench.open();
  const token = await withQuarantine(bench, { issuer: 'HOSPITAL' });
  const released = await bench.ledger.release(token.id, 'all', 'Ultrasound');
  await bench.restart();
  assert.deepEqual([(await bench.ledger.job(released.id)).profile, (await bench.ledger.job(released.id)).issuer], ['Ultrasound', 'HOSPITAL']);
  await finishRelease(bench, released);
  assert.deepEqual(await lying(bench), []);

  // Written down as gone, and the process died before the file was.
  const second = await withQuarantine(bench);
  await bench.ledger.close();
  const database = new DatabaseSync(join(bench.settings.directory, 'ledger.sqlite'));
  database.exec(`UPDATE quarantine SET gone = 'discarded', gone_at = 1, who = 'Ada', decided_at = 1 WHERE job = '${second.id}' AND instance = 2`);
  database.close();
  await bench.restart();
  await until(async () => (await lying(bench)).length === 2);
});

test('a release is no duplicate, and nothing that comes later is a duplicate of it', async () => {
  await using bench = await Bench.open();
  const content = 'one';
  const token = await bench.take(content);
  const files = await bench.extract(token, [content]);
  await setAside(bench, token, files);
  await bench.ledger.finish(token, 'finish');
  await bench.closed(1);
  const released = await bench.ledger.release(token.id, 'all', 'Ultrasound');
  await finishRelease(bench, released);
  assert.equal(bench.receipts[1]?.job.outcome, 'complete');
  const taken = await bench.ledger.take(await bench.intake(content), new AbortController().signal);
  assert.equal(taken.kind, 'job', 'under the flow\'s own profile it is to be judged again');
});

test('what was de-identified before it was set aside is not released, only discarded', async () => {
  await using bench = await Bench.open();
  const first = await bench.take('one');
  await bench.deliver(first, pacs, await bench.prepare(first, await bench.extract(first, ['1.1#a'])));
  const token = await bench.take('two');
  const files = await bench.extract(token, ['1.1#changed', '1.2#b']);
  const made = await bench.prepare(token, files.slice(0, 1));
  await setAside(bench, token, files.slice(1));
  await bench.ledger.planDeliveries(token.id, pacs, made);
  await assert.rejects(bench.ledger.release(token.id, [1], 'Other'), { code: 'RELEASE_REFUSED', detail: '1' });
  await assert.rejects(bench.ledger.release(token.id, [1, 2], 'Other'), { code: 'RELEASE_REFUSED' });
  await assert.rejects(bench.ledger.release(token.id, 'all', '  '), { code: 'CONFIG_INVALID' });
  const released = await bench.ledger.release(token.id, 'all', 'Other');
  assert.equal((await bench.ledger.spool(released.id)).length, 1);
  assert.equal(await bench.ledger.discard(token.id, [1], 'Ada'), 1);
});

test('a job that is purged can still be released, and what that needs goes with its last file', async () => {
  await using bench = await Bench.open({ retention: 0 });
  const token = await withQuarantine(bench, { issuer: 'HOSPITAL' });
  await bench.restart();
  await until(async () => (await bench.ledger.jobs()).length === 0);
  const released = await bench.ledger.release(token.id, [2], 'Ultrasound');
  assert.equal((await bench.ledger.job(released.id)).issuer, 'HOSPITAL');
  const sources = (): unknown[] => {
    const database = new DatabaseSync(join(bench.settings.directory, 'ledger.sqlite'), { readOnly: true });
    try { return database.prepare('SELECT job FROM quarantine_source').all(); } finally { database.close(); }
  };
  assert.equal(sources().length, 1);
  await finishRelease(bench, released);
  await bench.ledger.discard(token.id, 'all');
  assert.deepEqual(sources(), []);
  const raw = await readFile(join(bench.settings.directory, 'ledger.sqlite'));
  assert.equal(raw.includes('HOSPITAL'), false);
});

const retained = async (overrides: Partial<LedgerSettings>): Promise<Bench> => Bench.open({ quarantineRetention: 1e-9, ...overrides });

test('the retention takes neither what is being released nor what an open job has set aside', async () => {
  await using bench = await retained({});
  const token = await withQuarantine(bench);
  await bench.ledger.release(token.id, [2], 'Ultrasound');
  await until(() => bench.source.sent.length === 1);
  const open = await bench.take();
  await setAside(bench, open, await bench.extract(open, ['1.9#x']));
  await bench.restart();
  await until(() => bench.ledger.status().quarantined === 2);
  assert.deepEqual((await bench.ledger.quarantine()).map(({ job, instance }) => [job, instance]), [[token.id, 2], [open.id, 1]]);
  assert.deepEqual((await bench.ledger.quarantine({ job: token.id })).map(({ instance, gone }) => [instance, gone?.why]), [[2, undefined], [3, 'expired']]);
  assert.equal(eventsOf(bench).filter(({ event }) => event === 'quarantine expired').length, 1);
});

test('files that a person removes by hand are noticed, with an event, and their reasons go', async () => {
  await using bench = await Bench.open();
  const token = await withQuarantine(bench);
  const folder = join(bench.ledger.folders.quarantine, 'folder-in-0001');
  await rm(join(folder, '000002.dcm'));
  await assert.rejects(bench.ledger.release(token.id, [2], 'Ultrasound'), { code: 'NOT_IN_QUARANTINE' });
  assert.equal(bench.ledger.status().quarantined, 1);
  assert.equal(existsSync(join(folder, '000002.reason.json')), false);
  assert.deepEqual(eventsOf(bench).filter(({ event }) => event === 'quarantine removed').map(({ instances }) => instances), ['2']);
  await rm(folder, { recursive: true });
  await bench.restart();
  await until(() => bench.ledger.status().quarantined === 0);
});

test('what could not be set aside when it was found is set aside before its job closes', async () => {
  await using bench = await Bench.open();
  const { quarantine } = bench.ledger.folders;
  const token = await bench.take();
  const files = await bench.extract(token, ['1.1#a', '1.2#b']);
  await rm(quarantine, { recursive: true });
  await writeFile(quarantine, '');
  const failure = await setAside(bench, token, files.slice(1)).then(() => undefined, (thrown: unknown) => thrown);
  assert.ok(failure instanceof ExdicomError && failure.code === 'STORAGE_FAILED');
  await bench.ledger.fail(token, failure);
  await rm(quarantine);
  await until(() => bench.source.sent.length === 1);
  const again = bench.source.sent[0]!.token;
  // It is known already, so that the stage does not set it aside once more.
  assert.deepEqual((await bench.ledger.prepared(again.id, 'anonymize', 'v', files)).quarantined, [{ instance: 2, code: 'RISK_SOP_CLASS' }]);
  await bench.deliver(again, pacs, await bench.prepare(again, files.slice(0, 1)));
  await bench.ledger.finish(again, 'finish');
  await bench.closed(1);
  assert.deepEqual(await lying(bench), ['folder-in-0001/000002.dcm', 'folder-in-0001/000002.reason.json']);
  assert.equal(bench.ledger.status().quarantined, 1);
});

test('files that cannot be looked at are not taken for removed: they are where they were when their disk is back', async () => {
  await using bench = await Bench.open();
  const token = await withQuarantine(bench);
  const { quarantine } = bench.ledger.folders;
  const before = await lying(bench);
  const job = join(quarantine, 'folder-in-0001');
  const cases: ReadonlyArray<readonly [path: string, code: ErrorCode, instead: (path: string) => Promise<void>]> = [
    [quarantine, 'STORAGE_FAILED', () => Promise.resolve()],
    [quarantine, 'STORAGE_FAILED', (path) => writeFile(path, '')],
    [job, 'NOT_IN_QUARANTINE', (path) => symlink(path, path)],
  ];
  for (const [path, code, instead] of cases) {
    await rename(path, `${path} away`);
    await instead(path);
    await assert.rejects(bench.ledger.discard(token.id, [9]), { code });
    await assert.rejects(bench.ledger.release(token.id, 'all', 'Ultrasound'), { code });
    await rm(path, { force: true });
    await rename(`${path} away`, path);
    await bench.restart();
    assert.equal(bench.ledger.status().quarantined, 2);
  }
  assert.deepEqual(await lying(bench), before);
  assert.equal(await bench.ledger.discard(token.id, 'all'), 2);
});

test('the list of reasons of an older version goes with the last file', async () => {
  await using bench = await Bench.open();
  const token = await withQuarantine(bench);
  await writeFile(join(bench.ledger.folders.quarantine, 'folder-in-0001', 'reason.json'), '{}');
  await utimes(join(bench.ledger.folders.quarantine, 'folder-in-0001'), 1, 1);
  await bench.ledger.discard(token.id, 'all');
  assert.deepEqual(await readdir(bench.ledger.folders.quarantine), []);
});

test('what a node took in before it was told to listen elsewhere is its own still: sent again, and released from quarantine', async () => {
  await using bench = await Bench.open();
  const moved = Object.assign(new TestSource('dicom:PACS@127.0.0.1:2' as SourceKey), { node: 'listener' });
  bench.ledger.attachSource(moved);
  bench.ledger.started();
  const token = await withQuarantine(bench, { sourceKey: 'dicom:PACS@127.0.0.1:1' as SourceKey, node: 'listener' });
  assert.deepEqual(moved.disposed.map(({ job }) => job.id), [token.id]);
  const released = await bench.ledger.release(token.id, 'all', 'Ultrasound');
  await until(() => moved.sent.some(({ token: { id } }) => id === released.id));
  const file = await bench.file('kept', 'kept');
  Object.assign(moved, { again: ((_job, take) => take({ kind: 'file', items: [file] })) satisfies JobSource['again'] });
  const again = await bench.ledger.sendAgain(token.id);
  await until(() => moved.sent.some(({ token: { id } }) => id === again.id));
  assert.deepEqual(bench.source.sent, []);
});
