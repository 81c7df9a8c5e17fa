import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { programsMissing, run, startStorescp } from '../support/dcmtk';
import { dataSetOf } from '../support/listening';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';
import { freePort } from '../support/orthanc';

const ROUNDS = Number(process.env['EXDICOM_KILLS'] ?? 8);
const ARCHIVES = 6;
const SLICES = 24;
const KEY = 'a key of the torture, longer than thirty-two characters';

/** The main flow into a PACS that lives outside of Node-RED, and a listener whose studies take the same way. */
function flows(pacs: number, listen: number): FlowNode[] {
  const at = { z: 'f', x: 0, y: 0 };
  return [
    ...mainFlow().filter(({ id }) => id !== 'out'),
    { id: 'pacs', type: 'exdicom-pacs', name: 'PACS', host: '127.0.0.1', port: String(pacs), aet: 'TEST-PACS', callingAet: 'TEST', verification: 'response', findWait: '0' },
    { id: 'out', type: 'exdicom-c-store-out', name: '', ledger: '', pacs: 'pacs', ...at, wires: [['finish', 'd-out']] },
    { id: 'receive', type: 'exdicom-c-store-in', name: '', ledger: 'ledger', port: String(listen), aet: 'TEST', quiet: '1', ...at, wires: [['extract', 'd-receive']] },
    { id: 'd-receive', type: 'debug', active: false, ...at, wires: [] },
  ];
}

/** What is dropped into the inbox, and a folder of files whose sender tries until it is told success. */
async function material(folder: string): Promise<{ readonly archives: ReadonlyMap<string, Buffer>; readonly sent: string }> {
  const archives = new Map<string, Buffer>();
  for (let n = 0; n < ARCHIVES; n += 1) archives.set(`study ${n}.zip`, await sampleStudy(folder));
  const sent = join(folder, 'sent');
  await mkdir(sent);
  await writeFile(join(folder, 'sent.zip'), await sampleStudy(folder));
  const unpacked = await run('bsdtar', ['-xf', join(folder, 'sent.zip'), '-C', sent]);
  assert.equal(unpacked.code, 0, unpacked.stderr);
  return { archives, sent };
}

async function dropAll(userDir: string, archives: ReadonlyMap<string, Buffer>): Promise<void> {
  for (const [name, content] of archives) {
    if (name !== 'study 0.zip') {
      await drop(userDir, name, content);
      continue;
    }
    // One of them as a sub-folder.
    await mkdir(join(userDir, 'whole'), { recursive: true });
    await writeFile(join(userDir, 'whole', name), content);
    await mkdir(join(userDir, 'data', 'inbox'), { recursive: true });
    await rename(join(userDir, 'whole'), join(userDir, 'data', 'inbox', 'whole'));
  }
}

/** By name, which is the SOP Instance UID: the digest of the data set. */
function inventory(files: readonly string[]): Map<string, string> {
  const entries = files.toSorted().map((file) => [file.split('.').slice(1).join('.'), createHash('sha256').update(dataSetOf(file)).digest('hex')] as const);
  return new Map(entries);
}

interface Closed { readonly id: string; readonly name: string; readonly state: string; readonly outcome: string; readonly kind: string; readonly receipt: string }

function jobsOf(userDir: string): Closed[] {
  const database = new DatabaseSync(join(userDir, 'data', 'ledger.sqlite'), { readOnly: true });
  try {
    return database.prepare('SELECT id, name, state, outcome, kind, receipt FROM job ORDER BY n').all() as unknown as Closed[];
  } finally {
    database.close();
  }
}

/** Sends until everything was answered with success, as a modality does. */
async function sendUntilStored(folder: string, port: number, over: () => boolean): Promise<void> {
  while (!over()) {
    const { code } = await run('storescu', ['+sd', '+r', '-aet', 'SENDER', '-aec', 'TEST', '127.0.0.1', String(port), folder]);
    if (code === 0) return;
    await sleep(300);
  }
}

