import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { verifyJournal } from '../../../nodes/engine/ledger/journal';
import { Bench, destination, until } from './fixture';

/** A small file system of its own in memory, where this process may mount one. */
function smallDisk(megabytes: number): { readonly folder: string; unmount(): void } | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    rmSync(folder, { recursive: true });
    return undefined;
  }
  return {
    folder,
    unmount: () => {
      execFileSync('umount', [folder], { stdio: 'ignore' });
      rmSync(folder, { recursive: true });
    },
  };
}

test('a full disk pauses the intake, fails nothing for good, and everything goes on when there is room again', async (context) => {
  const disk = smallDisk(16);
  if (disk === undefined) {
    context.skip('mounting a tmpfs is not permitted here');
    return;
  }
  try {
    await using bench = await Bench.open({ directory: join(disk.folder, 'ledger'), policy: { delay: 200, factor: 1, cap: 200, jitter: 0, maximumAge: 1e9 } });
    const token = await bench.take('small');
    const files = await bench.prepare(token, await bench.extract(token, Array.from({ length: 50 }, (_, n) => `1.${n}#${n}`)));
    const filler = join(disk.folder, 'filler');
    await assert.rejects(writeFile(filler, Buffer.alloc(20_000_000)), { code: 'ENOSPC' });

    // The ledger has some room of its own for closing jobs; it takes a while to use that up.
    const codes = new Set<string>();
    for (let round = 0; codes.size === 0; round += 1) {
      const planned = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => bench.ledger.planDeliveries(token.id, destination(`pacs ${round} ${n}`), files)));
      for (const one of planned) if (one.status === 'rejected') codes.add((one.reason as { code: string }).code);
    }
    assert.deepEqual([...codes], ['DISK_FULL']);
    assert.equal((await bench.ledger.fail(token, new ExdicomError('DISK_FULL'))).kind, 'parked');
    assert.equal(await bench.ledger.room(), 'space');
    assert.deepEqual([bench.ledger.status().state, bench.ledger.status().reason], ['paused', 'DISK_FULL']);

    await rm(filler);
    await until(() => bench.ledger.status().state === 'ready');
    await until(() => bench.source.sent.length > 0);
    assert.equal(await bench.ledger.room(), 'free');
    const again = bench.source.sent[0]!.token;
    const plan = await bench.ledger.planDeliveries(again.id, destination('pacs'), files);
    assert.equal(plan.length, 50);
    assert.equal((await bench.ledger.job(token.id)).attempt, again.attempt);
    await bench.restart();
    assert.equal((await bench.ledger.jobs()).length, 1);
  } finally {
    disk.unmount();
  }
});

test('what does not fit is refused as a full disk and leaves nothing behind', async (context) => {
  const disk = smallDisk(16);
  if (disk === undefined) {
    context.skip('mounting a tmpfs is not permitted here');
    return;
  }
  try {
    await using bench = await Bench.open({ directory: join(disk.folder, 'ledger'), reserve: -100_000_000 });
    await assert.rejects(bench.ledger.take(await bench.intake('x'.repeat(20_000_000)), new AbortController().signal), { code: 'DISK_FULL' });
    await until(async () => (await bench.ledger.jobs()).length === 0);
    assert.equal(await bench.ledger.room(), 'space');
  } finally {
    disk.unmount();
  }
});

test('jobs can be closed on a disk filled to the last byte, which makes room', async (context) => {
  const disk = smallDisk(24);
  if (disk === undefined) {
    context.skip('mounting a tmpfs is not permitted here');
    return;
  }
  try {
    await using bench = await Bench.open({ directory: join(disk.folder, 'ledger') });
    const token = await bench.take('x'.repeat(6_000_000));
    await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
    await assert.rejects(writeFile(join(disk.folder, 'filler'), Buffer.alloc(40_000_000)), { code: 'ENOSPC' });
    await bench.ledger.finish(token, 'finish');
    await bench.closed(1);
    assert.equal(bench.receipts[0]?.job.outcome, 'complete');
  } finally {
    disk.unmount();
  }
});

test('a journal whose own disk is full is behind, stops no job, and has every line when there is room again', async (context) => {
  const disk = smallDisk(1);
  if (disk === undefined) {
    context.skip('mounting a tmpfs is not permitted here');
    return;
  }
  try {
    await using bench = await Bench.open();
    await bench.ledger.close();
    const { journal } = bench.ledger.folders;
    await rm(journal, { recursive: true });
    await symlink(disk.folder, journal);
    const filler = join(disk.folder, 'filler');
    await assert.rejects(writeFile(filler, Buffer.alloc(2_000_000)), { code: 'ENOSPC' });
    await bench.restart();
    const token = await bench.take();
    await until(() => bench.ledger.status().journal === 'DISK_FULL');
    await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
    await bench.ledger.finish(token, 'finish');
    await bench.closed(1);
    await rm(filler);
    await until(() => bench.ledger.status().journal === undefined && bench.ledger.status().state === 'ready');
    await bench.ledger.close();
    const report = await verifyJournal(journal, bench.receipts.map((receipt) => receipt.journal));
    assert.deepEqual([report.sound, report.torn, report.chains, report.first?.seq], [true, false, 1, 1]);
  } finally {
    disk.unmount();
  }
});
