import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ledger, Taken } from '../../../nodes/engine/ledger/ledger-types';
import type { JobId, JobToken, OwnPath } from '../../../nodes/engine/model';
import { registerLedger } from '../../../nodes/runtime/ledgers';
import { runStage } from '../../../nodes/runtime/stage';
import { FakeNode, fakeRed, until } from '../../support/fake-node';

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
