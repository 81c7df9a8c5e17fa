import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExdicomError } from '../../../nodes/engine/errors';
import { registerLedger } from '../../../nodes/runtime/ledgers';
import { runStage } from '../../../nodes/runtime/stage';
import { FakeNode, fakeRed } from '../../support/fake-node';
import { Bench, until } from '../ledger/fixture';

it('a message that waits for a slot keeps nothing waiting that holds one, at a node that works on few at a time', async () => {
  await using bench = await Bench.open({ slots: 1 });
  const { ledger } = bench;
  const registered = registerLedger(ledger);
  const config = Object.assign(new FakeNode('exdicom-ledger', 'ledger'), { users: {}, ledger, opened: () => Promise.resolve(ledger), onFailure: () => ({ [Symbol.dispose]: () => undefined }) });
  const node = new FakeNode();
  const worked: number[] = [];
  runStage(fakeRed({ nodes: { ledger: config } }), node.asNode(), { id: 'node1', type: 'exdicom-test', name: '', z: '', ledger: 'ledger' }, {
    settings: () => ({}), adopts: true, limit: () => 1,
    work: ({ token }) => {
      worked.push(token.attempt);
      return Promise.reject(worked.length === 1 ? new ExdicomError('PEER_TIMEOUT', { retryAfter: 1000 }) : new ExdicomError('NO_DICOM'));
    },
  });
  ledger.started();
  node.input({ payload: new Uint8Array([1]) });
  await until(() => ledger.status().parked === 1);
  const other = await bench.take();
  await sleep(1200);
  node.input({ payload: new Uint8Array([2]) });
  await sleep(50);
  // Its slot is the parked job's now, which the node gets behind the message that waits for one.
  await ledger.fail(other, new ExdicomError('NEEDS_PASSWORD'));
  await until(() => worked.length === 3);
  assert.deepEqual(worked, [1, 2, 1]);
  await node.close();
  registered[Symbol.dispose]();
});
