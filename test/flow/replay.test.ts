import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';

const receipts = (red: NodeRed): Receipt[] => red.at('d-finish').map(({ payload }) => payload as Receipt);

/** A delay of the user's own between ours, in which a message can be caught by a kill. */
const held = (seconds: number, between: 'anonymize' | 'extract' = 'extract'): FlowNode[] => mainFlow({
  change: { [between]: { wires: between === 'extract' ? [['hold', 'd-extract']] : [['hold', 'd-anonymize'], ['d-aside']] } },
  add: [{
    id: 'hold', type: 'delay', z: 'f', pauseType: 'delay', timeout: String(seconds), timeoutUnits: 'seconds', rate: '1', nbRateUnits: '1', rateUnits: 'second',
    wires: [[between === 'extract' ? 'anonymize' : 'out']],
  }],
});

async function withUserDir(work: (userDir: string) => Promise<void>): Promise<void> {
  const userDir = await mkdtemp(join(tmpdir(), 'exdicom-replay-'));
  try {
    await work(userDir);
  } finally {
    await rm(userDir, { recursive: true, force: true });
  }
}

describe('replay', () => {
  it('several jobs run side by side and every one closes', async () => {
    await using red = await NodeRed.start({ flows: mainFlow() });
    for (let job = 0; job < 7; job += 1) await drop(red.userDir, `study ${job}.zip`, await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length === 7);
    assert.deepEqual(receipts(red).map(({ job }) => job.outcome), Array.from({ length: 7 }, () => 'complete'));
    assert.equal((await filesBelow(join(red.userDir, 'data', 'received'))).length, 7 * 24);
    assert.deepEqual(red.at('d-catch'), []);
  });

  it('a job that was between two nodes when the process was killed is sent again after the start, and nothing is done twice', async () => {
    await withUserDir(async (userDir) => {
      {
        await using red = await NodeRed.start({ flows: held(600), userDir });
        await drop(userDir, 'study.zip', await sampleStudy(userDir));
        await red.until(() => red.at('d-extract').length > 0);
        await red.kill();
      }
      await using red = await NodeRed.start({ flows: held(0), userDir });
      await red.until(() => red.at('d-finish').length > 0);
      const [receipt] = receipts(red);
      assert.equal(receipt?.job.outcome, 'complete');
      assert.equal(receipt?.job.attempts, 2);
      assert.equal((await filesBelow(join(userDir, 'data', 'received'))).length, 24);
      assert.deepEqual(await filesBelow(join(userDir, 'data', 'inbox')), []);
    });
  });

  it('a job whose message was lost in a full deploy is sent again', async () => {
    await using red = await NodeRed.start({ flows: held(600) });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-extract').length > 0);
    await red.deploy(held(0));
    await red.until(() => red.at('d-finish').length > 0);
    assert.equal(receipts(red)[0]?.job.outcome, 'complete');
    assert.equal((await filesBelow(join(red.userDir, 'data', 'received'))).length, 24);
  });

  it('a deploy of one changed node loses nothing', async () => {
    await using red = await NodeRed.start({ flows: held(600, 'anonymize') });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-anonymize').length > 0);
    await red.deploy(held(0, 'anonymize'), 'nodes');
    // The message is gone with the delay node, which is not ours; its job is sent again when it has been silent for a while.
    await red.until(() => red.at('d-finish').length > 0);
    assert.equal(receipts(red)[0]?.job.outcome, 'complete');
  });

  it('an orderly stop in the middle of many jobs, and a start, complete them all', async () => {
    await withUserDir(async (userDir) => {
      const jobs = 5;
      {
        await using red = await NodeRed.start({ flows: mainFlow(), userDir });
        for (let job = 0; job < jobs; job += 1) await drop(userDir, `study ${job}.zip`, await sampleStudy(userDir));
        await red.until(() => red.at('d-extract').length > 0);
        await red.stop();
        assert.equal(red.exited?.code, 0);
        assert.doesNotMatch(JSON.stringify(red.logs), /Close timed out|SAMPLE/);
      }
      await using red = await NodeRed.start({ flows: mainFlow(), userDir });
      const done = async (): Promise<number> => (await filesBelow(join(userDir, 'data', 'done'))).length;
      while (await done() < jobs) await red.until(() => true).then(() => new Promise((resolve) => { setTimeout(resolve, 100); }));
      assert.equal((await filesBelow(join(userDir, 'data', 'received'))).length, jobs * 24);
      assert.deepEqual(await filesBelow(join(userDir, 'data', 'inbox')), []);
    });
  });
});
