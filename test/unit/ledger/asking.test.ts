import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { identityParts, mapUid, pseudonym } from '../../../nodes/engine/deid/keyed';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { JobFilter } from '../../../nodes/engine/ledger/ledger-types';
import type { JobToken, SourceKey } from '../../../nodes/engine/model';
import { Bench, destination, notDicom, until } from './fixture';

const closed = (bench: Bench, { id }: JobToken): Promise<void> => until(async () => (await bench.ledger.job(id)).state === 'closed');

test('jobs are listed by state, outcome, source, destination, code and time; the newest first where a limit is set', async () => {
  await using bench = await Bench.open({ slots: 100 });
  const [one, two, three] = [await bench.take('1'), await bench.take('2'), await bench.take('3', { sourceKey: 'folder:/other' as SourceKey })];
  const pacs = { ...destination('pacs'), label: 'PACS' };
  await bench.deliver(one, pacs, await bench.prepare(one, await bench.extract(one, ['1.1#a'])));
  await bench.ledger.finish(one, 'finish');
  await closed(bench, one);
  const since = Date.now() + 1;
  await until(() => Date.now() > since);
  await bench.ledger.fail(two, new ExdicomError('PEER_UNREACHABLE', { destination: 'dicom:X@h:1' }), { delay: 1e6, factor: 1, cap: 1e6, jitter: 0, maximumAge: 1e9 });
  const ids = async (filter: JobFilter): Promise<string[]> => (await bench.ledger.jobs(filter)).map(({ name }) => name.slice(-4));
  assert.deepEqual(await ids({}), ['0001', '0002', '0003']);
  assert.deepEqual(await ids({ limit: 2 }), ['0003', '0002']);
  assert.deepEqual(await ids({ limit: 2, offset: 2 }), ['0001']);
  assert.deepEqual(await ids({ offset: 1 }), ['0002', '0003']);
  assert.deepEqual(await ids({ state: 'parked' }), ['0002']);
  assert.deepEqual(await ids({ state: ['closed', 'open'] }), ['0001', '0003']);
  assert.deepEqual(await ids({ state: [] }), []);
  assert.deepEqual(await ids({ outcome: 'complete' }), ['0001']);
  assert.deepEqual(await ids({ sourceKey: 'folder:/other' as SourceKey }), ['0003']);
  assert.deepEqual(await ids({ destination: 'PACS' }), ['0001']);
  assert.deepEqual(await ids({ destination: pacs.address }), ['0001']);
  assert.deepEqual(await ids({ destination: 'dicom:X@h:1' }), ['0002'], 'one that it waits for');
  assert.deepEqual(await ids({ code: 'PEER_UNREACHABLE' }), ['0002']);
  assert.deepEqual(await ids({ since }), ['0002']);
  assert.deepEqual(await ids({ state: 'parked', outcome: 'complete' }), []);
  assert.equal(await bench.ledger.jobNamed(three.name), three.id);
  for (const name of ['other 0003', 'folder-in 0004', 'folder-in', `x ${'9'.repeat(20)}`]) assert.equal(await bench.ledger.jobNamed(name), undefined, name);
});

test('counts: jobs by state and outcome, instances in quarantine, deliveries by destination and state', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('1');
  const pacs = destination('pacs');
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a', '1.2#b', '1.2#other']));
  await bench.ledger.planDeliveries(token.id, pacs, files);
  await bench.ledger.recordDeliveries(token.id, pacs, [{ instance: 1, state: 'verified', level: 'digest' }, { instance: 2, state: 'failed', code: 'PEER_CLOSED' }]);
  await bench.ledger.cancel((await bench.take('2')).id);
  await until(async () => (await bench.ledger.jobs({ state: 'closed' })).length === 1);
  const counts = await bench.ledger.counts();
  assert.deepEqual(counts.states, { receiving: 0, open: 1, parked: 0, 'needs-password': 0, closing: 0, closed: 1 });
  assert.deepEqual(counts.outcomes, { complete: 0, 'with-exceptions': 0, failed: 0, cancelled: 1, duplicate: 0 });
  assert.equal(counts.quarantined, 1);
  assert.deepEqual(counts.destinations, [{ address: pacs.address, label: 'pacs', deliveries: { pending: 0, sent: 0, verified: 1, waiting: 1, failed: 0 } }]);
  assert.deepEqual([counts.holds, counts.circuits], [[], []]);
  await bench.ledger.cancel(token.id);
  await until(async () => (await bench.ledger.jobs({ state: 'closed' })).length === 2);
  assert.deepEqual((await bench.ledger.counts()).destinations[0]?.deliveries, { pending: 0, sent: 0, verified: 1, waiting: 0, failed: 0 }, 'of a closed job nothing is under way');
});

