import assert from 'node:assert/strict';
import { chmod, cp, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { spoolCost } from '../../../nodes/engine/ledger/intake';
import type { Intake } from '../../../nodes/engine/ledger/ledger-types';
import type { SourceKey } from '../../../nodes/engine/model';
import { mountMissing, SmallDisk } from '../../support/small-disk';
import { Bench, destination, sha256, until } from './fixture';

const { signal } = new AbortController();

test('files are copied under numbers, for us alone, and folders are closed to others', async () => {
  await using bench = await Bench.open();
  const items = [await bench.file('../../evil name.part1.rar'.replaceAll('/', '_'), 'one'), await bench.file('b.part2.rar', 'two')];
  const taken = await bench.ledger.take({ sourceKey: bench.source.sourceKey, kind: 'archive', prefix: 'folder-in', items, issuer: 'HOSPITAL-A' }, signal);
  assert.equal(taken.kind, 'job');
  if (taken.kind !== 'job') return;
  assert.deepEqual(await readdir(taken.path), ['0001', '0002']);
  assert.equal(await readFile(join(taken.path, '0002'), 'utf8'), 'two');
  assert.equal((await stat(join(taken.path, '0001'))).mode & 0o777, 0o600);
  for (const folder of [...Object.values(bench.ledger.folders) as string[], taken.path]) assert.equal((await stat(folder)).mode & 0o777, 0o700, folder);
  for (const file of ['ledger.sqlite', 'ledger.sqlite-wal', 'ledger.sqlite-shm', 'ledger.lock']) assert.equal((await stat(join(bench.ledger.folders.root, file))).mode & 0o777, 0o600, file);
  const job = await bench.ledger.job(taken.token.id);
  assert.deepEqual([job.name, job.issuer, job.bytes, job.state], ['folder-in 0001', 'HOSPITAL-A', 6, 'open']);
  assert.deepEqual((await bench.ledger.spool(job.id)).map(({ n, name }) => [n, name]), [[1, items[0]?.name], [2, items[1]?.name]]);
});

test('what two nodes find in one folder at the same moment becomes one job, and no duplicate of itself that moves its original away', async () => {
  await using bench = await Bench.open();
  const intake = await bench.intake('content');
  const taken = await Promise.all([bench.ledger.take(intake, signal), bench.ledger.take(intake, signal)]);
  assert.deepEqual(taken.map(({ kind }) => kind).toSorted(), ['job', 'refused']);
  const job = taken.find(({ kind }) => kind === 'job');
  const again = await bench.ledger.take(intake, signal);
  assert.ok(job?.kind === 'job' && again.kind === 'duplicate');
  assert.equal(again.of, job.token.id);
  assert.equal((await bench.ledger.jobs()).length, 1);
  assert.deepEqual(bench.source.disposed, []);
});

test('a Buffer is taken as it is', async () => {
  await using bench = await Bench.open();
  const content = Buffer.from('some bytes');
  const taken = await bench.ledger.take({ sourceKey: bench.source.sourceKey, kind: 'message', prefix: 'extract', items: [{ content, name: 'message' }] }, signal);
  assert.ok(taken.kind === 'job');
  assert.equal(await readFile(taken.path, 'utf8'), 'some bytes');
  assert.equal((await bench.ledger.job(taken.token.id)).digest, sha256(content));
});

test('a source that changes, goes or cannot be read leaves no job behind', async () => {
  await using bench = await Bench.open();
  const intake = await bench.intake('content');
  const [item] = intake.items;
  assert.ok(item !== undefined && 'path' in item);
  const refuse = async (items: typeof intake.items, code: string): Promise<void> => {
    await assert.rejects(bench.ledger.take({ ...intake, items }, signal), { code });
    assert.deepEqual(await bench.ledger.jobs(), []);
    assert.deepEqual(await readdir(bench.ledger.folders.work), []);
  };
  await refuse([{ ...item, bytes: item.bytes + 1 }], 'SOURCE_CHANGED');
  await refuse([{ ...item, mtimeMs: item.mtimeMs - 1000 }], 'SOURCE_CHANGED');
  await refuse([item, { ...item, path: `${item.path}.gone` }], 'SOURCE_GONE');
  await refuse([{ ...item, path: bench.folder }], 'SOURCE_CHANGED');
  await promisify(execFile)('mkfifo', [join(bench.folder, 'pipe')]);
  await refuse([{ ...item, path: join(bench.folder, 'pipe'), bytes: 0 }], 'SOURCE_CHANGED');
  await refuse([], 'NOTHING_TO_DO');
  if (process.getuid?.() !== 0) {
    await chmod(item.path, 0);
    await refuse([item], 'SOURCE_UNREADABLE');
  }
});

test('an intake that is aborted leaves no job behind', async () => {
  await using bench = await Bench.open();
  const abort = new AbortController();
  const taking = bench.ledger.take(await bench.intake('x'.repeat(5_000_000)), abort.signal);
  abort.abort(new ExdicomError('LEDGER_CLOSED'));
  await assert.rejects(taking);
  assert.deepEqual(await bench.ledger.jobs(), []);
  assert.equal(await bench.ledger.room(), 'free');
});

test('slots are counted before anything is awaited', async () => {
  await using bench = await Bench.open({ slots: 2 });
  const intakes = await Promise.all(Array.from({ length: 6 }, () => bench.intake()));
  const taken = await Promise.all(intakes.map((intake) => bench.ledger.take(intake, signal)));
  assert.deepEqual(taken.map(({ kind }) => kind).toSorted(), ['job', 'job', 'refused', 'refused', 'refused', 'refused']);
});

test('the reserve and the declared size close the gate', async () => {
  await using bench = await Bench.open({ reserve: 1e15 });
  assert.equal(await bench.ledger.room(), 'space');
  assert.deepEqual(await bench.ledger.take(await bench.intake(), signal), { kind: 'refused', reason: 'space' });
});

test('a ledger whose folder is away takes nothing in, is not called full, and goes on when it is back', async () => {
  await using bench = await Bench.open();
  const { root } = bench.ledger.folders;
  await rename(root, `${root}.away`);
  assert.equal(await bench.ledger.room(), 'space');
  assert.deepEqual([bench.ledger.status().state, bench.ledger.status().reason], ['paused', 'STORAGE_FAILED']);
  await rename(`${root}.away`, root);
  await until(() => bench.ledger.status().state === 'ready');
  assert.equal(await bench.ledger.room(), 'free');
});

test('what is too large for the disk is told from what only waits for what is being taken in', { skip: mountMissing() }, async () => {
  using disk = SmallDisk.make(64);
  await using bench = await Bench.open({ directory: join(disk.folder, 'ledger') });
  const sized = async (megabytes: number): Promise<Intake> => ({ ...await bench.intake(), items: [await bench.file(`${megabytes}.zip`, Buffer.alloc(megabytes * 1_000_000))] });
  const [one, other, large] = [await sized(12), await sized(11), await sized(30)];
  const taking = bench.ledger.take(one, signal);
  await until(async () => (await bench.ledger.jobs()).length > 0);
  assert.deepEqual(await bench.ledger.take(other, signal), { kind: 'refused', reason: 'slots' });
  assert.deepEqual(await bench.ledger.take(large, signal), { kind: 'refused', reason: 'space' });
  assert.equal((await taking).kind, 'job');
  assert.equal((await bench.ledger.take(other, signal)).kind, 'job');
});

test('the same content is a duplicate of an open job, and of a complete one while flows do the same', async () => {
  await using bench = await Bench.open();
  const configured = bench.ledger.configure('anonymize', 'profile 1');
  const token = await bench.take('same');
  const while_open = await bench.ledger.take(await bench.intake('same'), signal);
  assert.ok(while_open.kind === 'duplicate' && while_open.of === token.id);
  await until(() => bench.source.disposed.length === 1);
  assert.deepEqual([bench.source.disposed[0]?.disposition, bench.source.disposed[0]?.reason.duplicateOf], ['done', token.id]);
  await until(async () => (await bench.ledger.job(while_open.job.id)).outcome === 'duplicate' && (await bench.ledger.job(while_open.job.id)).state === 'closed');
  await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
  await bench.ledger.finish(token, 'finish');
  await bench.closed(1);
  assert.equal((await bench.ledger.take(await bench.intake('same'), signal)).kind, 'duplicate');
  configured[Symbol.dispose]();
  bench.ledger.configure('anonymize', 'profile 2');
  assert.equal((await bench.ledger.take(await bench.intake('same'), signal)).kind, 'job');
});

test('content is the same whatever its files are called, and other from another source or hospital', async () => {
  await using bench = await Bench.open();
  const items = [await bench.file('a', '1'), await bench.file('b', '2')];
  const swapped = [await bench.file('c', '2'), await bench.file('d', '1')];
  const intake = { sourceKey: bench.source.sourceKey, kind: 'folder', prefix: 'folder-in' } as const;
  assert.equal((await bench.ledger.take({ ...intake, items }, signal)).kind, 'job');
  assert.equal((await bench.ledger.take({ ...intake, items: swapped }, signal)).kind, 'duplicate');
  assert.equal((await bench.ledger.take({ ...intake, items, issuer: 'B' }, signal)).kind, 'job');
  assert.equal((await bench.ledger.take({ ...intake, items, sourceKey: 'folder:/other' as SourceKey }, signal)).kind, 'job');
});

test('a failed job that is dropped in again runs again', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('same');
  await bench.ledger.fail(token, new ExdicomError('ARCHIVE_DAMAGED'));
  await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
  assert.equal((await bench.ledger.take(await bench.intake('same'), signal)).kind, 'job');
});

