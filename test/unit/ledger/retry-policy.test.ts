import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { minutesOf, nextActive } from '../../../nodes/engine/ledger/active-hours';
import type { ActiveHours } from '../../../nodes/engine/ledger/active-hours';
import type { RetryPolicy } from '../../../nodes/engine/ledger/ledger-types';
import { givesUp, nextTry } from '../../../nodes/engine/ledger/policy';
import { Bench, until } from './fixture';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const PACS = 'dicom:PACS@h:1';
const unreachable = (destination = PACS): ExdicomError => new ExdicomError('PEER_UNREACHABLE', { destination });
const held = (destination = PACS): ExdicomError => new ExdicomError('DESTINATION_HELD', { destination });
const slow: RetryPolicy = { delay: HOUR, factor: 2, cap: 8 * HOUR, jitter: 0, maximumAge: 10 * DAY };
const quick: RetryPolicy = { delay: 10, factor: 1, cap: 10, jitter: 0, maximumAge: 10 * DAY };

test('active hours: within a day, over midnight, on some days', () => {
  // 22 November 2026 is a Sunday.
  const on = (day: number, hours: number, minutes = 0): number => new Date(2026, 10, day, hours, minutes).getTime();
  const hours = (from: string, to: string, ...days: ActiveHours['days']): ActiveHours => ({ from: minutesOf(from) ?? -1, to: minutesOf(to) ?? -1, days });
  const office = hours('08:00', '17:30');
  assert.equal(nextActive(office, on(22, 9)), on(22, 9));
  assert.equal(nextActive(office, on(22, 7, 59)), on(22, 8));
  assert.equal(nextActive(office, on(22, 17, 30)), on(23, 8));
  const night = hours('20:00', '06:00');
  assert.equal(nextActive(night, on(22, 23)), on(22, 23));
  assert.equal(nextActive(night, on(22, 5, 59)), on(22, 5, 59));
  assert.equal(nextActive(night, on(22, 6)), on(22, 20));
  // A night belongs to the day on which it begins.
  const workNights = hours('20:00', '06:00', 'mon', 'fri');
  assert.equal(nextActive(workNights, on(22, 5)), on(23, 20));
  assert.equal(nextActive(workNights, on(24, 5)), on(24, 5));
  assert.equal(nextActive(workNights, on(24, 7)), on(27, 20));
  const wholeDays = hours('00:00', '00:00', 'sat', 'sun');
  assert.equal(nextActive(wholeDays, on(22, 23, 59)), on(22, 23, 59));
  assert.equal(nextActive(wholeDays, on(23, 0)), on(28, 0));
  assert.equal(nextActive(undefined, on(22, 3)), on(22, 3));
  assert.deepEqual(['8:05', '23:59', '24:00', '7', 'noon', ''].map(minutesOf), [485, 1439, undefined, undefined, undefined, undefined]);
});

test('a policy ends by number or by age, and what a destination asks for is a minimum', () => {
  assert.equal(nextTry({ ...slow, jitter: 0 }, 2, 1000), 1000 + 2 * HOUR);
  assert.equal(nextTry(slow, 1, 1000, 1000 + 5 * HOUR), 1000 + 5 * HOUR);
  assert.equal(givesUp({ ...slow, attempts: 3 }, { failures: 3 }, 0), false);
  assert.equal(givesUp({ ...slow, attempts: 3 }, { failures: 4 }, 0), true);
  assert.equal(givesUp({ ...slow, attempts: 0 }, { failures: 4000, failingSince: 0 }, 10 * DAY), false);
  assert.equal(givesUp(slow, { failures: 1, failingSince: 0 }, 10 * DAY + 1), true);
});

test('a retry node\'s policy takes the place of the ledger\'s for its job, is kept over a restart, and holds for the failures to come', async () => {
  await using bench = await Bench.open({ policy: slow });
  const token = await bench.take();
  await bench.ledger.fail(token, unreachable());
  const mine = { ...quick, delay: 300, cap: 300, attempts: 2 };
  const parked = await bench.ledger.park(token, mine);
  assert.ok(parked.kind === 'parked' && parked.attempt === 1 && (parked.until ?? 0) <= Date.now() + 300);
  await bench.restart();
  assert.deepEqual((await bench.ledger.details(token.id)).policy, mine);
  await until(() => bench.source.sent.length === 1);
  const failure = await bench.ledger.fail(bench.source.sent[0]!.token, unreachable());
  assert.ok(failure.kind === 'parked' && failure.until <= Date.now() + 300, 'by its policy, before the retry node has seen it');
  await until(() => bench.source.sent.length === 2);
  assert.equal((await bench.ledger.fail(bench.source.sent[1]!.token, unreachable())).kind, 'terminal');
  assert.deepEqual(await bench.ledger.park(bench.source.sent[1]!.token, mine), { kind: 'gave-up', attempt: 2 });
  await until(() => bench.source.disposed.length === 1);
  assert.equal(bench.source.disposed[0]?.reason.error?.code, 'GAVE_UP');
});

