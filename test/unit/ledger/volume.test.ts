import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import test from 'node:test';
import type { FoundEntry } from '../../../nodes/engine/ledger/ledger-types';
import { openStore } from '../../../nodes/engine/ledger/store-client';
import type { DicomFile, JobId, OwnPath, SourceKey } from '../../../nodes/engine/model';
import { Bench, destination, sha256 } from './fixture';

/** Runs it and tells how long it took and how long the event loop was held up meanwhile. */
async function measured<T>(context: test.TestContext, what: string, work: () => Promise<T>): Promise<T> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const from = performance.now();
  const result = await work();
  const took = performance.now() - from;
  delay.disable();
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
