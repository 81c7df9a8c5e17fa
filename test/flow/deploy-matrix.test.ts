import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runCases, table } from '../support/deploy-matrix';

describe('a job in a flow that is changed under it', () => {
  // Fifteen of the whole matrix, which `npm run torture` runs.
  it('ends once, with its outcome, and is sent once', async () => {
    const results = await runCases([
      ['full', 'extract'], ['full', 'sending'], ['flows', 'verify'], ['nodes', 'anonymize'], ['nodes', 'user nodes'], ['deleted', 'sending'], ['rewired', 'extract'],
      ['disabled', 'anonymize'], ['subflow', 'extract'], ['subflow, undone', 'sending'], ['in subflow', 'extract'], ['out of subflow', 'anonymize'], ['imported', 'finish'], ['source removed', 'intake'], ['stopped', 'sending'],
    ]);
    console.log(`outcome (attempts)\n${table(results)}`);
    assert.deepEqual(results.filter(({ outcome, wrong }) => outcome !== 'complete' || wrong.length > 0), []);
  });
});
