import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { ExdicomError, toExdicomError } from '../../../nodes/engine/errors';
import { deliverToFolder, folderAddress } from '../../../nodes/engine/folder/deliver';
import type { JobToken } from '../../../nodes/engine/model';
import { Bench } from '../ledger/fixture';

test('two jobs that find room for only a part of their files do not wake one another', async () => {
  await using bench = await Bench.open({ policy: { delay: 3_600_000, factor: 1, cap: 3_600_000, jitter: 0, maximumAge: 1e9 } });
  const folder = join(bench.folder, 'received');
  await mkdir(folder);
  const address = folderAddress(folder);
  const take = async (uid: string): Promise<() => Promise<void>> => {
    const token: JobToken = await bench.take();
    const files = await bench.prepare(token, await bench.extract(token, [`${uid}.1#a`, `${uid}.2#b`]));
    // Where the second file would be written before it gets its name; what is in the way there may go.
    await mkdir(join(folder, token.name, `.${token.id}-2.part`), { recursive: true });
    return async () => {
      const destination = { address, label: 'received', identifiedAllowed: false, folder, layout: 'number' } as const;
      const failure: unknown = await deliverToFolder({ ledger: bench.ledger, token, destination, files, signal: new AbortController().signal }).then(() => undefined, (thrown: unknown) => thrown);
      const error = toExdicomError(failure);
      assert.equal(error.retryable, true, error.message);
      await bench.ledger.fail(token, error);
    };
  };
  const [one, other] = [await take('1.1'), await take('1.2')];
  await one();
  await other();
  await sleep(100);
  assert.equal(bench.source.sent.length, 0);
});

test('a full destination folder keeps nothing else from being taken in', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const failure = await bench.ledger.fail(token, new ExdicomError('DISK_FULL', { destination: folderAddress('/elsewhere'), stage: 'deliver' }));
  assert.deepEqual([failure.kind, bench.ledger.status().state, await bench.ledger.room()], ['parked', 'ready', 'free']);
});

test('a file in the place of a folder at the destination is named as what is in the way, and nothing is said of the work folder', async () => {
  await using bench = await Bench.open();
  const folder = join(bench.folder, 'received');
  await mkdir(folder);
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.1.1#a', '1.1.2#b']));
  await writeFile(join(folder, token.name), 'of somebody');
  const destination = { address: folderAddress(folder), label: 'received', identifiedAllowed: false, folder, layout: 'number' } as const;
  await assert.rejects(deliverToFolder({ ledger: bench.ledger, token, destination, files, signal: new AbortController().signal }), (error) => {
    assert.ok(error instanceof ExdicomError);
    assert.deepEqual([error.code, error.retryable], ['STORAGE_FAILED', true]);
    assert.match(error.message, /destination folder: a file is in the place of a folder/);
    assert.doesNotMatch(error.message, /work folder/);
    return true;
  });
});
