import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { ACTIONS, STAGES, runCases, table } from '../support/deploy-matrix';
import type { CaseResult } from '../support/deploy-matrix';
import { amount } from '../support/torture';

/** EXDICOM_DEPLOYS: only these actions. A selection of the cases is test/flow/deploy-matrix, so that none is here outside a full run. */
const chosen = (process.env['EXDICOM_DEPLOYS'] ?? '').split(';').filter((name) => name !== '');
const actions = amount<ReadonlyArray<(typeof ACTIONS)[number]>>(ACTIONS, []).filter((action) => chosen.length === 0 || chosen.includes(action));

describe('a job in a flow that is changed under it ends once, with its outcome, and is sent once', () => {
  const results: CaseResult[] = [];
  if (actions.length > 0) after(() => { console.log(`outcome (attempts)\n${table(results)}`); });
  for (const action of actions) {
    it(`${action}, with the job at each stage`, async () => {
      const found = await runCases(STAGES.map((stage) => [action, stage] as const));
      results.push(...found);
      assert.deepEqual(found.filter(({ outcome, wrong }) => outcome !== 'complete' || wrong.length > 0), []);
    });
  }
});
