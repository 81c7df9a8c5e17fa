import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isAnswerProperty } from '../../../nodes/jobs/actions';
import { numbersOf } from '../../../nodes/jobs/numbers';
import { instantOf } from '../../../nodes/jobs/since';

describe('words of a request', () => {
  it('numbers are single ones, lists and ranges, each once', () => {
    assert.deepEqual(numbersOf('1-3, 7,2'), [1, 2, 3, 7]);
    assert.deepEqual(numbersOf(5), [5]);
    assert.deepEqual(numbersOf([2, '4-5']), [2, 4, 5]);
    for (const wrong of ['', '0', '-1', '3-1', '1,', 'all', '1-1000000', '1e3', '0x2', [], [1.5], [null], [[1]], [Object.create(null)], '1,'.repeat(100_000) + '1', Array.from({ length: 100_001 }, () => 1), 1.5, -2]) assert.equal(numbersOf(wrong), undefined, JSON.stringify(wrong).slice(0, 40));
  });

  it('a point in time is a span before now, a date, or milliseconds', () => {
    const now = Date.UTC(2026, 10, 2);
    assert.equal(instantOf('24h', now), Date.UTC(2026, 10, 1));
    assert.equal(instantOf('90 m', now), now - 5_400_000);
    assert.equal(instantOf('2026-11-01', now), Date.UTC(2026, 10, 1));
    assert.equal(instantOf('2026-11-01T10:00:00+02:00', now), Date.UTC(2026, 10, 1, 8));
    assert.equal(instantOf(String(now)), now);
    for (const wrong of ['', 'yesterday', '2026', '24', '-1h', '2026-13-01', '1h2m']) assert.equal(instantOf(wrong, now), undefined, wrong);
  });

  it('an answer replaces no part of a message that somebody else needs', () => {
    for (const name of ['payload', 'counts', 'list2', 'jobs']) assert.ok(isAnswerProperty(name), name);
    for (const name of ['', 'req', 'res', 'job', '_msgid', '__proto__', 'constructor', 'a.b', 'statusCode', 'password', '9']) assert.ok(!isAnswerProperty(name), name);
  });
});
