import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { Circuits } from '../../../nodes/engine/dimse/circuit';
import { deliver } from '../../../nodes/engine/dimse/deliver';
import { closePool } from '../../../nodes/engine/workers/pool';
import { startFaultScp } from '../../support/fault-scp';
import { alike, makeStudy, pacs } from '../../support/store-study';
import { Bench, until } from '../ledger/fixture';

after(closePool);

it('cancelled in the middle of a study, sending stops at the next instance, and the receipt knows what the destination has', async () => {
  await using bench = await Bench.open();
  using study = makeStudy(alike(60));
  const token = await bench.take('archive');
  const visit = bench.ledger.enter(token, 'c-store-out');
  let stored = 0;
  let cancelling: Promise<void> | undefined;
  await using scp = await startFaultScp({ respond: ({ index }) => {
    stored = Math.max(stored, index + 1);
    if (index === 20) cancelling = bench.ledger.cancel(token.id, 'X');
    return { status: 0, delay: 20 };
  } });
  const sending = deliver(bench.ledger, token, study.files, { ...pacs(scp.port), identifiedAllowed: true }, {
    signal: visit.signal, circuits: new Circuits(3_600_000, () => Promise.reject(new Error('not now'))), progress: () => undefined,
  });
  await assert.rejects(sending, { code: 'JOB_CANCELLED' });
  await cancelling;
  visit.leave();
  await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
  const receipt = await bench.ledger.receipt(token.id);
  const [destination] = receipt!.destinations;
  assert.ok(stored >= 21 && stored < 30, `${stored} were sent`);
  assert.equal(destination?.verified, stored);
  assert.equal(receipt!.job.outcome, 'cancelled');
});