test('details: the account, what it waits for and by which policy, and every event with its code, of open and closed jobs', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('1');
  const pacs = destination('pacs');
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a', '1.1#other'], [notDicom()]));
  await bench.ledger.planDeliveries(token.id, pacs, files);
  await bench.ledger.fail(token, new ExdicomError('PEER_UNREACHABLE', { destination: pacs.address }), { delay: 1e6, factor: 1, cap: 1e6, jitter: 0, maximumAge: 1e9 });
  const parked = await bench.ledger.details(token.id);
  assert.deepEqual([parked.job.state, parked.waitsFor, parked.failures, parked.entries.total], ['parked', [pacs.address], 1, 3]);
  assert.ok(parked.policy.maximumAge > 0 && parked.failingSince !== undefined);
  assert.deepEqual(parked.quarantined.map(({ instance, code, stage, name }) => [instance, code, stage, name]), [[2, 'UID_CONFLICT', 'extract', token.name]]);
  assert.deepEqual(parked.destinations.map(({ label, pending, verified }) => [label, pending, verified]), [['pacs', 1, 0]]);
  assert.deepEqual(parked.events.map(({ event, code }) => [event, code]), [['receiving', undefined], ['open', undefined], ['quarantined', 'UID_CONFLICT'], ['extracted', undefined], ['parked', 'PEER_UNREACHABLE']]);
  await bench.ledger.cancel(token.id, 'H');
  await closed(bench, token);
  const after = await bench.ledger.details(token.id);
  assert.deepEqual(after.events.slice(5).map(({ event }) => event).filter((event) => ['cancelled', 'source', 'temporary files', 'closed'].includes(event)), ['cancelled', 'source', 'temporary files', 'closed']);
  assert.deepEqual(after.destinations.map(({ pending }) => pending), [1]);
  await assert.rejects(bench.ledger.details('x' as JobToken['id']), { code: 'JOB_UNKNOWN' });
});

// ---------------------------------------------------------------------------------------------- finding

const PROFILE_KEY = Buffer.from('k'.repeat(40));
const SCOPE = 'site';
const patientOf = (patientId: string, key = PROFILE_KEY): string => pseudonym(key, SCOPE, 'patient', identityParts({ issuer: 'H', patientId, studyInstanceUID: '1.2.3' })!);
const names = async (bench: Bench, keyed: readonly string[], uid?: string): Promise<string[]> => (await bench.ledger.find({ keyed, ...(uid === undefined ? {} : { uid }) })).map(({ name }) => name.slice(-4));

/** De-identified as `anonymize` records it: study and patient by what the key makes of them, one instance in quarantine. */
async function deidentified(bench: Bench, content: string, study: string, patientId: string): Promise<JobToken> {
  const token = await bench.take(content);
  const files = await bench.extract(token, [`${study}.1#a`, `${study}.2#b`]);
  const folder = await bench.ledger.stageFolder(token.id, 'anonymize');
  const { writeFile } = await import('node:fs/promises');
  const path = join(folder, '1.dcm') as never;
  await writeFile(path, 'made');
  const uid = mapUid(PROFILE_KEY, SCOPE, `${study}.1`);
  const marks = [patientOf(patientId), mapUid(PROFILE_KEY, SCOPE, study)];
  await bench.ledger.pinProfile(token.id, { name: 'basic', fingerprint: 'f' });
  await bench.ledger.recordPreparation(token.id, {
    stage: 'anonymize', settings: 'v1', profile: 'basic',
    files: [{ instance: 1, from: files[0]!.path as never, path, sha256: 'b'.repeat(64) as never, bytes: 4, file: { ...files[0]!, path, bytes: 4, sopInstanceUID: uid }, marks }],
    quarantined: [{ instance: 2, code: 'RISK_BURNED_IN', path: files[1]!.path as never, marks: [...marks, mapUid(PROFILE_KEY, SCOPE, `${study}.2`)] }],
  });
  await bench.deliver(token, destination('pacs'), [{ ...files[0]!, path, bytes: 4, sopInstanceUID: uid }]);
  await bench.ledger.finish(token, 'finish');
  await closed(bench, token);
  return token;
}

