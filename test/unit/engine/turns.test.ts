import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Turns } from '../../../nodes/engine/turns';

const { signal } = new AbortController();
const settle = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

describe('sending to one destination', () => {
  it('is one job\'s turn at a time, in order, and other destinations do not wait', async () => {
    const turns = new Turns();
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = turns.during('a', signal, async () => { await gate.promise; order.push('first'); });
    const second = turns.during('a', signal, async () => { order.push('second'); throw new Error('broken'); });
    const third = turns.during('a', signal, async () => { order.push('third'); });
    await turns.during('b', signal, async () => { order.push('elsewhere'); });
    await settle();
    assert.deepEqual(order, ['elsewhere']);
    gate.resolve();
    await first;
    await assert.rejects(second, /broken/);
    await third;
    assert.deepEqual(order, ['elsewhere', 'first', 'second', 'third']);
    assert.equal(await turns.during('a', signal, async () => 'again'), 'again');
  });

  it('is given up by who is aborted while waiting, and the next still waits for the first', async () => {
    const turns = new Turns();
    const abort = new AbortController();
    const gate = Promise.withResolvers<void>();
    const first = turns.during('a', signal, () => gate.promise);
    const second = turns.during('a', abort.signal, async () => { throw new Error('begun'); });
    let begun = false;
    const third = turns.during('a', signal, async () => { begun = true; });
    abort.abort(new Error('closing'));
    await assert.rejects(second, /closing/);
    await settle();
    assert.equal(begun, false);
    gate.resolve();
    await Promise.all([first, third]);
    assert.equal(begun, true);
    await assert.rejects(turns.during('a', AbortSignal.abort(new Error('closed')), async () => undefined), /closed/);
  });
});
