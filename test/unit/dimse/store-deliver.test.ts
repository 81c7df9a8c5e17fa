import assert from 'node:assert/strict';
import { appendFileSync, unlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Circuits } from '../../../nodes/engine/dimse/circuit';
import { deliver } from '../../../nodes/engine/dimse/deliver';
import type { PacsSettings } from '../../../nodes/engine/dimse/peer';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { Delivered } from '../../../nodes/engine/model';
import { deliveryLedger } from '../../support/delivery-ledger';
import type { DeliveryLedgerInMemory } from '../../support/delivery-ledger';
import { startFaultScp } from '../../support/fault-scp';
import { MR, alike, makeStudy, pacs } from '../../support/store-study';
import type { Study } from '../../support/store-study';

const HOUR = 3_600_000;
const quiet = (): Circuits => new Circuits(HOUR, () => Promise.reject(new Error('not now')));

function run(ledger: DeliveryLedgerInMemory, study: Study, peer: PacsSettings, circuits = quiet(), signal = new AbortController().signal): Promise<Delivered> {
  return deliver(ledger, ledger.token, study.files, peer, { signal, circuits, progress: () => { /* nobody looks */ } });
}

const failsWith = async (running: Promise<unknown>, code: string): Promise<ExdicomError> => {
  let failure: unknown;
  try {
    await running;
  } catch (thrown) {
    failure = thrown;
  }
  assert.ok(failure instanceof ExdicomError, String(failure));
  assert.equal(failure.code, code);
  return failure;
};