test('Retry-After outlasts a shorter policy, also over a restart', async () => {
  await using bench = await Bench.open({ policy: slow });
  const token = await bench.take();
  const wished = Date.now() + 2 * HOUR;
  await bench.ledger.fail(token, new ExdicomError('STORE_BUSY', { destination: PACS, retryAfter: 2 * HOUR }));
  await bench.restart();
  const parked = await bench.ledger.park(token, quick);
  assert.ok(parked.kind === 'parked' && (parked.until ?? 0) >= wished);
});

test('a policy that is over already gives up at once', async () => {
  await using bench = await Bench.open({ policy: quick });
  const token = await bench.take();
  await bench.ledger.fail(token, unreachable());
  await until(() => bench.source.sent.length === 1);
  await bench.ledger.fail(bench.source.sent[0]!.token, unreachable(), slow);
  assert.deepEqual(await bench.ledger.park(token, { ...slow, attempts: 1 }), { kind: 'gave-up', attempt: 2 });
  await until(() => bench.source.disposed.length === 1);
});

test('a clock that is set forward or back while a job fails makes it neither older nor younger', async (context) => {
  const policy = { ...quick, maximumAge: 2 * DAY };
  await using bench = await Bench.open({ policy });
  const token = await bench.take();
  context.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  await bench.ledger.fail(token, unreachable());
  for (const [n, days] of [30, -40, 20].entries()) {
    await until(() => bench.source.sent.length > n);
    context.mock.timers.setTime(Date.now() + days * DAY);
    assert.equal((await bench.ledger.fail(bench.source.sent[n]!.token, unreachable())).kind, 'parked', `${days} days`);
    assert.equal((await bench.ledger.park(token, policy)).kind, 'parked');
    const { failingSince = 0 } = await bench.ledger.details(token.id);
    assert.ok(Math.abs(Date.now() - failingSince) < HOUR, 'told by the clock as it is now');
  }
});

test('what a deploy interrupted is not given up: its source sends it again', async () => {
  await using bench = await Bench.open({ policy: quick });
  const token = await bench.take();
  bench.ledger.enter(token, 'extract').interrupt();
  const parked = await bench.ledger.park(token, slow);
  assert.ok(parked.kind === 'parked' && (parked.until ?? Infinity) <= Date.now());
});

test('what is not parked is left alone', async () => {
  await using bench = await Bench.open({ policy: quick });
  const [open, locked] = [await bench.take(), await bench.take()];
  assert.deepEqual(await bench.ledger.park(open, slow), { kind: 'not-parked', attempt: 0 });
  await bench.ledger.fail(locked, new ExdicomError('NEEDS_PASSWORD'));
  assert.deepEqual(await bench.ledger.park(locked, slow), { kind: 'not-parked', attempt: 0 });
  assert.equal((await bench.ledger.job(locked.id)).state, 'needs-password');
  // Its message comes late: the job is under way again.
  await bench.ledger.fail(open, unreachable());
  await until(() => bench.source.sent.length === 1);
  const late = await bench.ledger.park(open, slow);
  assert.ok(late.kind === 'parked' && (late.until ?? Infinity) <= Date.now());
});

test('jobs of a destination that is down stay where they are, which counts as trying, and go through the flow once more at their end', async () => {
  await using bench = await Bench.open({ policy: quick });
  const [endless, limited] = [await bench.take(), await bench.take()];
  bench.ledger.destinationDown(PACS);
  await bench.ledger.fail(endless, unreachable());
  await bench.ledger.fail(limited, unreachable());
  await bench.ledger.park(limited, { ...quick, attempts: 4 });
  await until(() => bench.source.sent.length === 1);
  assert.equal(bench.source.sent[0]?.token.id, limited.id);
  assert.equal((await bench.ledger.details(limited.id)).failures, 4);
  await until(async () => (await bench.ledger.details(endless.id)).failures > 6);
  assert.equal(bench.source.sent.length, 1, 'the other one was not sent');
  assert.equal((await bench.ledger.fail(bench.source.sent[0].token, unreachable())).kind, 'terminal');
});

test('a job that waits for another destination as well is sent for its sake', async () => {
  await using bench = await Bench.open({ policy: quick });
  const token = await bench.take();
  bench.ledger.destinationDown(PACS);
  await bench.ledger.fail(token, unreachable());
  await bench.ledger.fail(token, unreachable('dicom:OTHER@h:1'));
  await until(() => bench.source.sent.length === 1);
});

