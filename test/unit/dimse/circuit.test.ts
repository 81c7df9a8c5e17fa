import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Circuits } from '../../../nodes/engine/dimse/circuit';
import type { Awaiting, CircuitState, Watcher } from '../../../nodes/engine/dimse/circuit';
import { Command, DataSetType, Field, encodeCommandSet } from '../../../nodes/engine/dimse/command-set';
import { deliver } from '../../../nodes/engine/dimse/deliver';
import { encodeCommand } from '../../../nodes/engine/dimse/pdu';
import type { PacsSettings } from '../../../nodes/engine/dimse/peer';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { LedgerStatus } from '../../../nodes/engine/ledger/ledger-types';
import { deliveryLedger } from '../../support/delivery-ledger';
import { startFaultScp } from '../../support/fault-scp';
import { alike, makeStudy, pacs } from '../../support/store-study';

const down = new ExdicomError('PEER_UNREACHABLE');
const until = async (holds: () => boolean): Promise<void> => { while (!holds()) await pause(3); };

/** A ledger with so many jobs that wait, which notes what it is told. */
function awaiting(waiting = 3): Awaiting & { readonly told: string[]; waiting: number; bars: number; state: LedgerStatus['state'] } {
  const ledger = {
    told: [] as string[], waiting, bars: 0, state: 'ready' as LedgerStatus['state'],
    status: (): LedgerStatus => ({ state: ledger.state, open: 0, parked: 0, orphaned: 0, quarantined: 0 }),
    destinationUp: (): void => { ledger.told.push('up'); ledger.waiting = 0; },
    destinationDown: (): Disposable => { ledger.bars += 1; return { [Symbol.dispose]: () => { ledger.bars -= 1; } }; },
    destinationTrial: (): boolean => { if (ledger.waiting === 0) return false; ledger.told.push('trial'); ledger.waiting -= 1; return true; },
    waitingFor: (): number => ledger.waiting,
  };
  return ledger;
}

function probing(interval = 15): { readonly circuits: Circuits; readonly peer: PacsSettings; alive: boolean; probes: number } {
  const state = { circuits: new Circuits(), peer: pacs(1, { probeInterval: interval }), alive: false, probes: 0 };
  state.circuits = new Circuits(interval, () => {
    state.probes += 1;
    return state.alive ? Promise.resolve() : Promise.reject(down);
  });
  return state;
}

const watcher = (peer: PacsSettings): Watcher & { readonly shown: Array<CircuitState | undefined>; readonly logged: string[] } => {
  const [shown, logged]: [Array<CircuitState | undefined>, string[]] = [[], []];
  return { peer, shown, logged, show: (state) => { shown.push(state); }, log: (what, code, waiting) => { logged.push(`${what} ${code} ${waiting}`); } };
};