describe('delivering', () => {
  it('sends what is left, records every answer, and says what was done', async () => {
    using study = makeStudy(alike(120));
    const ledger = deliveryLedger(study.scratch());
    await using scp = await startFaultScp({ respond: ({ index }) => (index === 3 ? 0xb000 : 0) });
    const delivered = await run(ledger, study, pacs(scp.port));
    assert.deepEqual({ ...delivered, milliseconds: 0 }, {
      verified: 120, level: 'response', warned: 1, failed: [], bytes: study.files.reduce((sum, { bytes }) => sum + bytes, 0), milliseconds: 0,
    });
    assert.equal(ledger.records.flat().length, 120);
    assert.ok(ledger.records.every((group) => group.length <= 50));
    assert.deepEqual(ledger.standing(4), { instance: 4, state: 'verified', level: 'response', status: '0xB000', warned: true });
  });

  it('an attempt after a break sends only what was not confirmed, what broke it last', async () => {
    using study = makeStudy(alike(6));
    const ledger = deliveryLedger(study.scratch());
    let broken = false;
    const poison = study.files[2]!.sopInstanceUID;
    await using scp = await startFaultScp({ respond: ({ sopInstanceUID }) => {
      if (sopInstanceUID !== poison || broken) return 0;
      broken = true;
      return 'rst';
    } });
    const error = await failsWith(run(ledger, study, pacs(scp.port)), 'PEER_CLOSED');
    assert.equal(error.retryable, true);
    assert.equal(error.destination, `dicom:ANY-SCP@127.0.0.1:${scp.port}`);
    assert.equal(error.job, 'test 0001');
    assert.deepEqual(ledger.records.flat().map(({ instance, state, code }) => [instance, state, code]), [[1, 'verified', undefined], [2, 'verified', undefined], [3, 'waiting', 'PEER_CLOSED']]);
    const delivered = await run(ledger, study, pacs(scp.port));
    assert.equal(delivered.verified, 6);
    assert.deepEqual(scp.messages.map(({ sopInstanceUID }) => Number(sopInstanceUID.split('.').at(-1))), [1, 2, 3, 4, 5, 6, 3]);
    assert.deepEqual((await run(ledger, study, pacs(scp.port))).verified, 6);
    assert.equal(scp.messages.length, 7);
  });

  it('what is refused for good is told, and the rest counts', async () => {
    using study = makeStudy([{}, { sopClassUID: MR }, {}, {}]);
    const ledger = deliveryLedger(study.scratch());
    ledger.remember({ instance: 4, state: 'failed', code: 'NOT_DEIDENTIFIED' });
    await using scp = await startFaultScp({ respond: ({ index }) => (index === 1 ? 0xc001 : 0), accept: (sopClass, [syntax]) => (sopClass === MR ? undefined : syntax) });
    const delivered = await run(ledger, study, pacs(scp.port));
    assert.equal(delivered.verified, 1);
    assert.deepEqual(delivered.failed, [{ instance: 2, code: 'NO_CONTEXT' }, { instance: 3, code: 'STORE_REFUSED', status: '0xC001' }, { instance: 4, code: 'NOT_DEIDENTIFIED' }]);
    assert.ok(!scp.messages.some(({ sopInstanceUID }) => sopInstanceUID === study.files[3]!.sopInstanceUID));
  });

  it('while one instance may still succeed it ends with that error, and everything else is recorded', async () => {
    using study = makeStudy(alike(5));
    const ledger = deliveryLedger(study.scratch());
    let busy = true;
    await using scp = await startFaultScp({ respond: ({ index }) => (busy && index === 1 ? 0xa700 : busy && index === 2 ? 0xa900 : 0) });
    const error = await failsWith(run(ledger, study, pacs(scp.port)), 'STORE_BUSY');
    assert.match(error.detail ?? '', /1 of 5 instances wait/);
    assert.equal(ledger.standing(2).state, 'waiting');
    assert.equal(ledger.standing(3).state, 'failed');
    busy = false;
    const delivered = await run(ledger, study, pacs(scp.port));
    assert.equal(delivered.verified, 4);
    assert.deepEqual(delivered.failed.map(({ instance, code }) => [instance, code]), [[3, 'STORE_MISMATCH']]);
  });

  it('a file that changed since it was prepared, or is gone, is not sent', async () => {
    using study = makeStudy(alike(3));
    const ledger = deliveryLedger(study.scratch());
    appendFileSync(study.files[0]!.path, 'more');
    unlinkSync(study.files[1]!.path);
    await using scp = await startFaultScp();
    await failsWith(run(ledger, study, pacs(scp.port)), 'STORAGE_FAILED');
    assert.deepEqual([1, 2, 3].map((instance) => ledger.standing(instance).state), ['waiting', 'waiting', 'verified']);
    assert.equal(scp.messages.length, 1);
  });

  it('a rejection for good is final for every instance', async () => {
    using study = makeStudy(alike(2));
    const ledger = deliveryLedger(study.scratch());
    await using scp = await startFaultScp({ associate: () => ({ reject: [1, 1, 7] }) });
    const delivered = await run(ledger, study, pacs(scp.port));
    assert.deepEqual(delivered.failed.map(({ code }) => code), ['ASSOCIATION_REJECTED', 'ASSOCIATION_REJECTED']);
    assert.equal(delivered.level, 'none');
  });

  it('a stop records what was answered until then', async () => {
    using study = makeStudy(alike(10));
    const ledger = deliveryLedger(study.scratch());
    const stop = new AbortController();
    await using scp = await startFaultScp({ respond: ({ index }) => {
      if (index < 4) return 0;
      stop.abort(new Error('redeployed'));
      return 'silence';
    } });
    await assert.rejects(run(ledger, study, pacs(scp.port), quiet(), stop.signal), /redeployed/);
    assert.deepEqual(ledger.records.flat().map(({ instance }) => instance), [1, 2, 3, 4]);
  });

  it('a warning is remembered when the instance is found by query', async () => {
    using study = makeStudy(alike(1));
    const ledger = deliveryLedger(study.scratch());
    ledger.remember({ instance: 1, state: 'sent', warned: true, status: '0xB000' });
    const delivered = await run(ledger, study, pacs(1));
    assert.deepEqual([delivered.verified, delivered.warned], [1, 1]);
    assert.equal(ledger.standing(1).warned, true);
  });

  it('nothing more is sent when the ledger cannot be written', async () => {
    using study = makeStudy(alike(2_000));
    const ledger = deliveryLedger(study.scratch());
    ledger.break(new ExdicomError('DISK_FULL'));
    await using scp = await startFaultScp();
    await failsWith(run(ledger, study, pacs(scp.port)), 'DISK_FULL');
    assert.ok(scp.messages.length < 1_000);
  });

  it('level C-FIND, and nobody answers the query: what was sent stays sent and is not sent again', async () => {
    using study = makeStudy(alike(2));
    const ledger = deliveryLedger(study.scratch());
    await using scp = await startFaultScp({ accept: (sopClass, [syntax]) => (sopClass.startsWith('1.2.840.10008.5.1.4.1.2') ? undefined : syntax) });
    const peer = pacs(scp.port, { level: 'C-FIND', verifyWait: 0 });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await failsWith(run(ledger, study, peer), 'QUERY_FAILED');
      assert.deepEqual([1, 2].map((instance) => ledger.standing(instance).state), ['sent', 'sent']);
    }
    assert.equal(scp.messages.length, 2);
    assert.equal((await run(ledger, study, pacs(scp.port))).verified, 2);
    assert.equal(scp.messages.length, 2);
  });
});

