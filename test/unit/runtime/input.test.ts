import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { handleInput } from '../../../nodes/runtime/input';
import type { Arrival, Ending, InputHandler } from '../../../nodes/runtime/input';
import { FakeNode, until } from '../../support/fake-node';

const codeOf = (ending: Error | 'done' | undefined): string => (ending instanceof ExdicomError ? ending.code : String(ending));

function stage(work: (arrival: Arrival) => Promise<void> | void, more: Partial<InputHandler<object>> = {}) {
  const node = new FakeNode();
  const left: Ending[] = [];
  handleInput<object>(node.asNode(), {
    arrive: () => ({}),
    work: async (arrival) => { await work(arrival); },
    leave: (_presence, ending) => { left.push(ending); },
    close: () => undefined,
    ...more,
  });
  return { node, left };
}

describe('a message', () => {
  it('ends in one done when the work is done', async () => {
    const { node, left } = stage((arrival) => { arrival.send(arrival.message); });
    node.input({ payload: 1 });
    await until(() => node.endings.length > 0);
    assert.deepEqual(node.endings, ['done']);
    assert.deepEqual(left, ['done']);
    assert.equal(node.sent.length, 1);
  });

  it('ends in one done with the error when the work throws', async () => {
    const { node, left } = stage(() => { throw new ExdicomError('NO_DICOM'); });
    node.input({});
    await until(() => node.endings.length > 0);
    assert.equal(codeOf(node.endings[0]), 'NO_DICOM');
    assert.deepEqual(left, ['failed']);
  });

  it('ends in one done with the error when the work rejects with anything', async () => {
    for (const thrown of ['text', undefined, Object.assign(new Error('/secret/path'), { code: 'ENOSPC' }), new Error('JOHN DOE')]) {
      const { node } = stage(async () => { await Promise.reject(thrown); });
      node.input({});
      await until(() => node.endings.length > 0);
      assert.equal(node.endings.length, 1);
      assert.ok(node.endings[0] instanceof ExdicomError);
      assert.doesNotMatch(node.endings[0].message, /secret|DOE/);
    }
  });

  it('ends with the error when it is refused at the door', async () => {
    const { node, left } = stage(() => undefined, { arrive: () => { throw new ExdicomError('JOB_UNKNOWN'); } });
    node.input({});
    assert.equal(codeOf(node.endings[0]), 'JOB_UNKNOWN');
    assert.deepEqual(left, []);
  });

  it('cannot end twice, not even when a Complete or Catch node throws', async () => {
    const node = new FakeNode();
    let calls = 0;
    handleInput(node.asNode(), { arrive: () => ({}), work: async () => undefined, leave: () => undefined, close: () => undefined });
    node.endings.push = () => { calls += 1; throw new Error('downstream'); };
    node.input({});
    await until(() => calls > 0);
    await node.close();
    assert.equal(calls, 1);
  });

  it('counts as interrupted when its failure could not be recorded', async () => {
    const { node, left } = stage(() => { throw new ExdicomError('NO_DICOM'); }, { fail: async () => { throw new Error('disk'); } });
    node.input({});
    await until(() => node.endings.length > 0);
    assert.deepEqual(left, ['interrupted']);
    assert.equal(codeOf(node.endings[0]), 'NO_DICOM');
  });

  it('is answered on the output, and ends well, where errors are not for Catch nodes', async () => {
    const { node } = stage(() => { throw new ExdicomError('NO_DICOM'); }, { answer: (message, error) => ({ ...message, payload: error.code }) });
    node.input({});
    await until(() => node.endings.length > 0);
    assert.deepEqual(node.endings, ['done']);
    assert.equal((node.sent[0] as { payload: string }).payload, 'NO_DICOM');
  });

  it('waits its turn where the node works on few at a time', async () => {
    const order: string[] = [];
    const gates: Array<() => void> = [];
    const { node } = stage(async ({ message }) => {
      order.push(`begin ${String(message.payload)}`);
      await new Promise<void>((resolve) => { gates.push(resolve); });
      order.push(`end ${String(message.payload)}`);
    }, { limit: 1 });
    node.input({ payload: 1 });
    node.input({ payload: 2 });
    await until(() => gates.length === 1);
    gates[0]?.();
    await until(() => gates.length === 2);
    gates[1]?.();
    await until(() => node.endings.length === 2);
    assert.deepEqual(order, ['begin 1', 'end 1', 'begin 2', 'end 2']);
  });
});

describe('closing', () => {
  it('midway aborts the signal, ends each message once as interrupted, and lets nothing out afterwards', async () => {
    const late: Array<() => void> = [];
    const { node, left } = stage(async (arrival) => {
      await new Promise<void>((resolve) => { arrival.signal.addEventListener('abort', () => { resolve(); }); });
      arrival.send({ _msgid: 'late', payload: 'late' });
      late.push(() => { arrival.send({ _msgid: 'later' }); });
      throw new ExdicomError('PEER_CLOSED');
    });
    node.input({ payload: 1 });
    node.input({ payload: 2 });
    await node.close();
    assert.equal(late.length, 2);
    for (const send of late) send();
    assert.deepEqual(node.endings.map(codeOf), ['INTERRUPTED', 'INTERRUPTED']);
    assert.deepEqual(left, ['interrupted', 'interrupted']);
    assert.deepEqual(node.sent, []);
  });

  it('interrupts a message that still waits for its turn, and never begins it', async () => {
    let begun = 0;
    const { node, left } = stage(async ({ signal }) => {
      begun += 1;
      await new Promise<void>((resolve) => { signal.addEventListener('abort', () => { resolve(); }); });
    }, { limit: 1 });
    node.input({});
    node.input({});
    await node.close();
    assert.equal(begun, 1);
    assert.deepEqual(left, ['interrupted', 'interrupted']);
    assert.equal(node.endings.length, 2);
  });

  it('does not wait for ever for work that does not listen', async () => {
    const { node } = stage(() => new Promise<void>(() => undefined));
    node.input({});
    await node.close();
    assert.deepEqual(node.endings.map(codeOf), ['INTERRUPTED']);
  });

  it('does not hang when the node\'s own closing fails', async () => {
    const { node } = stage(() => undefined, { close: () => { throw new Error('closing'); } });
    await node.close();
  });

  it('refuses messages that arrive later', async () => {
    const { node, left } = stage(() => undefined);
    await node.close();
    node.input({});
    assert.deepEqual(node.endings.map(codeOf), ['INTERRUPTED']);
    // So that the job is sent again.
    assert.deepEqual(left, ['interrupted']);
  });
});