test('an original that a job has is not taken again, and its source can ask which it has', async () => {
  await using bench = await Bench.open();
  const intake = await bench.intake('content');
  const taken = await bench.ledger.take(intake, signal);
  assert.ok(taken.kind === 'job');
  assert.deepEqual(await bench.ledger.origins(bench.source.sourceKey), [{ job: taken.token.id, origin: intake.origin }]);
  await bench.restart();
  await until(() => bench.source.sent.length === 1);
  const again = await bench.ledger.take(intake, signal);
  assert.ok(again.kind === 'duplicate' && again.job.id === taken.token.id);
  assert.equal(bench.source.disposed.length, 0, 'the original is the open job\'s');
});

test('a study that is received grows over restarts and becomes a job when it is complete', async () => {
  await using bench = await Bench.open();
  const key = 'dicom:11112' as SourceKey;
  const { token, folder } = await bench.ledger.receive({ sourceKey: key, kind: 'received', prefix: 'c-store-in', study: '1.2.3' });
  const add = async (name: string): Promise<void> => {
    const path = join(folder, name);
    await writeFile(path, name);
    await bench.ledger.addReceived(token.id, { path: path as never, name, bytes: name.length, sha256: sha256(name) });
  };
  await Promise.all([add('one'), add('two')]);
  await bench.restart();
  const [receiving] = await bench.ledger.receiving(key);
  assert.deepEqual([receiving?.token.id, receiving?.folder, receiving?.study], [token.id, folder, '1.2.3']);
  assert.deepEqual((await readdir(folder)).toSorted(), ['one', 'two']);
  await add('three');
  const taken = await bench.ledger.completeReceived(token.id);
  assert.ok(taken.kind === 'job');
  assert.equal(taken.path, folder);
  assert.deepEqual([taken.token.attempt, (await bench.ledger.spool(token.id)).length], [1, 3]);
  await assert.rejects(bench.ledger.addReceived(token.id, { path: folder, name: 'x', bytes: 1, sha256: sha256('x') }), { code: 'JOB_UNKNOWN' });
  assert.deepEqual(await bench.ledger.receiving(key), []);
});

