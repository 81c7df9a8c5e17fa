/** Flow 01 with several patients, studies and hospitals, into a real Orthanc and a real storescp. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { mapUid } from '../../nodes/engine/deid/keyed';
import { instance, zip } from '../support/archives';
import { programsMissing, startStorescp } from '../support/dcmtk';
import { exampleFlow, idOf } from '../support/example-flow';
import { jobStates, receiptsIn } from '../support/ledger-file';
import { filesBelow } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';
import { freePort, orthancMissing, startOrthanc } from '../support/orthanc';

const KEY = 'a key for tests, of more than 32 characters';

interface Place { readonly data: string; readonly folder: string }

async function withFlow(flow: readonly FlowNode[], peer: { port: number; aet: string; level: string }, use: (place: Place, red: NodeRed) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-patients-'));
  try {
    const data = join(folder, 'data');
    mkdirSync(join(data, 'inbox'), { recursive: true });
    const red = await NodeRed.start({
      flows: flow, userDir: folder,
      env: {
        EXDICOM_DATA: data, EXDICOM_DEID_KEY: KEY, EXDICOM_LISTEN_PORT: String(await freePort()),
        EXDICOM_PACS_HOST: '127.0.0.1', EXDICOM_PACS_PORT: String(peer.port), EXDICOM_PACS_AET: peer.aet, EXDICOM_PACS_LEVEL: peer.level,
      },
    });
    try {
      await use({ data, folder }, red);
    } finally {
      await red.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function give(inbox: string, name: string, content: Buffer): void {
  mkdirSync(inbox, { recursive: true });
  writeFileSync(join(inbox, `${name}.part`), content);
  renameSync(join(inbox, `${name}.part`), join(inbox, name));
}

async function untilClosed(data: string, jobs: number): Promise<void> {
  while (receiptsIn(data).size < jobs) await new Promise((resolve) => { setTimeout(resolve, 200); });
  assert.deepEqual(jobStates(data), { closed: jobs });
}

describe('who is who after de-identification', { skip: orthancMissing() }, () => {
  it('three patients, four studies, two files without PatientID and two hospitals that share PatientID 1 stay what they are', async () => {
    await using orthanc = await startOrthanc();
    const flow = exampleFlow('01').map((node) => (node.type === 'exdicom-folder-in' ? { ...node, issuer: 'HOSPITAL-A' } : node));
    const source = flow.find(({ type }) => type === 'exdicom-folder-in');
    assert.ok(source);
    const second: FlowNode = { ...source, id: 'hospital-b', issuer: 'HOSPITAL-B', folder: 'inbox-b' };
    await withFlow([...flow, second], { port: orthanc.dicomPort, aet: 'ORTHANC', level: 'C-FIND' }, async ({ data }) => {
      const entry = (name: string, of: Parameters<typeof instance>[0]): { name: string; data: Buffer } => ({ name, data: instance(of) });
      give(join(data, 'inbox'), 'a.zip', zip([
        entry('1', { patientId: '1', study: '1.2.10', sop: '1.2.10.1' }), entry('2', { patientId: '1', study: '1.2.10', sop: '1.2.10.2' }),
        entry('3', { patientId: '2', study: '1.2.20', sop: '1.2.20.1' }), entry('4', { patientId: '2 ', study: '1.2.21', sop: '1.2.21.1' }),
        entry('5', { patientId: '3', study: '1.2.30', sop: '1.2.30.1' }),
        entry('6', { patientId: '', study: '1.2.40', sop: '1.2.40.1' }), entry('7', { patientId: '', study: '1.2.50', sop: '1.2.50.1' }),
      ]));
      give(join(data, 'inbox-b'), 'b.zip', zip([entry('1', { patientId: '1', study: '1.2.60', sop: '1.2.60.1' })]));
      await untilClosed(data, 2);
      const receipts = [...receiptsIn(data).values()];
      assert.deepEqual(receipts.map(({ job }) => job.outcome), ['complete', 'complete']);
      // A: 1, 2 and 3 with four studies, and two without PatientID, each a patient of its own; B: its own patient 1.
      assert.deepEqual(await orthanc.counts(), { patients: 6, studies: 7, series: 7, instances: 8 });
      const uids = new Set((await orthanc.instances()).map(({ sopInstanceUID }) => sopInstanceUID));
      assert.ok(uids.has(mapUid(Buffer.from(KEY), '', '1.2.10.1')));
      const patients = (await orthanc.get('/patients?expand')) as ReadonlyArray<{ MainDicomTags: { PatientID: string; PatientName: string } }>;
      for (const { MainDicomTags } of patients) {
        assert.match(MainDicomTags.PatientID, /^P[A-Z2-7]{15}$/);
        assert.equal(MainDicomTags.PatientName, MainDicomTags.PatientID);
      }
    });
  });
});

describe('flow 01 to DCMTK', { skip: programsMissing('storescp') }, () => {
  it('with level response every instance lies in storescp\'s folder, and the receipt says by what it was verified', async () => {
    await using scp = await startStorescp();
    const flow = exampleFlow('01');
    await withFlow(flow, { port: scp.port, aet: 'ANY-SCP', level: 'response' }, async ({ data }, red) => {
      const entries = Array.from({ length: 20 }, (_, index) => ({ name: `IM${index}`, data: instance({ patientId: 'P', study: '1.2.10', sop: `1.2.10.${index}` }) }));
      give(join(data, 'inbox'), 'study.zip', zip(entries));
      await untilClosed(data, 1);
      const [receipt] = receiptsIn(data).values();
      assert.deepEqual(receipt?.destinations.map(({ verified, levels }) => ({ verified, levels })), [{ verified: 20, levels: { response: 20 } }]);
      const received = readdirSync(scp.folder);
      assert.equal(received.length, 20);
      // What lies there is what the receipt vouches for: the data sets are the same, byte for byte.
      const uids = received.map((name) => /2\.25\.\d+/.exec(readFileSync(join(scp.folder, name)).toString('latin1'))?.[0]);
      assert.deepEqual(new Set(uids), new Set(receipt?.instances.map(({ sopInstanceUID }) => sopInstanceUID)));
      await red.until(() => red.status(idOf(flow, 'exdicom-finish')) === 'done 20');
    });
  });

  it('the same job in two fresh ledgers with the same key gives the same bytes', async () => {
    const digests: string[][] = [];
    const study = zip(Array.from({ length: 5 }, (_, index) => ({ name: `IM${index}`, data: instance({ patientId: 'P', study: '1.2.10', sop: `1.2.10.${index}` }) })));
    for (let round = 0; round < 2; round += 1) {
      const port = await freePort();
      const flow = exampleFlow('01', { 'exdicom-pacs': { port: String(port) }, 'exdicom-c-store-in': { port: String(port) } });
      await withFlow(flow, { port, aet: 'EXDICOM-PACS', level: 'response' }, async ({ data }) => {
        give(join(data, 'inbox'), 'study.zip', study);
        await untilClosed(data, 2);
        const files = await filesBelow(join(data, 'received'));
        assert.equal(files.length, 5);
        // The receiver writes a File Meta Information of its own; the data sets are ours.
        digests.push(files.map((file) => `${file} ${createHash('sha256').update(readFileSync(join(data, 'received', file))).digest('hex')}`));
      });
    }
    assert.deepEqual(digests[0], digests[1]);
  });
});
