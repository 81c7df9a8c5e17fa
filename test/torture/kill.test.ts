import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { programsMissing } from '../support/dcmtk';
import { startFaultScp } from '../support/fault-scp';
import type { FaultScp } from '../support/fault-scp';
import { filesBelow, mainFlow } from '../support/main-flow';
import { SLICES, dropMaterial, material, sendUntilStored } from '../support/many-jobs';
import type { Kind, Material } from '../support/many-jobs';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';
import { freePort } from '../support/orthanc';
import { amount } from '../support/torture';

const ROUNDS = Number(process.env['EXDICOM_KILLS'] ?? amount(100, 8));
/** As many of each as make 30 jobs in 100 kills. */
const EACH = Math.max(1, Math.min(6, Math.round(ROUNDS / 16)));
const KINDS: readonly Kind[] = Array.from({ length: EACH }, (): Kind[] => ['zip', 'received', 'rar', 'folder of files', 'folder with a zip']).flat();
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

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** By SOP Instance UID: the digests of every data set that came under it. */
function inventory(pacs: FaultScp): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { sopInstanceUID, dataSet } of pacs.messages) found.set(sopInstanceUID, [...found.get(sopInstanceUID) ?? [], digest(dataSet)]);
  return new Map([...found].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function rows<T>(userDir: string, query: string): T[] {
  const database = new DatabaseSync(join(userDir, 'data', 'ledger.sqlite'), { readOnly: true, timeout: 60_000 });
  try {
    return database.prepare(query).all() as T[]; // the caller names the columns of its own query
  } finally {
    database.close();
  }
}

interface JobLine { readonly id: string; readonly name: string; readonly state: string; readonly outcome: string; readonly kind: string; readonly receipt: string }
const jobsOf = (userDir: string): JobLine[] => rows(userDir, 'SELECT id, name, state, outcome, kind, receipt FROM job ORDER BY n');

/** What is left to do with all this material: originals in the inbox, jobs that are not closed, studies that nobody has received. */
async function settled(userDir: string, received: number): Promise<boolean> {
  if ((await filesBelow(join(userDir, 'data', 'inbox'))).length > 0) return false;
  const jobs = jobsOf(userDir);
  return jobs.every(({ state }) => state === 'closed') && jobs.filter(({ kind }) => kind === 'received').length >= received;
}

async function wait(red: NodeRed, over: () => Promise<boolean>): Promise<void> {
  while (!await over()) {
    assert.equal(red.exited, undefined);
    await sleep(200);
  }
}

const sentOf = (all: readonly Material[]): Material[] => all.filter(({ kind }) => kind === 'received');

/** What it comes to when nobody kills anything. */
async function undisturbed(all: readonly Material[]): Promise<Map<string, string[]>> {
  await using pacs = await startFaultScp();
  const listen = await freePort();
  await using red = await NodeRed.start({ flows: flows(pacs.port, listen), env: { EXDICOM_DEID_KEY: KEY } });
  for (const one of all) if (one.kind !== 'received') await dropMaterial(red.userDir, one);
  await red.until(() => red.status('receive') === 'idle');
  for (const { slices } of sentOf(all)) await sendUntilStored(slices, listen, () => false);
  await wait(red, () => settled(red.userDir, sentOf(all).length));
  return inventory(pacs);
}

describe('a Node-RED that is killed again and again', { skip: programsMissing('storescu', 'bsdtar') }, () => {
  it(`loses nothing of ${KINDS.length} jobs in ${ROUNDS} kills, sends the same bytes under the same UIDs, and leaves nothing behind`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'exdicom-kill-'));
    try {
      const all = await material(folder, KINDS);
      const expected = await undisturbed(all);
      assert.deepEqual([expected.size, [...expected.values()].filter(({ length }) => length > 1)], [all.length * SLICES, []]);

      await using pacs = await startFaultScp({ respond: () => ({ status: 0, delay: 80 }) });
      const userDir = join(folder, 'red');
      await mkdir(userDir);
      const listen = await freePort();
      const start = (): Promise<NodeRed> => NodeRed.start({ flows: flows(pacs.port, listen), userDir, env: { EXDICOM_DEID_KEY: KEY } });
      const state = { over: false };
      /** Modalities, one after the other. */
      let sending = Promise.resolve();
      /** How many messages the PACS had at each kill. */
      const kills: number[] = [];
      try {
        for (let round = 0, at = 0; round < ROUNDS; round += 1) {
          // Something new comes in all the time.
          for (; at < Math.ceil((all.length * (round + 1)) / (ROUNDS * 0.6)) && at < all.length; at += 1) {
            const one = all[at]!;
            if (one.kind === 'received') sending = sending.then(() => sendUntilStored(one.slices, listen, () => state.over));
            else await dropMaterial(userDir, one);
          }
          await using red = await start();
          await Promise.race([sleep(Math.random() * 2500), red.until(() => false)]);
          await red.kill();
          // What was on its way when the process ended counts as its own.
          while (pacs.open() > 0) await sleep(10);
          kills.push(pacs.messages.length);
        }
        await using red = await start();
        await sending;
        await wait(red, () => settled(userDir, sentOf(all).length));
        await red.stop();
      } finally {
        state.over = true;
        await sending;
      }

      const jobs = jobsOf(userDir);
      const receipts = jobs.map(({ receipt }) => JSON.parse(receipt) as Receipt);
      const odd = receipts.filter(({ job, balanced }) => !balanced || (job.outcome !== 'complete' && job.outcome !== 'duplicate'));
      assert.deepEqual(odd.map(({ job, error, entries, quarantined, failed, destinations }) => ({ job, error, entries, quarantined, failed, destinations })), []);
      // What came in by an association that a kill cut off may be several jobs; an archive or a folder is one.
      assert.equal(jobs.filter(({ kind, outcome }) => kind !== 'received' && outcome === 'complete').length, all.length - sentOf(all).length);

      const found = inventory(pacs);
      assert.deepEqual([...found.keys()], [...expected.keys()], 'no instance is missing, none has a second UID');
      assert.deepEqual([...found].filter(([uid, digests]) => digests.some((one) => one !== expected.get(uid)?.[0])), [], 'the same bytes every time');
      const verified = receipts.flatMap(({ instances }) => instances.map(({ sopInstanceUID }) => sopInstanceUID ?? ''));
      assert.deepEqual([...new Set(verified)].toSorted(), [...expected.keys()].toSorted());
      // An answer that was not on disk when the process was killed is asked for again, by another process.
      const lives = [0, ...kills, pacs.messages.length];
      for (let life = 1; life < lives.length; life += 1) {
        const inLife = pacs.messages.slice(lives[life - 1], lives[life]).map(({ sopInstanceUID }) => sopInstanceUID);
        assert.equal(new Set(inLife).size, inLife.length, `nothing is sent twice between kills ${life - 1} and ${life}`);
      }

      const data = join(userDir, 'data');
      for (const place of ['work', 'quarantine', 'failed', 'inbox']) assert.deepEqual(await filesBelow(join(data, place)), [], place);
      const done = (await filesBelow(join(data, 'done'))).map((file) => file.split('/')[1] ?? '');
      assert.deepEqual([...new Set(done)].toSorted(), all.filter(({ kind }) => kind !== 'received').map(({ name }) => name).toSorted());
      assert.deepEqual(rows(userDir, "SELECT name, event, code FROM event WHERE event = 'crashed' OR code IN ('CONDEMNED', 'WORKER_CRASHED')"), []);
      const kinds = Object.fromEntries([...new Set(jobs.map(({ kind }) => kind))].map((kind) => [kind, jobs.filter((job) => job.kind === kind).length]));
      const attempts = receipts.map(({ job }) => job.attempts);
      console.log(`${ROUNDS} kills: ${expected.size} instances of ${all.length} studies in ${jobs.length} jobs ${JSON.stringify(kinds)}, ${pacs.messages.length - expected.size} sent again by another process, ${attempts.reduce((sum, one) => sum + one - 1, 0)} times a job was begun again, at most ${Math.max(...attempts) - 1} times the same`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