describe('a circuit', () => {
  it('keeps its jobs, and after an answered probe lets one go as a trial; the others follow when it has come through', async () => {
    const state = probing();
    const ledger = awaiting();
    state.circuits.failed(state.peer, down, ledger);
    assert.equal(ledger.bars, 1);
    assert.ok(state.circuits.refusal(state.peer.address, ledger) !== undefined);
    await until(() => state.probes >= 2);
    assert.deepEqual(ledger.told, []);
    state.alive = true;
    await until(() => ledger.told.length > 0);
    assert.deepEqual([ledger.told, ledger.bars], [['trial'], 1]);
    assert.equal(state.circuits.refusal(state.peer.address, ledger), undefined, 'the trial may knock');
    state.circuits.succeeded(state.peer.address);
    assert.deepEqual([ledger.told, ledger.bars], [['trial', 'up'], 0]);
    const { probes } = state;
    await pause(60);
    assert.equal(state.probes, probes);
  });

  it('whose trial fails asks again as before, and keeps the others', async () => {
    const state = probing();
    const ledger = awaiting();
    state.circuits.failed(state.peer, down, ledger);
    state.alive = true;
    await until(() => ledger.told.length > 0);
    state.alive = false;
    state.circuits.failed(state.peer, new ExdicomError('PEER_CLOSED'), ledger);
    assert.equal(state.circuits.refusal(state.peer.address, ledger)?.code, 'PEER_CLOSED');
    assert.deepEqual([ledger.told, ledger.bars], [['trial'], 1]);
    const { probes } = state;
    await until(() => state.probes >= probes + 2);
    state.alive = true;
    await until(() => ledger.told.length > 1);
    assert.equal(ledger.told[1], 'trial');
  });

  it('whose trial never comes is closed after an interval: the destination did answer', async () => {
    const state = probing();
    const ledger = awaiting();
    state.circuits.failed(state.peer, down, ledger);
    state.alive = true;
    await until(() => ledger.told.includes('up'));
    assert.deepEqual([ledger.told, ledger.bars], [['trial', 'up'], 0]);
  });

  it('is nobody\'s business when no job waits any more, its nodes are gone, or the ledger is closed', async () => {
    for (const end of ['no job', 'no node', 'no ledger']) {
      const state = probing();
      const ledger = awaiting();
      const node = state.circuits.watch(watcher(state.peer));
      state.circuits.failed(state.peer, down, ledger);
      await until(() => state.probes >= 1);
      if (end === 'no job') ledger.waiting = 0;
      else if (end === 'no node') node[Symbol.dispose]();
      else ledger.state = 'closed';
      await until(() => state.circuits.refusal(state.peer.address, ledger) === undefined);
      const { probes } = state;
      await pause(60);
      assert.deepEqual([state.probes, ledger.told], [probes, []], end);
    }
  });

  it('is shown at every node of its destination, and one of them logs it: once when it opens, once per probe, once when it closes', async () => {
    const state = probing();
    const ledger = awaiting();
    const [first, second] = [watcher(state.peer), watcher(pacs(1, { probeInterval: 15, label: 'the same' }))];
    state.circuits.watch(first);
    state.circuits.watch(second);
    state.circuits.failed(state.peer, down, ledger);
    state.circuits.failed(state.peer, down, ledger);
    for (let n = 0; n < 50; n += 1) state.circuits.refusal(state.peer.address, ledger);
    await until(() => state.probes >= 3);
    state.alive = true;
    await until(() => ledger.told.includes('up'));
    assert.deepEqual(second.logged, []);
    assert.equal(first.logged[0], 'opened PEER_UNREACHABLE 3');
    assert.equal(first.logged.at(-1), 'closed PEER_UNREACHABLE 2');
    const between = first.logged.slice(1, -1);
    assert.ok(between.length >= 2 && between.length <= state.probes && between.every((line) => line === 'waiting PEER_UNREACHABLE 3'), between.join());
    for (const { shown } of [first, second]) {
      assert.equal(shown[0]?.waiting, 3);
      assert.ok((shown[0]?.nextProbe ?? 0) > Date.now() - 10_000);
      assert.equal(shown.at(-1), undefined);
    }
  });

  it('opens again at a start for jobs that were parked because of the connection, with the nodes\' own echo as its first probe', async () => {
    const state = probing(500);
    const ledger = awaiting();
    assert.equal((await state.circuits.reach(state.peer))?.code, 'PEER_UNREACHABLE');
    state.circuits.awaited(state.peer, ledger);
    state.circuits.awaited(state.peer, ledger);
    assert.equal((await state.circuits.reach(state.peer))?.code, 'PEER_UNREACHABLE');
    await pause(60);
    assert.deepEqual([state.probes, ledger.bars], [1, 1]);
    assert.ok(state.circuits.refusal(state.peer.address, ledger) !== undefined);

    const other = probing(500);
    const nobody = awaiting(0);
    other.circuits.awaited(other.peer, nobody);
    assert.equal(other.circuits.refusal(other.peer.address, nobody), undefined);
    other.alive = true;
    const waits = awaiting();
    other.circuits.awaited(other.peer, waits);
    await until(() => waits.told.length > 0);
    assert.equal(waits.told[0], 'trial', 'at once, and not after an interval');
  });

  const noMatch = (messageId: number): Buffer => encodeCommand(1, encodeCommandSet([
    [Field.commandField, Command.findRsp], [Field.messageIdBeingRespondedTo, messageId], [Field.dataSetType, DataSetType.none], [Field.status, 0],
  ]), 16_000);
  for (const [answer, accept] of [['answers', undefined], ['takes no query', () => undefined]] as const) {
    it(`lets the others follow a trial that has nothing left to send, once its destination ${answer}`, async () => {
      using study = makeStudy(alike(2));
      await using scp = await startFaultScp({ respond: ({ messageId }) => ({ bytes: noMatch(messageId) }), ...(accept === undefined ? {} : { accept }) });
      const state = probing();
      const peer = pacs(scp.port, { level: 'C-FIND', verifyWait: 0, probeInterval: 1_500 });
      const others = awaiting();
      state.circuits.failed(peer, down, others);
      state.alive = true;
      await until(() => others.told.length > 0);
      const ledger = deliveryLedger(study.scratch());
      for (const instance of [1, 2]) ledger.remember({ instance, state: 'sent' });
      const ended = deliver(ledger, ledger.token, study.files, peer, { signal: new AbortController().signal, progress: () => { /* nobody looks */ }, circuits: state.circuits });
      if (accept === undefined) assert.equal((await ended).failed.length, 2);
      else await assert.rejects(ended, (error: unknown) => error instanceof ExdicomError && error.code === 'QUERY_FAILED');
      assert.deepEqual(others.told, ['trial', 'up'], 'at once, and not after an interval');
    });
  }
});