test('closed jobs are found by patient, study and instance with the key, until they are purged, and by nothing without it', async () => {
  await using bench = await Bench.open({ retention: 0 });
  await deidentified(bench, 'one', '1.2.840.7', 'A-0001');
  await deidentified(bench, 'two', '1.2.840.8', 'A-0001');
  await deidentified(bench, 'three', '1.2.840.9', 'A-0002');
  assert.deepEqual(await names(bench, [patientOf('A-0001')]), ['0001', '0002']);
  assert.deepEqual(await names(bench, [patientOf('A-0002'), patientOf('none')]), ['0003']);
  assert.deepEqual(await names(bench, [mapUid(PROFILE_KEY, SCOPE, '1.2.840.8')]), ['0002']);
  assert.deepEqual(await names(bench, [mapUid(PROFILE_KEY, SCOPE, '1.2.840.9.1')]), ['0003'], 'by an instance that was delivered');
  assert.deepEqual(await names(bench, [mapUid(PROFILE_KEY, SCOPE, '1.2.840.9.2')]), ['0003'], 'by one in quarantine');
  assert.deepEqual(await names(bench, ['A-0001', '1.2.840.8']), []);
  assert.deepEqual(await names(bench, [patientOf('A-0001', Buffer.from('other'.repeat(9)))]), []);
  assert.deepEqual(await names(bench, [], '1.2.840.8'), [], 'of a study that was de-identified the key alone tells');
  assert.deepEqual(await names(bench, [], '1.2.840.8.1'), [], 'and of its instance');
  assert.deepEqual(await names(bench, [], '1.2.840.8.2'), ['0002'], 'but for one that lies in quarantine as it was');
  // Their retention is over, which the next start finds.
  await bench.restart();
  await until(async () => (await bench.ledger.jobs()).length === 0);
  assert.deepEqual(await names(bench, [patientOf('A-0001')]), []);
});

test('jobs that were not de-identified are found by their original UIDs', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('one');
  const files = await bench.extract(token, ['1.2.840.1#a', '1.2.840.2#b']);
  assert.deepEqual(await names(bench, [], '1.2.840.2'), ['0001'], 'before anything was sent');
  await bench.deliver(token, destination('trusted', true), files);
  await bench.ledger.finish(token, 'finish');
  await closed(bench, token);
  await bench.restart();
  assert.deepEqual(await names(bench, [], '1.2.840.1'), ['0001']);
  assert.deepEqual(await names(bench, [], '1.2.3'), ['0001'], 'by the study');
  assert.deepEqual(await names(bench, [], '1.2.3.1'), ['0001'], 'by the series');
  assert.deepEqual(await names(bench, [], '1.2.840.3'), []);
});

test('a copy of the ledger without the key of the profile does not answer for a guessed PatientID', async () => {
  await using bench = await Bench.open();
  await deidentified(bench, 'one', '1.2.840.7', 'A-0001');
  // Somebody asks, too; nothing of the question may stay.
  await bench.ledger.find({ keyed: ['CANARY-KEYED'], uid: '1.2.3.4.5.6.7.8' });
  await bench.ledger.close();
  const database = new DatabaseSync(join(bench.ledger.folders.root, 'ledger.sqlite'), { readOnly: true });
  const salt = database.prepare("SELECT value FROM meta WHERE name = 'salt'").get()?.['value'] as Uint8Array;
  const marks = new Set(database.prepare('SELECT mark FROM subject').all().map(({ mark }) => Buffer.from(mark as Uint8Array).toString('hex')));
  const everything = database.prepare('SELECT * FROM sqlite_schema').all().filter(({ type }) => type === 'table')
    .map(({ name }) => JSON.stringify(database.prepare(`SELECT * FROM "${String(name)}"`).all())).join('\n');
  database.close();
  const mark = (text: string): string => createHmac('sha256', salt).update(text).digest('hex').slice(0, 32);
  assert.ok(marks.has(mark(`keyed ${patientOf('A-0001')}`)), 'this is how they are made');
  for (const guess of ['A-0001', 'keyed A-0001', 'uid A-0001', 'patient A-0001', JSON.stringify(['patient', 'H', 'A-0001'])]) assert.ok(!marks.has(mark(guess)), guess);
  assert.ok(!everything.includes('A-0001') && !everything.includes('CANARY') && !everything.includes('1.2.3.4.5.6.7.8'));
});
