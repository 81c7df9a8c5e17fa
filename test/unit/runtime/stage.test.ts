import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { Ledger, Taken } from '../../../nodes/engine/ledger/ledger-types';
import type { JobId, JobToken, OwnPath } from '../../../nodes/engine/model';
import { registerLedger } from '../../../nodes/runtime/ledgers';
import { runStage } from '../../../nodes/runtime/stage';
import { FakeNode, fakeRed } from '../../support/fake-node';
import { Bench, until } from '../ledger/fixture';

describe('a message without a job', () => {
  it('that is taken in just as the node closes leaves a job that its source sends again', async () => {
    const token: JobToken = { id: 'j' as JobId, name: 'test 0001', ledger: 'ledger', attempt: 1 };
    const { promise: taken, resolve: take } = Promise.withResolvers<Taken>();
    const visits: string[] = [];
    let asked = false;
    const nothing = { [Symbol.dispose]: () => undefined };
    const ledger = {
      id: 'ledger',
      attachSource: () => nothing,
      take: () => { asked = true; return taken; },
      enter: () => { visits.push('entered'); return { job: token.id, signal: new AbortController().signal, leave: () => { visits.push('left'); }, interrupt: () => { visits.push('interrupted'); } }; },
    } as unknown as Ledger; // what a stage uses of it
    const registered = registerLedger(ledger);
    const config = Object.assign(new FakeNode('exdicom-ledger', 'ledger'), { users: {}, ledger, opened: () => Promise.resolve(ledger), onFailure: () => nothing });
    const node = new FakeNode();
    let worked = false;
    runStage(fakeRed({ nodes: { ledger: config } }), node.asNode(), { id: 'node1', type: 'exdicom-test', name: '', z: '', ledger: 'ledger' }, {
      settings: () => ({}), adopts: true, work: () => { worked = true; return Promise.resolve(); },
    });
    node.input({ payload: new Uint8Array([1]) });
    await until(() => asked);
    const closed = node.close();
    take({ kind: 'job', token, path: '/ledger/j' as OwnPath });
    await closed;
    await until(() => visits.length > 0);
    assert.deepEqual(visits, ['entered', 'interrupted']);
    assert.equal(worked, false);
    assert.equal(node.endings.length, 1);
    registered[Symbol.dispose]();
  });
});

describe('a job that a person cancels', () => {
  it('while it is taken in leaves what its message carried to the sender, and says so', async () => {
    await using bench = await Bench.open();
    const { ledger } = bench;
    const registered = registerLedger(ledger);
    const config = Object.assign(new FakeNode('exdicom-ledger', 'ledger'), { users: {}, ledger, opened: () => Promise.resolve(ledger), onFailure: () => ({ [Symbol.dispose]: () => undefined }) });
    const node = new FakeNode();
    runStage(fakeRed({ nodes: { ledger: config } }), node.asNode(), { id: 'node1', type: 'exdicom-test', name: '', z: '', ledger: 'ledger' }, {
      settings: () => ({}), adopts: true, withholds: true, work: () => Promise.reject(new Error('not to be begun')),
    });
    const message = { payload: Buffer.alloc(20_000_000, 1) };
    const { payload } = message;
    node.input(message);
    let [job] = await ledger.jobs();
    await until(async () => ([job] = await ledger.jobs())[0] !== undefined);
    assert.equal(job?.state, 'receiving');
    await ledger.cancel(job.id);
    await until(() => node.endings.length === 1);
    assert.equal((node.endings[0] as ExdicomError | undefined)?.code, 'JOB_CANCELLED');
    assert.equal(message.payload, payload);
    await until(async () => (await ledger.job(job!.id)).state === 'closed');
    await node.close();
    registered[Symbol.dispose]();
  });

  it('ends the work on it by its signal, sends nothing more, and leaves the ledger alone', async () => {
    const token: JobToken = { id: 'j' as JobId, name: 'test 0001', ledger: 'ledger', attempt: 1 };
    const stop = new AbortController();
    const calls: string[] = [];
    const ledger = {
      id: 'ledger',
      enter: () => ({ job: token.id, signal: stop.signal, leave: () => { calls.push('left'); }, interrupt: () => { calls.push('interrupted'); } }),
      fail: () => { calls.push('failed'); return Promise.resolve({ kind: 'terminal' }); },
    } as unknown as Ledger; // what a stage uses of it
    const registered = registerLedger(ledger);
    const node = new FakeNode();
    let begun = 0;
    runStage(fakeRed({}), node.asNode(), { id: 'node1', type: 'exdicom-test', name: '', z: '', ledger: 'ledger' }, {
      settings: () => ({}), adopts: false, limit: () => 1,
      work: async (arrival) => {
        begun += 1;
        await until(() => arrival.signal.aborted);
        arrival.send(arrival.message);
      },
    });
    node.input({ job: token });
    node.input({ job: token });
    await until(() => begun === 1);
    stop.abort(new ExdicomError('JOB_CANCELLED'));
    await until(() => node.endings.length === 2);
    assert.deepEqual([begun, node.sent], [1, []], 'what waited for its turn is not begun');
    assert.deepEqual(node.endings.map((ending) => (ending as ExdicomError).code), ['JOB_CANCELLED', 'JOB_CANCELLED']);
    assert.deepEqual(calls, ['left', 'left']);
    await node.close();
    registered[Symbol.dispose]();
  });
});
