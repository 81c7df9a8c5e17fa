import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';

const outcomes = (red: NodeRed): string[] => red.at('d-finish').map(({ payload }) => (payload as Receipt).job.outcome);
const codes = (red: NodeRed): Set<unknown> => new Set(red.at('d-catch').map(({ error }) => (error as { code?: unknown }).code));

describe('the de-identification key', () => {
  it('is made once, for its owner only, outside of the ledger; without it the next job waits and nothing is sent; with it back, and a deploy, the job goes on', async () => {
    await using red = await NodeRed.start({ flows: mainFlow() });
    const key = join(red.userDir, 'exdicom-deid-key');
    await drop(red.userDir, 'one.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length === 1);
    assert.equal((await stat(key)).mode & 0o777, 0o600);

    await rename(key, `${key}.away`);
    await drop(red.userDir, 'two.zip', await sampleStudy(red.userDir));
    await red.until(() => codes(red).has('KEY_MISSING'));
    assert.equal((await filesBelow(join(red.userDir, 'data', 'received'))).length, 24);
    assert.deepEqual(await filesBelow(join(red.userDir, 'data', 'inbox')), ['two.zip']);
    assert.ok(!(await filesBelow(red.userDir)).includes('exdicom-deid-key'));

    await rename(`${key}.away`, key);
    await red.deploy(mainFlow({ change: { finish: { name: 'mended' } } }), 'nodes');
    await red.until(() => red.at('d-finish').length === 2);
    assert.deepEqual(outcomes(red), ['complete', 'complete']);
  });

  it('that is another one than before stops the job', async () => {
    const userDir = await mkdtemp(join(tmpdir(), 'exdicom-key-'));
    try {
      {
        await using red = await NodeRed.start({ flows: mainFlow(), userDir, env: { EXDICOM_DEID_KEY: 'a'.repeat(32) } });
        await drop(userDir, 'one.zip', await sampleStudy(userDir));
        await red.until(() => red.at('d-finish').length === 1);
        await red.stop();
      }
      await using red = await NodeRed.start({ flows: mainFlow(), userDir, env: { EXDICOM_DEID_KEY: 'b'.repeat(32) } });
      await drop(userDir, 'two.zip', await sampleStudy(userDir));
      await red.until(() => codes(red).has('KEY_CHANGED'));
      assert.equal((await filesBelow(join(userDir, 'data', 'received'))).length, 24);
      assert.ok(!(await filesBelow(userDir)).includes('exdicom-deid-key'));
      assert.doesNotMatch(JSON.stringify([red.logs, red.messages]), /b{32}/);
    } finally {
      await rm(userDir, { recursive: true, force: true });
    }
  });

  it('gives the same files in a fresh ledger', async () => {
    const study = async (red: NodeRed): Promise<Map<string, string>> => {
      const received = join(red.userDir, 'data', 'received');
      return new Map(await Promise.all((await filesBelow(received)).map(async (file) => [file, (await readFile(join(received, file))).toString('base64')] as const)));
    };
    const env = { EXDICOM_DEID_KEY: 'c'.repeat(40) };
    await using first = await NodeRed.start({ flows: mainFlow(), env });
    await using second = await NodeRed.start({ flows: mainFlow(), env });
    const content = await sampleStudy(first.userDir);
    for (const red of [first, second]) {
      await drop(red.userDir, 'study.zip', content);
      await red.until(() => red.at('d-finish').length === 1);
    }
    assert.deepEqual(await study(first), await study(second));
  });
});

describe('a setting that is wrong', () => {
  it('is shown at its node and ends its messages, and the rest of Node-RED lives', async () => {
    await using red = await NodeRed.start({
      flows: mainFlow({ change: { in: { interval: 'x' }, extract: { depth: '99' }, out: { folder: '' }, anonymize: { profile: '' } } }),
    });
    await red.until(() => ['in', 'extract', 'anonymize', 'out'].every((node) => red.status(node) === 'failed: settings'));
    for (const node of ['extract', 'anonymize', 'out']) red.receive(node, { payload: '/nowhere' });
    await red.until(() => red.at('d-catch').length >= 3);
    assert.deepEqual([...codes(red)], ['CONFIG_INVALID']);
  });

  it('is no ledger: sources say so, and so do nodes that are given a message without a job', async () => {
    await using red = await NodeRed.start({ flows: mainFlow({ change: { in: { ledger: '' }, extract: { ledger: 'gone' } } }) });
    await red.until(() => red.status('in') === 'failed: no ledger');
    red.receive('extract', { payload: '/nowhere' });
    await red.until(() => codes(red).has('LEDGER_MISSING'));
  });

  it('is the directory of another ledger: the second one waits, and every node that uses it says so', async () => {
    const flows = mainFlow({ add: [
      { id: 'second', type: 'exdicom-ledger', name: '', directory: 'data' },
      { id: 'in2', type: 'exdicom-folder-in', z: 'f', ledger: 'second', folder: 'inbox2', interval: '0.2', stable: '0.2', wires: [['extract']] },
    ] });
    await using red = await NodeRed.start({ flows });
    const blocked = (): boolean => red.status('in2') === 'failed: ledger used' || red.status('in') === 'failed: ledger used';
    await red.until(blocked);
    // One of the two has it, and works.
    assert.notEqual(red.status('in2') === 'failed: ledger used', red.status('in') === 'failed: ledger used');
  });

  it('is a destination folder that is not there: the job waits, nothing is made in its place, and it goes on when it is mounted', async () => {
    const away = await mkdtemp(join(tmpdir(), 'exdicom-mount-'));
    try {
      const share = join(away, 'share');
      await using red = await NodeRed.start({ flows: mainFlow({ change: { out: { folder: share } } }) });
      await drop(red.userDir, 'one.zip', await sampleStudy(red.userDir));
      await red.until(() => codes(red).has('STORAGE_FAILED'));
      await assert.rejects(stat(share));
      await mkdir(share);
      await red.until(() => red.at('d-finish').length === 1);
      assert.deepEqual(outcomes(red), ['complete']);
      assert.equal((await filesBelow(share)).length, 24);
    } finally {
      await rm(away, { recursive: true, force: true });
    }
  });

  it('is a folder of the ledger\'s own, watched', async () => {
    await using red = await NodeRed.start({ flows: mainFlow({ change: { in: { folder: '.' } } }) });
    await red.until(() => red.status('in') === 'failed: settings');
    await red.deploy(mainFlow({ change: { in: { folder: 'work/x' } } }));
    await red.until(() => red.status('in') === 'failed: settings');
  });

  it('is deletion at once with a PACS that proves nothing but its response', async () => {
    const flows = mainFlow({
      change: { in: { disposal: 'delete' }, anonymize: { wires: [['pacs-out'], []] } },
      add: [
        { id: 'pacs', type: 'exdicom-pacs', name: '', host: '127.0.0.1', port: '1', aet: 'X', verification: 'response' },
        { id: 'pacs-out', type: 'exdicom-c-store-out', z: 'f', pacs: 'pacs', wires: [['finish']] },
      ],
    });
    await using red = await NodeRed.start({ flows });
    await red.until(() => red.status('in') === 'failed: settings');
    await red.deploy(mainFlow({ change: { in: { disposal: 'delete' } } }));
    await drop(red.userDir, 'one.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length === 1);
    const data = join(red.userDir, 'data');
    while ((await filesBelow(join(data, 'inbox'))).length > 0) await new Promise((resolve) => { setTimeout(resolve, 50); });
    assert.deepEqual(await filesBelow(join(data, 'done')), []);
  });
});
