import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { verifyJournal } from '../../nodes/engine/ledger/journal';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { zip } from '../support/archives';
import { exampleFlow, idOf } from '../support/example-flow';
import { receiptsIn } from '../support/ledger-file';
import { drop, filesBelow } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';
import { elements, file } from '../unit/dicom/building';
import { readDataSet, readFile as readPart10 } from '../unit/dicom/reading';

const CT = '1.2.840.10008.5.1.4.1.1.2';

/** A CT image and a secondary capture of the same study, of a patient without an issuer of his own. */
const study = (): Buffer => zip([
  { name: 'ct', data: file(elements([0x00080016, 'UI', CT], [0x00080018, 'UI', '1.2.3.40'], [0x00080060, 'CS', 'CT']), 'explicit', { sopClass: CT, sopInstance: '1.2.3.40' }) },
  { name: 'sc', data: file(elements()) },
]);

async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
  return String(port);
}

const profile = (id: string, name: string, allowedRisks: readonly string[]): FlowNode =>
  ({ id, type: 'exdicom-deid-profile', name, scope: '', keyMode: 'kept', keyFile: '', dates: 'shift', maximumShift: '3650', allowedRisks, allowedSopClasses: '' });

/** Flow 01 with an issuer at its source, a jobs node, and what to add. */
function flow(...more: readonly FlowNode[]): FlowNode[] {
  const nodes = exampleFlow('01', { 'exdicom-folder-in': { issuer: 'HOSPITAL A', interval: '0.3', stable: '0.3' }, 'exdicom-c-store-in': { quiet: '1' } });
  const z = nodes.find(({ type }) => type === 'tab')!.id;
  return [
    ...nodes,
    { id: 'jobs', type: 'exdicom-jobs', z, x: 0, y: 0, name: '', ledger: idOf(nodes, 'exdicom-ledger'), action: 'message', answer: 'payload', wires: [['d-jobs']] },
    { id: 'd-jobs', type: 'debug', z, x: 0, y: 0, active: false, complete: 'true', wires: [] },
    { id: 'status', type: 'status', z, x: 0, y: 0, scope: null, wires: [[]] },
    ...more,
  ];
}

describe('a secondary capture that the risk gate sets aside', () => {
  it('is released under a profile that allows it, and arrives in the same study of the same patient', async () => {
    const userDir = await mkdtemp(join(tmpdir(), 'exdicom-quarantine-'));
    try {
      const data = join(userDir, 'data');
      const port = await freePort();
      await using red = await NodeRed.start({ flows: flow(), userDir, env: { EXDICOM_DATA: data, EXDICOM_DEID_KEY: 'k'.repeat(40), EXDICOM_LISTEN_PORT: port, EXDICOM_PACS_PORT: port } });
      const ask = async (payload: object): Promise<Record<string, unknown>> => {
        const before = red.at('d-jobs').length;
        red.receive('jobs', { payload, who: 'Ada' });
        await red.until(() => red.at('d-jobs').length > before);
        return red.at('d-jobs').at(-1)?.['payload'] as Record<string, unknown>;
      };
      const wait = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
        while (!(await holds())) {
          assert.equal(red.exited, undefined);
          await pause(100);
        }
      };
      const received = async (): Promise<string[]> => filesBelow(join(data, 'received'));
      const codesCaught = (): unknown[] => red.messages.map(({ message }) => (message['error'] as { code?: unknown } | undefined)?.code).filter((code) => code !== undefined);

      await drop(userDir, 'study.zip', study(), join(data, 'inbox'));
      await wait(async () => (await received()).length === 1 && (await filesBelow(join(data, 'failed'))).length === 2);
      const folder = join(data, 'quarantine', 'folder-in-0001');
      assert.deepEqual((await readdir(folder)).toSorted(), ['000002.dcm', '000002.reason.json']);
      await wait(() => red.status(idOf(flow(), 'exdicom-ledger')) === 'quarantined 1');
      const now = await fetch(`http://127.0.0.1:${red.started?.port}/exdicom/ledger/${idOf(flow(), 'exdicom-ledger')}/status`);
      assert.equal((await now.json() as { quarantined?: unknown }).quarantined, 1, 'what its dialog shows');
      const [lies] = (await ask({ action: 'quarantine' }))['files'] as Array<{ job: string; instance: number; code: string }>;
      assert.deepEqual([lies?.instance, lies?.code], [2, 'RISK_SOP_CLASS']);

      // No profile of that name: the job waits for a person, and nothing is sent under the flow's own.
      const asked = await ask({ action: 'release', job: lies?.job, instances: 'all', profile: 'Pictures' });
      assert.equal((asked['job'] as { name?: unknown } | undefined)?.name, 'folder-in 0003');
      await wait(() => codesCaught().includes('PROFILE_MISSING'));
      assert.equal((await received()).length, 1);

      await red.deploy(flow(profile('pictures', 'Pictures', ['RISK_SOP_CLASS'])), 'nodes');
      await wait(async () => (await received()).length === 2 && (await filesBelow(folder)).length === 0);
      const files = await Promise.all((await received()).map((name) => readFile(join(data, 'received', name))));
      const values = files.map((bytes) => new Map(readDataSet(readPart10(bytes).dataSet, true, false, () => false).map(({ tag, value }) => [tag, value.toString('latin1')])));
      for (const [tag, what] of [[0x0020000d, 'Study Instance UID'], [0x00100020, 'Patient ID'], [0x00100010, "Patient's Name"], [0x00080020, 'Study Date'], [0x0020000e, 'Series Instance UID']] as const) {
        assert.equal(values[0]?.get(tag), values[1]?.get(tag), what);
      }
      assert.match(values[0]?.get(0x0020000d) ?? '', /^2\.25\.\d+/);
      assert.notEqual(values[0]?.get(0x00100020)?.trim(), 'PID1');

      assert.deepEqual(await readdir(join(data, 'quarantine')), []);
      assert.deepEqual((await filesBelow(join(data, 'failed'))).map((name) => name.split('/').at(-1)), ['reason.json', 'study.zip'], 'the original stays as it was');
      assert.deepEqual(await filesBelow(join(data, 'done')), []);
      const detail = await ask({ action: 'job', job: lies?.job });
      assert.match(JSON.stringify(detail), /"released"/);
      await red.stop();

      const receipts = receiptsIn(data);
      const released: Receipt | undefined = receipts.get('folder-in 0003');
      assert.deepEqual(
        { outcome: released?.job.outcome, of: released?.job.releaseOf, profile: released?.profile?.name, verified: released?.destinations[0]?.verified, balanced: released?.balanced },
        { outcome: 'complete', of: lies?.job, profile: 'Pictures', verified: 1, balanced: true },
      );
      const report = await verifyJournal(join(data, 'journal'), [...receipts.values()].map(({ journal }) => journal));
      assert.deepEqual([report.sound, report.chains, report.torn], [true, 1, false]);
      assert.doesNotMatch(await readFile(join(data, 'journal', (await readdir(join(data, 'journal')))[0]!), 'utf8'), /DOE|PID1|HOSPITAL|study\.zip|1\.2\.3/);
      assert.doesNotMatch(JSON.stringify([red.logs, red.statuses]), /DOE|PID1|HOSPITAL/);
    } finally {
      await rm(userDir, { recursive: true, force: true });
    }
  });
});