test('a study that two nodes have is completed once, and never while an instance of it is being added', async () => {
  await using bench = await Bench.open();
  const { token, folder } = await bench.ledger.receive({ sourceKey: 'dicom:11112' as SourceKey, kind: 'received', prefix: 'c-store-in', study: '1.2.3' });
  const add = (name: string) => bench.ledger.addReceived(token.id, { path: join(folder, name) as never, name, bytes: 1, sha256: sha256(name) });
  await add('one');
  const [, early] = await Promise.all([add('two'), bench.ledger.completeReceived(token.id)]);
  assert.deepEqual(early, { kind: 'refused', reason: 'slots' });
  const [first, second, late] = await Promise.allSettled([bench.ledger.completeReceived(token.id), bench.ledger.completeReceived(token.id), add('three')]);
  assert.deepEqual([first, second].map((one) => one.status === 'fulfilled' && one.value.kind), ['job', 'refused']);
  assert.equal(late.status === 'rejected' && (late.reason as { code: string }).code, 'JOB_UNKNOWN');
  assert.equal((await bench.ledger.spool(token.id)).length, 2);
});

test('what nobody else has outlives a ledger that does not know it: an older copy put back, or a new one', async () => {
  await using bench = await Bench.open();
  const { token, folder } = await bench.ledger.receive({ sourceKey: 'dicom:11112' as SourceKey, kind: 'received', prefix: 'c-store-in', study: '1.2.3' });
  await writeFile(join(folder, '000001.dcm'), 'received');
  await bench.ledger.addReceived(token.id, { path: join(folder, '000001.dcm') as never, name: 'one', bytes: 8, sha256: sha256('received') });
  const message = await bench.ledger.take({ sourceKey: bench.source.sourceKey, kind: 'message', prefix: 'extract', items: [{ content: Buffer.from('sent along'), name: 'message' }] }, signal);
  assert.ok(message.kind === 'job');
  const empty = await bench.ledger.receive({ sourceKey: 'dicom:11112' as SourceKey, kind: 'received', prefix: 'c-store-in', study: '1.2.4' });
  const watched = await bench.take();
  await bench.ledger.close();
  for (const name of await readdir(bench.ledger.folders.root)) if (name.startsWith('ledger.sqlite')) await rm(join(bench.ledger.folders.root, name));
  await bench.restart();
  const { work, failed } = bench.ledger.folders;
  assert.deepEqual(await readdir(work), []);
  assert.deepEqual((await readdir(failed)).toSorted(), [`unknown ${message.token.id}`, `unknown ${token.id}`].toSorted(), `neither ${empty.token.id} nor ${watched.id}`);
  assert.equal(await readFile(join(failed, `unknown ${token.id}`, '000001.dcm'), 'utf8'), 'received');
  assert.equal(await readFile(join(failed, `unknown ${message.token.id}`, '0001'), 'utf8'), 'sent along');
  const reason = JSON.parse(await readFile(join(failed, `unknown ${token.id}`, 'reason.json'), 'utf8')) as { error: { code: string } };
  assert.equal(reason.error.code, 'JOB_UNKNOWN');
});

