import assert from 'node:assert/strict';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import type { LedgerSettings } from '../../../nodes/engine/ledger/ledger-types';
import { Bench, destination, until } from './fixture';

/** A closed job with two files in quarantine. */
async function closedJob(overrides: Partial<LedgerSettings>): Promise<Bench> {
  const bench = await Bench.open(overrides);
  const token = await bench.take('content');
  const files = await bench.extract(token, ['1.1#a', '1.1#b', '1.2#c']);
  await bench.ledger.recordPreparation(token.id, { stage: 'anonymize', settings: 'v', profile: 'p', files: [], quarantined: [{ instance: 3, code: 'RISK_DOCUMENT', path: files[1]!.path as never }] });
  await bench.deliver(token, destination('pacs'), await bench.prepare(token, files.slice(0, 1)));
  await bench.ledger.finish(token, 'finish');
  await bench.closed(1);
  return bench;
}

test('closed jobs and their receipts go after their retention, quarantined files stay until a person removes them', async () => {
  await using bench = await closedJob({ retention: 0, quarantineRetention: 0 });
  const id = bench.receipts[0]!.job.id;
  await bench.restart();
  await until(async () => (await bench.ledger.receipt(id)) === undefined);
  assert.deepEqual(await bench.ledger.jobs(), []);
  assert.equal(bench.ledger.status().quarantined, 2);
  const folder = join(bench.ledger.folders.quarantine, 'folder-in-0001');
  assert.equal((await readdir(folder)).length, 4);
  await rm(join(folder, '000002.dcm'));
  await bench.restart();
  await until(() => bench.ledger.status().quarantined === 1);
});

test('however many jobs are past their retention, one look removes them all', async () => {
  await using bench = await closedJob({ retention: 1 });
  await bench.ledger.close();
  const database = new DatabaseSync(join(bench.settings.directory, 'ledger.sqlite'));
  const same = database.prepare('PRAGMA table_info(job)').all().map(({ name }) => String(name)).filter((name) => !['n', 'id', 'closed_at'].includes(name)).join(', ');
  const job = database.prepare(`INSERT INTO job (n, id, closed_at, ${same}) SELECT ?, ?, 0, ${same} FROM job WHERE n = 1`);
  for (let n = 2; n <= 500; n += 1) job.run(n, `job ${n}`);
  database.close();
  await bench.restart();
  await until(async () => (await bench.ledger.jobs()).length === 1);
  assert.deepEqual((await bench.ledger.jobs()).map(({ id }) => id), [bench.receipts[0]!.job.id]);
});

test('quarantined files go after their own retention', async () => {
  await using bench = await closedJob({ retention: 30, quarantineRetention: 1e-9 });
  await bench.restart();
  await until(() => bench.ledger.status().quarantined === 0);
  assert.deepEqual(await readdir(bench.ledger.folders.quarantine), []);
  assert.equal((await bench.ledger.jobs()).length, 1);
});

for (const folder of ['quarantine/folder-in-0041', 'failed/folder-in 0041', 'done/extract 0041']) test(`a new ledger in an old directory does not write into ${folder} of the former`, async () => {
  await using bench = await Bench.open();
  await bench.ledger.close();
  await mkdir(join(bench.settings.directory, folder));
  for (const file of ['ledger.sqlite', 'ledger.lock']) await rm(join(bench.settings.directory, file));
  await bench.restart();
  const token = await bench.take();
  assert.equal(token.name, 'folder-in 0042');
});

test('the folder of a job is safe whatever its source is called', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('x', { prefix: '../../Ä 資料夾/' });
  const [entry] = await bench.entries(token, ['1.1#a']);
  const { files } = await bench.ledger.recordExtraction(token.id, 's', [entry!]);
  await writeFile(files[0]!.path, '1.1#a');
  await bench.ledger.recordPreparation(token.id, { stage: 'anonymize', settings: 'v', files: [], quarantined: [{ instance: 1, code: 'DEID_UNREADABLE', path: files[0]!.path as never }] });
  assert.deepEqual(await readdir(bench.ledger.folders.quarantine), ['-Ä-資料夾-0001']);
});
