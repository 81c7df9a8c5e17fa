import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { JobToken } from '../../../nodes/engine/model';
import { Bench, until } from './fixture';

const PACS = 'dicom:PACS@127.0.0.1:104';
const held = new ExdicomError('DESTINATION_HELD', { destination: PACS });

/** Jobs that wait for a paused destination, and for nothing else. */
async function waiting(bench: Bench, number: number): Promise<JobToken[]> {
  const tokens = await Promise.all(Array.from({ length: number }, () => bench.take()));
  await bench.ledger.hold({ destination: PACS }, 'pause', 'me');
  for (const token of tokens) assert.equal((await bench.ledger.fail(token, held)).kind, 'parked');
  return tokens;
}

test('a destination that was let go is let go after a restart too, for the jobs that had no slot before it', async () => {
  await using bench = await Bench.open({ slots: 3 });
  const tokens = await waiting(bench, 3);
  bench.ledger.enter(await bench.take(), 'extract');
  bench.ledger.enter(await bench.take(), 'extract');
  await bench.ledger.resume({ destination: PACS }, 'me');
  await until(() => bench.source.sent.length === 1);
  await bench.restart();
  const [, second, third] = tokens;
  await until(() => [second, third].every((token) => bench.source.sent.some((sent) => sent.token.id === token?.id)));
});

test('a destination that is held still keeps its jobs over a restart', async () => {
  await using bench = await Bench.open();
  await waiting(bench, 2);
  await bench.restart();
  await sleep(100);
  assert.equal(bench.source.sent.length, 0);
});

test('jobs whose destination was let go while it did not answer are tried again, though nobody asks it any more', async () => {
  await using bench = await Bench.open();
  await waiting(bench, 1);
  const circuit = bench.ledger.destinationDown(PACS);
  await bench.ledger.resume({ destination: PACS }, 'me');
  circuit[Symbol.dispose]();
  await until(() => bench.source.sent.length === 1);
});

test('jobs that were let go, and then kept back since their destination does not answer, are tried again', async () => {
  await using bench = await Bench.open({ slots: 1 });
  await waiting(bench, 1);
  const other = await bench.take();
  await bench.ledger.resume({ destination: PACS }, 'me');
  const circuit = bench.ledger.destinationDown(PACS);
  await bench.ledger.fail(other, new ExdicomError('NEEDS_PASSWORD'));
  circuit[Symbol.dispose]();
  await until(() => bench.source.sent.length === 1);
});

test('a job that a pause stopped goes on when its destination is to be drained', async () => {
  await using bench = await Bench.open();
  await waiting(bench, 1);
  await bench.ledger.hold({ destination: PACS }, 'drain', 'me');
  await until(() => bench.source.sent.length === 1);
  // Nothing of it had been tried there: it waits on.
  await bench.ledger.fail(bench.source.sent[0]!.token, held);
  await sleep(100);
  assert.equal(bench.source.sent.length, 1);
});

test('a job that was refused by a pause, and parks when that is over already, is tried again', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  await bench.ledger.fail(token, held);
  await until(() => bench.source.sent.length === 1);
});

test('a job that two held destinations refuse at the same moment waits for both, and goes on when either is let go', async () => {
  const folder = 'folder:/kept';
  for (const released of [PACS, folder]) {
    await using bench = await Bench.open();
    const token = await bench.take();
    await Promise.all([PACS, folder].map((destination) => bench.ledger.hold({ destination }, 'drain', 'me')));
    const failures = await Promise.all([PACS, folder].map((destination) => bench.ledger.fail(token, new ExdicomError('DESTINATION_HELD', { destination }))));
    assert.deepEqual(failures.map(({ kind }) => kind), ['parked', 'parked']);
    await bench.ledger.resume({ destination: released }, 'me');
    await until(() => bench.source.sent.length === 1);
  }
});