test('what nobody else has is not swept where it cannot be looked at: the ledger waits', async () => {
  await using bench = await Bench.open();
  const { token, folder } = await bench.ledger.receive({ sourceKey: 'dicom:11112' as SourceKey, kind: 'received', prefix: 'c-store-in', study: '1.2.3' });
  await writeFile(join(folder, '000001.dcm'), 'received');
  await bench.ledger.close();
  for (const name of await readdir(bench.ledger.folders.root)) if (name.startsWith('ledger.sqlite')) await rm(join(bench.ledger.folders.root, name));
  // As a disk does that fails at this folder alone.
  await rename(folder, `${folder}.away`);
  await symlink('in', folder);
  await assert.rejects(bench.restart(), { code: 'STORAGE_FAILED' });
  await rm(folder);
  await rename(`${folder}.away`, folder);
  await bench.restart();
  assert.equal(await readFile(join(bench.ledger.folders.failed, `unknown ${token.id}`, '000001.dcm'), 'utf8'), 'received');
});

test('the time for copying grows with the files, not with their bytes alone', () => {
  const file = { bytes: 1000 };
  // A disk that needs a tenth of a second to flush each, at a thousand bytes a millisecond.
  assert.ok(spoolCost(Array.from({ length: 20_000 }, () => file)) > 20_000 * 100_000);
  assert.ok(spoolCost([{ bytes: 5e9 }]) >= 5e9);
});

test('what nobody else has is kept on another disk, and beside what was kept of it before', { skip: mountMissing() }, async () => {
  using disk = SmallDisk.make(4);
  await using bench = await Bench.open();
  const { failed, work } = bench.ledger.folders;
  await rm(failed, { recursive: true });
  await symlink(disk.folder, failed);
  const message = await bench.ledger.take({ sourceKey: bench.source.sourceKey, kind: 'message', prefix: 'extract', items: [{ content: Buffer.from('sent along'), name: 'message' }] }, signal);
  assert.ok(message.kind === 'job');
  const backup = join(bench.folder, 'backup');
  await cp(work, backup, { recursive: true });
  const kept = join(failed, `unknown ${message.token.id}`);
  for (let times = 1; times <= 2; times += 1) {
    await bench.ledger.close();
    for (const name of await readdir(bench.ledger.folders.root)) if (name.startsWith('ledger.sqlite')) await rm(join(bench.ledger.folders.root, name));
    await bench.restart();
    assert.deepEqual((await readdir(kept)).toSorted(), ['0001', 'reason.json']);
    assert.deepEqual(await readdir(work), []);
    // Somebody puts back an older copy of the work folder.
    await cp(backup, work, { recursive: true });
  }
});

test('what nobody owns is swept from the work folder at the start', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  await mkdir(join(bench.ledger.folders.work, 'left-over'));
  await writeFile(join(bench.ledger.folders.work, 'left-over', 'file'), 'x');
  await bench.restart();
  assert.deepEqual(await readdir(bench.ledger.folders.work), [token.id]);
});

test('done is emptied after the retention, by the time at which something came there', async () => {
  await using bench = await Bench.open({ retention: 0 });
  const item = await bench.file('old', 'x');
  assert.ok('path' in item);
  await rename(item.path, join(bench.ledger.folders.done, 'old'));
  await bench.restart();
  await until(async () => (await readdir(bench.ledger.folders.done)).length === 0);
});