describe('a destination that a person holds', () => {
  it('gets no further instance once it is paused, and the rest when it is let go', async () => {
    using study = makeStudy(alike(8));
    const ledger = deliveryLedger(study.scratch());
    await using scp = await startFaultScp({ respond: ({ association, index }) => { if (association === 0 && index === 2) ledger.hold('pause'); return 0; } });
    const run = () => deliver(ledger, ledger.token, study.files, pacs(scp.port), { signal: new AbortController().signal, progress: () => { /* nobody looks */ }, circuits: new Circuits() });
    const isHeld = (error: unknown): boolean => error instanceof ExdicomError && error.code === 'DESTINATION_HELD' && error.destination === pacs(scp.port).address && error.retryable;
    await assert.rejects(run(), isHeld);
    assert.equal(ledger.records.flat().length, 3, 'what was answered is recorded');
    assert.equal(scp.messages.length, 3);
    const { length } = scp.associations;
    await assert.rejects(run(), isHeld);
    assert.equal(scp.associations.length, length, 'nobody knocks');
    ledger.hold(undefined);
    assert.equal((await run()).verified, 8);
    assert.equal(scp.messages.length, 8);
  });

  it('while it is drained takes the rest of what has begun there, and nothing else', async () => {
    using study = makeStudy(alike(4));
    await using scp = await startFaultScp({ respond: ({ association, index }) => (association === 0 && index === 1 ? 'fin' : 0) });
    const [begun, fresh] = [deliveryLedger(study.scratch()), deliveryLedger(study.scratch())];
    const run = (ledger: typeof begun) => deliver(ledger, ledger.token, study.files, pacs(scp.port), { signal: new AbortController().signal, progress: () => { /* nobody looks */ }, circuits: new Circuits() });
    await assert.rejects(run(begun), { code: 'PEER_CLOSED' });
    for (const ledger of [begun, fresh]) ledger.hold('drain');
    assert.equal((await run(begun)).verified, 4);
    await assert.rejects(run(fresh), { code: 'DESTINATION_HELD' });
    assert.deepEqual(fresh.records, []);
  });
});
