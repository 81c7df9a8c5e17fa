import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { ERRORS, ExdicomError } from '../../../nodes/engine/errors';
import type { ErrorCode } from '../../../nodes/engine/errors';
import { StatusLine } from '../../../nodes/runtime/status';
import { FakeNode } from '../../support/fake-node';

const line = () => {
  const node = new FakeNode();
  return { node, status: new StatusLine(node.asNode()), texts: () => node.statuses.map(({ text }) => text) };
};

describe('a status', () => {
  it('is at most twenty characters long, for every code and count', () => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    try {
      for (const code of Object.keys(ERRORS) as ErrorCode[]) {
        const { node, status } = line();
        status.failed(new ExdicomError(code));
        const text = node.statuses[0]?.text ?? '';
        assert.match(text, /^failed: .+/);
        assert.ok(text.length <= 20, `${code}: ${text}`);
      }
      const { node, status } = line();
      const progress = status.begin();
      progress.report(123_456, 1_234_567);
      mock.timers.tick(1000);
      assert.equal(node.statuses.at(-1)?.text, 'working 9%');
    } finally {
      mock.timers.reset();
    }
  });

  it('of a delivery counts what arrived, and where nothing did says why', () => {
    const shown = (verified: number, ...codes: ErrorCode[]): unknown => {
      const { node, status } = line();
      status.delivered({ verified, level: 'response', warned: 0, failed: codes.map((code, index) => ({ instance: index + 1, code })), bytes: 0, milliseconds: 0 });
      return node.statuses[0];
    };
    assert.deepEqual(shown(3), { fill: 'green', shape: 'dot', text: 'done 3' });
    assert.deepEqual(shown(0), { fill: 'green', shape: 'dot', text: 'done 0' });
    assert.deepEqual(shown(2, 'STORE_REFUSED'), { fill: 'yellow', shape: 'dot', text: 'done 2' });
    assert.deepEqual(shown(0, 'ASSOCIATION_REJECTED', 'ASSOCIATION_REJECTED'), { fill: 'red', shape: 'ring', text: 'failed: AET refused' });
  });

  it('of what was parked waits until the last of it goes on, and is idle then, unless something else is to be seen', () => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    try {
      const { status, texts } = line();
      const at = (minutes: number): string => `waiting ${new Date(minutes * 60_000).toTimeString().slice(0, 5)}`;
      status.parked(5 * 60_000);
      status.parked(2 * 60_000);
      mock.timers.tick(4 * 60_000);
      assert.deepEqual(texts(), [at(5)]);
      mock.timers.tick(61_000);
      assert.equal(texts().at(-1), 'idle');
      status.parked(10 * 60_000);
      mock.timers.tick(2000);
      status.failed(new ExdicomError('GAVE_UP'));
      mock.timers.tick(10 * 60_000);
      assert.equal(texts().at(-1), 'failed: gave up');
    } finally {
      mock.timers.reset();
    }
  });

  it('changes once a second, and shows the last state in the end', () => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    try {
      const { status, texts } = line();
      status.idle();
      const progress = status.begin();
      for (let done = 1; done <= 300; done += 1) progress.report(done, 300);
      assert.deepEqual(texts(), ['idle']);
      mock.timers.tick(1000);
      assert.deepEqual(texts(), ['idle', 'working 300/300']);
      progress.end();
      status.done(300);
      mock.timers.tick(1000);
      assert.deepEqual(texts(), ['idle', 'working 300/300', 'done 300']);
    } finally {
      mock.timers.reset();
    }
  });

  it('adds up the messages that are worked on side by side', () => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    try {
      const { status, texts } = line();
      const [first, second] = [status.begin(), status.begin()];
      first.report(10, 100);
      second.report(20, 200);
      mock.timers.tick(1000);
      assert.equal(texts().at(-1), 'working 30/300');
    } finally {
      mock.timers.reset();
    }
  });

  it('is cleared on close and stays so', () => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    try {
      const { node, status } = line();
      status.idle();
      status.done(1);
      status.close();
      status.done(2);
      mock.timers.tick(5000);
      assert.deepEqual(node.statuses.at(-1), {});
    } finally {
      mock.timers.reset();
    }
  });
});