const originalsLeft = async (userDir: string): Promise<string[]> => filesBelow(join(userDir, 'data', 'inbox'));

describe('a Node-RED that is killed again and again', { skip: programsMissing('storescp', 'storescu', 'bsdtar') }, () => {
  it(`loses nothing in ${ROUNDS} kills, sends the same bytes under the same UIDs, and leaves nothing behind`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'exdicom-kill-'));
    try {
      const { archives, sent } = await material(folder);
      const env = { EXDICOM_DEID_KEY: KEY };

      // What it comes to when nobody kills anything.
      const expected = await (async () => {
        await using pacs = await startStorescp();
        const listen = await freePort();
        await using red = await NodeRed.start({ flows: flows(pacs.port, listen), env });
        await dropAll(red.userDir, archives);
        await red.until(() => red.status('receive') === 'idle');
        await sendUntilStored(sent, listen, () => false);
        await red.until(() => red.at('d-finish').length === ARCHIVES + 1);
        return inventory(pacs.files());
      })();
      assert.equal(expected.size, (ARCHIVES + 1) * SLICES);

      await using pacs = await startStorescp();
      const userDir = join(folder, 'red');
      await mkdir(userDir);
      const listen = await freePort();
      let over = false;
      const sending = sendUntilStored(sent, listen, () => over);
      try {
        await dropAll(userDir, archives);
        for (let round = 0; round < ROUNDS; round += 1) {
          await using red = await NodeRed.start({ flows: flows(pacs.port, listen), userDir, env });
          await Promise.race([sleep(Math.random() * 2500), red.until(() => false)]);
          await red.kill();
        }
        await using red = await NodeRed.start({ flows: flows(pacs.port, listen), userDir, env });
        await sending;
        const open = (): number => jobsOf(userDir).filter(({ state }) => state !== 'closed').length;
        while ((await originalsLeft(userDir)).length > 0 || open() > 0 || !jobsOf(userDir).some(({ kind }) => kind === 'received')) {
          assert.equal(red.exited, undefined);
          await sleep(200);
        }
        await red.stop();
      } finally {
        over = true;
        await sending;
      }

      const jobs = jobsOf(userDir);
      const receipts = jobs.map(({ receipt }) => JSON.parse(receipt) as Receipt);
      const odd = receipts.filter(({ job }) => job.outcome !== 'complete' && job.outcome !== 'duplicate');
      assert.deepEqual(odd.map(({ job, error, entries, quarantined, failed, destinations }) => ({ job, error, entries, quarantined, failed, destinations })), []);
      assert.deepEqual(receipts.filter(({ balanced }) => !balanced), []);
      assert.deepEqual(inventory(pacs.files()), expected);
      // What came in by an association that a kill cut off may be several jobs; an archive is one.
      assert.equal(jobs.filter(({ kind, outcome }) => kind !== 'received' && outcome === 'complete').length, ARCHIVES);
      const verified = receipts.flatMap(({ instances }) => instances.map(({ sopInstanceUID }) => sopInstanceUID ?? ''));
      assert.deepEqual([...new Set(verified)].toSorted(), [...expected.keys()].toSorted());

      const data = join(userDir, 'data');
      assert.deepEqual(await filesBelow(join(data, 'work')), []);
      assert.deepEqual(await filesBelow(join(data, 'quarantine')), []);
      assert.deepEqual(await filesBelow(join(data, 'failed')), []);
      const done = (await filesBelow(join(data, 'done'))).map((file) => file.split('/').slice(1).join('/'));
      assert.deepEqual(done.toSorted(), [...archives.keys()].map((name) => (name === 'study 0.zip' ? `whole/${name}` : name)).toSorted());
      const stored = pacs.log().match(/Received Store Request/g)?.length ?? 0;
      console.log(`${stored} stored for ${expected.size} instances in ${ROUNDS} kills`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