test('when it is up again the oldest goes first as a trial, the others follow in their order; down again, they stay', async () => {
  await using bench = await Bench.open({ policy: slow, slots: 1 });
  const tokens = [];
  for (let n = 0; n < 4; n += 1) {
    const token = await bench.take();
    await bench.ledger.fail(token, unreachable());
    tokens.push(token);
  }
  const bar = bench.ledger.destinationDown(PACS);
  assert.equal(bench.ledger.waitingFor(PACS), 4);
  assert.equal(bench.ledger.waitingFor(PACS, new Set(['STORE_BUSY'])), 0);
  assert.equal(bench.ledger.destinationTrial('dicom:OTHER@h:1'), false);
  assert.equal(bench.ledger.destinationTrial(PACS), true);
  await until(() => bench.source.sent.length === 1);
  await sleep(50);
  assert.deepEqual(bench.source.sent.map(({ token }) => token.id), [tokens[0]?.id]);
  await bench.ledger.fail(bench.source.sent[0]!.token, unreachable());
  bar[Symbol.dispose]();
  bench.ledger.destinationUp(PACS);
  await until(() => bench.source.sent.length === 2);
  // The only slot is taken: the others were woken, but are not under way.
  const again = bench.ledger.destinationDown(PACS);
  await bench.ledger.fail(bench.source.sent[1]!.token, unreachable());
  await sleep(50);
  assert.equal(bench.source.sent.length, 2);
  again[Symbol.dispose]();
  bench.ledger.destinationUp(PACS);
  for (let n = 2; n < 6; n += 1) {
    await until(() => bench.source.sent.length === n + 1);
    await bench.ledger.fail(bench.source.sent[n]!.token, new ExdicomError('STORE_BUSY', { destination: 'dicom:OTHER@h:1' }));
  }
  assert.deepEqual(bench.source.sent.slice(2).map(({ token }) => token.id), tokens.map(({ id }) => id));
});

test('outside of its hours a job stays parked though its destination is up', async () => {
  await using bench = await Bench.open({ policy: slow });
  const token = await bench.take();
  await bench.ledger.fail(token, unreachable());
  const ended = new Date(Date.now() - HOUR);
  const minutes = ended.getHours() * 60 + ended.getMinutes();
  await bench.ledger.park(token, { ...quick, hours: { from: (minutes + 1380) % 1440, to: minutes, days: [] } });
  assert.equal(bench.ledger.destinationTrial(PACS), false);
  bench.ledger.destinationUp(PACS);
  await sleep(50);
  assert.equal(bench.source.sent.length, 0);
});

test('waiting for a destination that a person holds is no failure, by no clock, and ends when it is let go', async () => {
  await using bench = await Bench.open({ policy: { ...quick, maximumAge: 100 } });
  const [waits, failed] = [await bench.take(), await bench.take()];
  await bench.ledger.fail(failed, unreachable(), slow);
  await bench.ledger.hold({ destination: PACS }, 'pause', 'tester');
  assert.deepEqual(await bench.ledger.fail(waits, held()), { kind: 'parked', until: Number.POSITIVE_INFINITY });
  assert.deepEqual(await bench.ledger.park(waits, { ...quick, maximumAge: 100 }), { kind: 'parked', attempt: 0 });
  await bench.restart();
  await sleep(200);
  assert.equal(bench.source.sent.length, 0);
  assert.deepEqual([(await bench.ledger.details(waits.id)).failures, (await bench.ledger.details(waits.id)).failingSince], [0, undefined]);
  await bench.ledger.resume({ destination: PACS }, 'tester');
  await until(() => bench.source.sent.length === 2);
  // What failed before, and what passed meanwhile, is not held against them.
  for (const { token } of bench.source.sent) assert.equal((await bench.ledger.fail(token, unreachable(), { ...slow, maximumAge: 100 })).kind, 'parked');
  assert.equal((await bench.ledger.details(failed.id)).failures, 1);
});

test('what the queries of a destination have shown is known after a restart', async () => {
  await using bench = await Bench.open();
  assert.deepEqual(await bench.ledger.shown('a'), { any: false, image: false });
  await bench.ledger.rememberShown('a', { any: true, image: true });
  await bench.ledger.rememberShown('a', { any: true, image: false });
  await bench.ledger.rememberShown('b', { any: true, image: false });
  await bench.restart();
  assert.deepEqual([await bench.ledger.shown('a'), await bench.ledger.shown('b')], [{ any: true, image: true }, { any: true, image: false }]);
});
