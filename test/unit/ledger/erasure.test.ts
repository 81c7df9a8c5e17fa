import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { FoundEntry } from '../../../nodes/engine/ledger/ledger-types';
import { Bench, destination, until } from './fixture';

/** How often any of the strings stands in any file of the ledger's folders, also inside unused parts of its database. */
async function found(folder: string, strings: readonly string[], recursive = true): Promise<string[]> {
  const hits: string[] = [];
  for (const entry of await readdir(folder, { recursive, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const content = await readFile(path);
    for (const text of strings) if (content.includes(text) || entry.name.includes(text)) hits.push(`${entry.name}: ${text}`);
  }
  return hits;
}

test('nothing planted in names, origins, topics, UIDs or labels is in any file of the ledger, open or closed', async () => {
  await using bench = await Bench.open({ slots: 100 });
  const { root } = bench.ledger.folders;
  const planted = ['CANARY-NAME', 'CANARY-ORIGIN', 'CANARY-TOPIC', 'CANARY-ISSUER', 'CANARY-LABEL', '1.9.8.7.6.5.4.3.2.1'];
  const jobs = [];
  for (let round = 0; round < 12; round += 1) {
    const token = await bench.take(`content ${round}`, { topic: 'CANARY-TOPIC', issuer: 'CANARY-ISSUER', origin: { path: `/x/CANARY-ORIGIN/${round}` } });
    const entries: FoundEntry[] = (await bench.entries(token, Array.from({ length: 1 + round * 7 }, (_, n) => `1.9.8.7.6.5.4.3.2.1.${round}.${n}#${n}`)))
      .map((entry) => ({ ...entry, name: `CANARY-NAME/${'é'.repeat(round * 20)}`, file: { ...entry.file!, patient: 'CANARY-LABEL' } }));
    const { files } = await bench.ledger.recordExtraction(token.id, 's', entries);
    const made = await bench.prepare(token, files);
    if (round % 3 === 0) await bench.ledger.planDeliveries(token.id, destination('trusted', true), files);
    jobs.push({ token, made });
    if (round % 2 === 1) {
      const done = jobs.splice(Math.floor(jobs.length / 2), 1)[0]!;
      await bench.deliver(done.token, destination('pacs'), done.made);
      await bench.ledger.fail(done.token, new ExdicomError('SEVERAL_PATIENTS'));
    }
  }
  assert.deepEqual(await found(root, planted, false), [], 'in the database while jobs are open');
  for (const { token } of jobs) await bench.ledger.fail(token, new ExdicomError('SEVERAL_PATIENTS'));
  await until(async () => (await bench.ledger.jobs()).every(({ state }) => state === 'closed'));
  assert.deepEqual(await found(root, planted), [], 'nor anywhere once they are closed');
  assert.deepEqual(await found(root, ['1.9.8.7']), []);
});

test('the key that would open what is left of a closed job is gone from every page', async () => {
  await using bench = await Bench.open();
  const { root } = bench.ledger.folders;
  const token = await bench.take('content', { topic: randomBytes(8).toString('hex') });
  await bench.extract(token, ['1.1#a']);
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(join(root, 'ledger.sqlite'), { readOnly: true });
  const key = Buffer.from(database.prepare('SELECT key FROM secret').get()?.['key'] as Uint8Array);
  database.close();
  const holders = async (): Promise<string[]> => {
    const names = (await readdir(root)).filter((name) => name.startsWith('ledger.'));
    const contents = await Promise.all(names.map((name) => readFile(join(root, name))));
    return names.filter((_, index) => contents[index]!.includes(key));
  };
  assert.notDeepEqual(await holders(), [], 'it is there while the job is open');
  await bench.ledger.fail(token, new ExdicomError('NO_DICOM'));
  await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
  assert.deepEqual(await holders(), []);
  const job = await bench.ledger.job(token.id);
  assert.deepEqual([job.topic, job.issuer], [undefined, undefined]);
});

test('reasons, receipts and errors hold no name', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('c', { topic: 'CANARY', origin: { path: '/CANARY' } });
  await bench.extract(token, ['1.9.8#a', '1.9.8#b']);
  const opened = JSON.stringify(await bench.ledger.jobs());
  assert.ok(opened.includes('CANARY'), 'an open job has its topic, for its source');
  await bench.ledger.fail(token, new ExdicomError('NO_CONTEXT', { detail: 'SOP Class 1.2' }));
  await until(() => bench.source.disposed.length === 1);
  await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
  const told = JSON.stringify([bench.source.disposed[0]?.reason, await bench.ledger.receipt(token.id), await bench.ledger.jobs()]);
  assert.ok(!told.includes('CANARY') && !told.includes('1.9.8'), told);
});
