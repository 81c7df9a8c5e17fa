import assert from 'node:assert/strict';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { Ledger, LedgerStatus } from '../../../nodes/engine/ledger/ledger-types';
import { LedgerHost } from '../../../nodes/runtime/ledger-host';
import type { ConfigNode } from '../../../nodes/runtime/red';
import { FakeNode, fakeRed, until } from '../../support/fake-node';

test('a ledger that stops in the middle of its work says so, once, with what helps', async () => {
  let listener: (status: LedgerStatus) => void = () => undefined;
  let status: LedgerStatus = { state: 'opening', open: 0, parked: 0, orphaned: 0, quarantined: 0 };
  const tell = (now: Partial<LedgerStatus>): void => { status = { ...status, ...now }; listener(status); };
  const ledger = {
    id: 'ledger', open: () => { tell({ state: 'ready' }); return Promise.resolve(); }, close: () => Promise.resolve(), status: () => status,
    onStatus: (told: typeof listener) => { listener = told; return { [Symbol.dispose]: () => undefined }; },
  };
  const node = new FakeNode('exdicom-ledger');
  const host = new LedgerHost(fakeRed(), node.asNode() as ConfigNode, ledger as unknown as Ledger); // has what a host asks of it here
  await host.opened(new AbortController().signal);
  const failures: Array<string | undefined> = [];
  host.onFailure((failure) => { failures.push(failure?.code); });
  tell({ state: 'paused', reason: 'STORAGE_FAILED' });
  await until(() => node.statuses.at(-1)?.text === 'failed: disk');
  tell({ state: 'failed', reason: 'STORAGE_FAILED' });
  tell({ state: 'failed', reason: 'STORAGE_FAILED', open: 1 });
  assert.deepEqual(failures, ['STORAGE_FAILED']);
  assert.equal(node.errors.length, 1);
  const [error] = node.errors;
  assert.ok(error instanceof ExdicomError);
  assert.match(error.message, /restart the flows/);
  await until(() => node.statuses.at(-1)?.fill === 'red');
  await host.close();
});
