import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { createLedger } from '../../../nodes/engine/ledger/ledger';
import type { FoundEntry } from '../../../nodes/engine/ledger/ledger-types';
import { openStore } from '../../../nodes/engine/ledger/store-client';
import type { DicomFile, JobId, OwnPath, SourceKey } from '../../../nodes/engine/model';
import { Bench, destination, sha256 } from './fixture';

/** Runs it and tells how long it took and how long the event loop was held up meanwhile. */
async function measured<T>(context: test.TestContext, what: string, work: () => Promise<T>, tell: (longest: number) => void = () => undefined): Promise<T> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const from = performance.now();
  const result = await work();
  const took = performance.now() - from;
  delay.disable();
  tell(delay.max / 1e6);
  context.diagnostic(`${what}: ${took.toFixed(0)} ms, loop delay p99 ${(delay.percentile(99) / 1e6).toFixed(1)} ms, longest ${(delay.max / 1e6).toFixed(1)} ms`);
  return result;
}

test('ten thousand instances are recorded, found again, prepared, planned, delivered and receipted', async (context) => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const instances = Array.from({ length: 10_000 }, (_, n) => `1.2.840.113619.2.55.3.${n}#content ${n}`);
  const entries: FoundEntry[] = [];
  for (let at = 0; at < instances.length; at += 500) {
    entries.push(...await bench.entries(token, instances.slice(at, at + 500), [], at + 1));
  }
  const extraction = await measured(context, 'recordExtraction', () => bench.ledger.recordExtraction(token.id, 's', entries));
  assert.equal(extraction.files.length, 10_000);
  const again = await measured(context, 'extraction', () => bench.ledger.extraction(token.id, 's'));
  assert.deepEqual(again?.summary, extraction.summary);
  const made: DicomFile[] = [];
  for (let at = 0; at < 10_000; at += 500) made.push(...await bench.prepare(token, extraction.files.slice(at, at + 500)));
  const prepared = await measured(context, 'prepared', () => bench.ledger.prepared(token.id, 'anonymize', 'v1', extraction.files));
  assert.equal(prepared.files.length, 10_000);
  const to = destination('pacs');
  const planned = await measured(context, 'planDeliveries', () => bench.ledger.planDeliveries(token.id, to, made));
  await measured(context, 'recordDeliveries', () => bench.ledger.recordDeliveries(token.id, to, planned.map(({ file }) => ({ instance: file.instance, state: 'verified', level: 'C-FIND' }))));
  await measured(context, 'finish and close', async () => {
    await bench.ledger.finish(token, 'finish');
    await bench.closed(1);
  });
  assert.equal(bench.receipts[0]?.destinations[0]?.verified, 10_000);
  assert.equal(bench.receipts[0].balanced, true);
});

test('whoever names a hundred thousand instances of a quarantine of thousands holds up nobody', async (context) => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const files = await bench.extract(token, Array.from({ length: 5000 }, (_, n) => `1.${n + 1}#${n}`));
  await bench.ledger.recordPreparation(token.id, {
    stage: 'anonymize', settings: 'v', profile: 'strict', files: [], quarantined: files.map(({ instance, path }) => ({ instance: instance!, code: 'RISK_SOP_CLASS', path: path as OwnPath })),
  });
  const all = Array.from({ length: 100_000 }, (_, n) => n + 1);
  let longest = 0;
  await measured(context, 'discard', () => assert.rejects(bench.ledger.discard(token.id, all), { code: 'NOT_IN_QUARANTINE', detail: '5001-100000' }), (delay) => { longest = delay; });
  assert.ok(longest < 250, `the event loop was held up for ${longest} ms`);
});

test('ten thousand parked jobs hold up neither the start nor whoever tries them all', async (context) => {
  await using bench = await Bench.open({ maxParked: 100_000, policy: { delay: 3_600_000, factor: 1, cap: 3_600_000, jitter: 0, maximumAge: 1e9 } });
  const to = destination('pacs').address;
  const token = await bench.take();
  await bench.ledger.fail(token, new ExdicomError('PEER_UNREACHABLE', { destination: to }));
  await bench.ledger.close();
  const database = new DatabaseSync(join(bench.settings.directory, 'ledger.sqlite'));
  const same = database.prepare('PRAGMA table_info(job)').all().map(({ name }) => String(name)).filter((name) => !['n', 'id', 'name'].includes(name)).join(', ');
  const [job, secret] = [
    database.prepare(`INSERT INTO job (n, id, name, ${same}) SELECT ?, ?, ?, ${same} FROM job WHERE n = 1`), database.prepare('INSERT INTO secret (job, key) SELECT ?, key FROM secret WHERE job = 1'),
  ];
  database.exec('BEGIN');
  for (let n = 2; n <= 10_000; n += 1) {
    job.run(n, randomUUID(), `folder-in ${n}`);
    secret.run(n);
  }
  database.exec('COMMIT');
  database.close();
  bench.ledger = createLedger('test-ledger', bench.settings);
  let longest = 0;
  await measured(context, 'open', () => bench.ledger.open(), (delay) => { longest = delay; });
  assert.ok(longest < 300, `the event loop was held up for ${longest} ms`);
  assert.equal(bench.ledger.status().parked, 10_000);
  const from = performance.now();
  for (const { id } of await bench.ledger.jobs({ limit: 100 })) await bench.ledger.retryNow(id);
  const one = (performance.now() - from) / 100, between = performance.now();
  await measured(context, 'retryNow', async () => { assert.equal(await bench.ledger.retryNow({ destination: to }), 10_000); });
  assert.ok(performance.now() - between < 10_000 * one / 3, 'they share their commits');
});

test('changes that come together share a commit', async (context) => {
  await using bench = await Bench.open();
  await bench.ledger.close();
  const client = await openStore(bench.settings);
  await client.store.start();
  const { id } = await client.store.createJob({ id: 'j' as JobId, prefix: 'x', sourceKey: 'k' as SourceKey, kind: 'archive' });
  const add = (n: number): Promise<void> => client.store.addItems(id, [{ n, path: `/${n}` as OwnPath, bytes: 1, name: 'name', sha256: sha256('x') }]);
  const rate = async (count: number, together: number): Promise<number> => {
    const from = performance.now();
    for (let at = 0; at < count; at += together) await Promise.all(Array.from({ length: together }, (_, n) => add(1 + at + n)));
    return count / ((performance.now() - from) / 1000);
  };
  const alone = await rate(200, 1), together = await rate(4000, 200);
  context.diagnostic(`durable changes a second: ${alone.toFixed(0)} one after the other, ${together.toFixed(0)} in groups of 200`);
  assert.equal((await client.store.items(id)).length, 4000);
  await client.close(2000);
});