describe('jobs side by side', () => {
  it('keep together to the number of associations of their destination', async () => {
    using study = makeStudy(alike(5));
    const open = new Set<number>();
    let most = 0;
    await using scp = await startFaultScp({ respond: ({ association, index }) => {
      open.add(association);
      most = Math.max(most, open.size);
      if (index === 4) open.delete(association);
      return { status: 0, delay: 2 };
    } });
    const ledgers = Array.from({ length: 6 }, () => deliveryLedger(study.scratch()));
    const delivered = await Promise.all(ledgers.map((ledger) => run(ledger, study, pacs(scp.port))));
    assert.deepEqual(delivered.map(({ verified }) => verified), [5, 5, 5, 5, 5, 5]);
    assert.equal(most, 1);
  });

  it('one that stops while it waits lets the others go on, in order', async () => {
    using study = makeStudy(alike(2));
    await using scp = await startFaultScp({ respond: () => ({ status: 0, delay: 20 }) });
    const stop = new AbortController();
    const [first, second, third] = [deliveryLedger(study.scratch()), deliveryLedger(study.scratch()), deliveryLedger(study.scratch())];
    const running = [run(first, study, pacs(scp.port)), run(second, study, pacs(scp.port), quiet(), stop.signal), run(third, study, pacs(scp.port))] as const;
    await pause(5);
    stop.abort(new Error('stopped'));
    await assert.rejects(running[1], /stopped/);
    assert.equal((await running[2]).verified, 2);
    assert.equal((await running[0]).verified, 2);
    assert.equal(scp.messages.length, 4);
  });

  it('a destination that dies while they wait is not knocked at by each', async () => {
    using study = makeStudy(alike(2));
    await using scp = await startFaultScp({ associate: () => 'fin' });
    const circuits = quiet();
    await Promise.all(Array.from({ length: 8 }, () => failsWith(run(deliveryLedger(study.scratch()), study, pacs(scp.port), circuits), 'PEER_CLOSED')));
    assert.equal(scp.associations.length, 1);
  });
});

describe('the circuit of a destination', () => {
  it('after a failed connection the next job fails at once, with the same code and without a packet', async () => {
    using study = makeStudy(alike(2));
    const ledger = deliveryLedger(study.scratch());
    const circuits = quiet();
    await using scp = await startFaultScp({ associate: () => 'rst' });
    await failsWith(run(ledger, study, pacs(scp.port), circuits), 'PEER_CLOSED');
    const error = await failsWith(run(ledger, study, pacs(scp.port), circuits), 'PEER_CLOSED');
    assert.equal(scp.associations.length, 1);
    assert.ok(error.retryAfter !== undefined && error.retryAfter > 0 && error.retryAfter <= HOUR);
    assert.equal(ledger.up.length, 0);
  });

  it('one prober asks per interval, and when it is answered every ledger that waits is told, once', async () => {
    using study = makeStudy(alike(1));
    const [first, second] = [deliveryLedger(study.scratch()), deliveryLedger(study.scratch())];
    let [probes, alive] = [0, false];
    const circuits = new Circuits(30, () => {
      probes += 1;
      return alive ? Promise.resolve() : Promise.reject(new ExdicomError('PEER_UNREACHABLE'));
    });
    await using scp = await startFaultScp({ associate: () => (alive ? 'accept' : 'fin') });
    const peer = pacs(scp.port, { probeInterval: 30 });
    await failsWith(run(first, study, peer, circuits), 'PEER_CLOSED');
    await Promise.all(Array.from({ length: 20 }, () => failsWith(run(second, study, peer, circuits), 'PEER_CLOSED')));
    assert.equal(scp.associations.length, 1);
    await new Promise<void>((resolve) => { const timer = setInterval(() => { if (probes >= 3) { clearInterval(timer); resolve(); } }, 5); });
    assert.equal(first.up.length, 0);
    alive = true;
    while (first.up.length === 0) await pause(5);
    assert.deepEqual([first.up, second.up], [[peer.address], [peer.address]]);
    assert.equal((await run(first, study, peer, circuits)).verified, 1);
    const until = probes;
    await pause(100);
    assert.equal(probes, until);
  });

  it('a peer that answers the probe with a refusal is up', async () => {
    using study = makeStudy(alike(1));
    const ledger = deliveryLedger(study.scratch());
    const circuits = new Circuits(10, () => Promise.reject(new ExdicomError('NO_CONTEXT')));
    circuits.failed(pacs(1, { probeInterval: 10 }), new ExdicomError('PEER_UNREACHABLE'), ledger);
    while (ledger.up.length === 0) await pause(5);
    assert.equal(circuits.refusal(pacs(1).address, ledger), undefined);
  });

  it('does not open for what the destination itself decided', () => {
    const circuits = quiet();
    using study = makeStudy([]);
    const ledger = deliveryLedger(study.scratch());
    for (const code of ['ASSOCIATION_REJECTED', 'TLS_FAILED', 'STORE_BUSY', 'NO_CONTEXT'] as const) circuits.failed(pacs(1), new ExdicomError(code), ledger);
    assert.equal(circuits.refusal(pacs(1).address, ledger), undefined);
  });

  it('a peer that breaks an association in the middle of a study is not left alone for it', async () => {
    using study = makeStudy(alike(3));
    const ledger = deliveryLedger(study.scratch());
    const circuits = quiet();
    await using scp = await startFaultScp({ respond: ({ association, index }) => (association === 0 && index === 1 ? 'fin' : 0) });
    await failsWith(run(ledger, study, pacs(scp.port), circuits), 'PEER_CLOSED');
    assert.equal((await run(ledger, study, pacs(scp.port), circuits)).verified, 3);
  });
});
