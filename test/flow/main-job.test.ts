import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import type { DicomFile } from '../../nodes/engine/model';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';

const receiptOf = (message: Record<string, unknown> | undefined): Receipt => message?.['payload'] as Receipt;
const errorCode = (message: Record<string, unknown>): unknown => (message['error'] as { code?: unknown } | undefined)?.code;

for (const version of ['node-red', 'node-red-4'] as const) {
  describe(`the main job in ${version}`, () => {
    it('takes an archive from a folder to verified, de-identified files, and closes', async () => {
      await using red = await NodeRed.start({ version, flows: mainFlow() });
      const data = join(red.userDir, 'data');
      assert.deepEqual(red.started?.types.filter(({ err }) => err !== undefined), []);
      await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
      await red.until(() => red.at('d-finish').length > 0);

      const receipt = receiptOf(red.at('d-finish')[0]);
      assert.equal(receipt.job.outcome, 'complete');
      assert.equal(receipt.entries.instance, 24);
      assert.deepEqual(receipt.destinations.map(({ label, verified, levels }) => ({ label, verified, levels })), [{ label: 'archive', verified: 24, levels: { digest: 24 } }]);
      assert.ok(receipt.balanced);

      const received = await filesBelow(join(data, 'received'));
      assert.equal(received.length, 24);
      for (const file of received) {
        assert.match(file, /^2\.25\.\d+\/2\.25\.\d+\.dcm$/);
        const content = await readFile(join(data, 'received', file));
        assert.equal(content.includes('SAMPLE'), false);
        assert.equal(content.toString('latin1', 128, 132), 'DICM');
      }
      assert.deepEqual((await filesBelow(join(data, 'done'))).map((file) => file.split('/').at(-1)), ['study.zip']);
      assert.deepEqual(await filesBelow(join(data, 'inbox')), []);

      // Messages: small, documented, and of one job all the way.
      assert.deepEqual(red.at('d-extract').map(({ payload }) => (payload as DicomFile[]).length), [24]);
      const [delivered] = red.at('d-out');
      assert.deepEqual(Object.keys(delivered ?? {}).toSorted(), ['_msgid', 'anonymized', 'delivered', 'extracted', 'job', 'parts', 'payload']);
      assert.equal(red.at('d-aside').length, 0);
      assert.deepEqual(red.at('d-catch'), []);
      for (const text of red.statuses.map(({ text: shown }) => shown)) assert.ok(text.length <= 20, text);
      assert.ok(red.at('d-complete').length >= 4);
      assert.ok(red.at('d-status').length > 0);
      await red.until(() => red.status('finish') === 'done 24' && red.status('out') === 'done 24');
      assert.doesNotMatch(JSON.stringify([red.logs, red.statuses, red.at('d-anonymize'), red.at('d-out'), red.at('d-finish')]), /SAMPLE/);

      await red.until(() => red.exited === undefined);
      await red.stop();
      assert.equal(red.exited?.code, 0);
      assert.deepEqual(await filesBelow(join(data, 'work')), []);
    });
  });
}

describe('what goes wrong in the main job', () => {
  it('a wire past anonymize delivers nothing, and says so', async () => {
    await using red = await NodeRed.start({ flows: mainFlow({ change: { extract: { wires: [['out', 'd-extract']] } } }) });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length > 0);
    assert.deepEqual(await filesBelow(join(red.userDir, 'data', 'received')), []);
    const receipt = receiptOf(red.at('d-finish')[0]);
    assert.notEqual(receipt.job.outcome, 'complete');
    assert.ok(receipt.failed.length === 24 && receipt.failed.every(({ code }) => code === 'NOT_DEIDENTIFIED'));
    await red.until(() => red.status('out') === 'failed: identified' && red.status('finish') === 'done 0');
    assert.ok((await filesBelow(join(red.userDir, 'data', 'failed'))).some((file) => file.endsWith('/study.zip')));
  });

  it('an item that is too large for the disk is told of, without its name, and what is smaller goes past it', async () => {
    await using red = await NodeRed.start({ flows: mainFlow() });
    const inbox = join(red.userDir, 'data', 'inbox');
    await mkdir(inbox, { recursive: true });
    const { bavail, bsize } = await statfs(inbox);
    const large = join(inbox, 'SAMPLE PATIENT.dcm');
    await writeFile(large, '');
    // Without a byte of it on the disk.
    await truncate(large, bavail * bsize);
    await red.until(() => red.status('in') === 'failed: disk full');
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length === 1);
    assert.equal(red.logs.filter(({ text }) => text.includes('too large for the free space')).length, 1);
    assert.doesNotMatch(JSON.stringify(red.logs), /SAMPLE/);
    await rm(large);
    await red.until(() => red.status('in') === 'idle');
  });

  it('an archive without DICOM reaches the Catch node once, with its code, and its original goes to failed', async () => {
    await using red = await NodeRed.start({ flows: mainFlow() });
    await drop(red.userDir, 'note.txt', Buffer.from('nothing to see'));
    await red.until(() => red.at('d-catch').length > 0);
    const data = join(red.userDir, 'data');
    while (!(await filesBelow(join(data, 'failed'))).some((file) => file.endsWith('/reason.json'))) await new Promise((resolve) => { setTimeout(resolve, 100); });
    assert.deepEqual(red.at('d-catch').map(errorCode), ['NO_DICOM']);
    const failed = await filesBelow(join(data, 'failed'));
    assert.deepEqual(failed.map((file) => file.split('/').at(-1)), ['note.txt', 'reason.json']);
    assert.deepEqual(await filesBelow(join(data, 'inbox')), []);
  });

  it('what anonymize cannot vouch for comes out of its second output and lies in quarantine; the rest is delivered, and nothing is lost', async (test) => {
    const document = join('..', 'shared', 'data', 'synthetic', 'objects', 'encapsulated_pdf_phi.dcm');
    if (!existsSync(document)) { test.skip('no shared data'); return; }
    await using red = await NodeRed.start({ flows: mainFlow() });
    const data = join(red.userDir, 'data');
    const folder = join(red.userDir, 'mixed');
    await mkdir(folder);
    await copyFile(document, join(folder, 'report'));
    await writeFile(join(folder, 'study.zip'), await sampleStudy(red.userDir));
    await red.until(() => red.status('in') === 'idle');
    await rename(folder, join(data, 'inbox', 'mixed'));
    await red.until(() => red.at('d-finish').length > 0);

    assert.deepEqual(red.at('d-aside').map(({ payload }) => payload), [[{ instance: 1, code: 'RISK_BURNED_IN' }]]);
    assert.equal((red.at('d-anonymize')[0]?.['payload'] as DicomFile[] | undefined)?.length, 24);
    const receipt = receiptOf(red.at('d-finish')[0]);
    assert.equal(receipt.job.outcome, 'with-exceptions');
    await red.until(() => red.status('finish') === 'done 24');
    assert.ok(receipt.balanced);
    assert.equal((await filesBelow(join(data, 'received'))).length, 24);
    assert.equal((await filesBelow(join(data, 'quarantine'))).filter((file) => file.endsWith('.dcm')).length, 1);
    const failed = await filesBelow(join(data, 'failed'));
    assert.deepEqual(failed.map((file) => file.split('/').slice(1).join('/')), ['mixed/report', 'mixed/study.zip', 'reason.json']);
    await red.until(() => red.status('anonymize') === 'done 24');
  });
});
