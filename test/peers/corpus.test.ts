/** Every archive and every DICOM file of the shared data through flow 01, into a real Orthanc and a real storescp. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { mapUid } from '../../nodes/engine/deid/keyed';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { programsMissing, startStorescp } from '../support/dcmtk';
import { exampleFlow, idOf } from '../support/example-flow';
import { jobStates, receiptsIn } from '../support/ledger-file';
import { filesBelow } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import { freePort, orthancMissing, startOrthanc } from '../support/orthanc';

const SHARED = join(process.cwd(), '..', 'shared', 'data');
const shared = existsSync(SHARED) ? false : 'the shared data is not here';
const KEY = 'a key for tests, of more than 32 characters';

interface Row { readonly [column: string]: string }

function table(name: string): Row[] {
  const [head = '', ...lines] = readFileSync(join(SHARED, name), 'utf8').trimEnd().split('\n');
  const columns = head.split('\t');
  return lines.map((line) => Object.fromEntries(line.split('\t').map((cell, index) => [columns[index] ?? '', cell])));
}

/** A PACS that can be asked for what it holds. */
interface Peer extends AsyncDisposable {
  readonly port: number;
  readonly aet: string;
  /** To which what it says is to be verified. */
  readonly level: 'C-FIND' | 'response';
  /** SOP Instance UIDs. */
  inventory(): Promise<Set<string>>;
}

async function orthancPeer(): Promise<Peer> {
  const orthanc = await startOrthanc();
  return {
    port: orthanc.dicomPort, aet: 'ORTHANC', level: 'C-FIND',
    inventory: async () => new Set((await orthanc.instances()).map(({ sopInstanceUID }) => sopInstanceUID)),
    [Symbol.asyncDispose]: () => orthanc[Symbol.asyncDispose](),
  };
}

/** It names each file after the modality and the SOP Instance UID. */
async function storescpPeer(): Promise<Peer> {
  const scp = await startStorescp();
  return {
    port: scp.port, aet: 'ANY-SCP', level: 'response',
    inventory: () => Promise.resolve(new Set(scp.files().map((path) => basename(path).replace(/^[^.]*\./, '')))),
    [Symbol.asyncDispose]: () => scp.stop(),
  };
}

const PEERS = [
  { name: 'Orthanc', missing: orthancMissing() || shared, start: orthancPeer },
  { name: 'storescp', missing: programsMissing('storescp') || shared, start: storescpPeer },
];

interface Run {
  readonly data: string;
  readonly receipts: ReadonlyMap<string, Receipt>;
  readonly states: Readonly<Record<string, number>>;
  /** Names of the originals that a job's folder in done/ or failed/ holds, by the job's name. */
  readonly originals: ReadonlyMap<string, string[]>;
  readonly left: readonly string[];
  readonly work: readonly string[];
  readonly told: string;
}

/** Fills the inbox, runs flow 01 until nothing is open any more, and reads what the ledger says. */
async function through(peer: Peer, fill: (inbox: string) => void, passwords: string): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-corpus-'));
  try {
    const data = join(folder, 'data');
    const inbox = join(data, 'inbox');
    mkdirSync(inbox, { recursive: true });
    fill(inbox);
    const flow = exampleFlow('01', { 'exdicom-pacs': { findWait: '1', associations: '4' } });
    writeFileSync(join(folder, 'flows_cred.json'), JSON.stringify({ [idOf(flow, 'exdicom-extract')]: { passwords } }));
    await using red = await NodeRed.start({
      flows: flow, userDir: folder,
      env: {
        EXDICOM_DATA: data, EXDICOM_DEID_KEY: KEY, EXDICOM_LISTEN_PORT: String(await freePort()),
        EXDICOM_PACS_HOST: '127.0.0.1', EXDICOM_PACS_PORT: String(peer.port), EXDICOM_PACS_AET: peer.aet, EXDICOM_PACS_LEVEL: peer.level,
      },
    });
    const busy = (): boolean => Object.entries(jobStates(data)).some(([state, count]) => state !== 'closed' && state !== 'needs-password' && count > 0);
    // What needs a password stays in the inbox; everything else leaves it, and then nothing changes any more.
    for (let calm = 0, before = -1; calm < 8;) {
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
      assert.equal(red.exited, undefined, 'Node-RED lives');
      const now = readdirSync(inbox).length;
      calm = now === before && !busy() ? calm + 1 : 0;
      before = now;
    }
    const told = JSON.stringify([red.logs, red.statuses, red.messages]);
    await red.stop();
    const originals = new Map<string, string[]>();
    for (const place of ['done', 'failed']) {
      for (const path of await filesBelow(join(data, place))) {
        const [job = '', ...rest] = path.split('/');
        if (rest.join('/') !== 'reason.json') originals.set(job, [...originals.get(job) ?? [], rest.join('/')]);
      }
    }
    return { data, receipts: receiptsIn(data), states: jobStates(data), originals, left: readdirSync(inbox), work: await filesBelow(join(data, 'work')), told };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function balanced(receipt: Receipt): boolean {
  const { total, ...kinds } = receipt.entries;
  return receipt.balanced && Object.values(kinds).reduce((sum, count) => sum + count, 0) === total;
}

/** Archives that bear DICOM and are refused, with the code that says so: kinds and methods that are not unpacked, and cut-off ones, of which nothing is sent. */
const REFUSED: Readonly<Record<string, string>> = {
  'enc_header.7z': 'UNSUPPORTED_ARCHIVE', 'study.7z': 'UNSUPPORTED_ARCHIVE', 'study.tar.gz': 'UNSUPPORTED_ARCHIVE', 'single.dcm.gz': 'UNSUPPORTED_ARCHIVE', 'tar_slip_links.tar': 'UNSUPPORTED_ARCHIVE',
  'rar5_missing_part2.part1.rar': 'MISSING_VOLUME', 'rar5_truncated.rar': 'ARCHIVE_DAMAGED', 'truncated_95.zip': 'ARCHIVE_DAMAGED',
};

/** A name in the inbox that no other archive has, and that keeps the parts of a set together. */
const inboxName = (path: string): string => `${createHash('md5').update(dirname(path)).digest('hex').slice(0, 6)}_${basename(path)}`;

/** What the receipts say was verified. */
const vouchedFor = (receipts: Run['receipts']): Set<string> => new Set([...receipts.values()].flatMap(({ instances }) => instances.map(({ sopInstanceUID = 'none' }) => sopInstanceUID)));

for (const { name: peerName, missing, start } of PEERS) describe(`the shared data through flow 01 to ${peerName}`, { skip: missing }, () => {
  it('every archive ends with its outcome, and every instance of those that bear DICOM is accounted for', async () => {
    await using peer = await start();
    const archives = table('ARCHIVES.tsv').map(({ path = '' }) => path);
    const run = await through(peer, (inbox) => {
      for (const path of archives) {
        if (!existsSync(join(SHARED, path))) continue;
        copyFileSync(join(SHARED, path), join(inbox, `${inboxName(path)}.part`));
        renameSync(join(inbox, `${inboxName(path)}.part`), join(inbox, inboxName(path)));
      }
    }, 'open1234\npassword\npassword2\n12345678\n1234\n2中文\n3Sec');

    for (const [name, receipt] of run.receipts) assert.ok(balanced(receipt), `${name} is out of balance`);
    const jobOf = new Map([...run.originals].flatMap(([job, names]) => names.map((name) => [name, job] as const)));
    const listed = new Map<string, Set<string>>();
    for (const { archive = '', kind, sop_instance_uid: uid = '' } of table('ARCHIVE_CONTENTS.tsv')) {
      if (kind === 'instance') listed.set(archive, (listed.get(archive) ?? new Set()).add(uid));
    }
    const counts = new Map<string, number>();
    for (const { archive = '', kind } of table('ARCHIVE_CONTENTS.tsv')) if (kind === 'instance') counts.set(archive, (counts.get(archive) ?? 0) + 1);

    const byId = new Map([...run.receipts.values()].map((receipt) => [receipt.job.id, receipt]));
    const short: string[] = [];
    for (const [archive, count] of counts) {
      const job = jobOf.get(inboxName(archive));
      const own = job === undefined ? undefined : run.receipts.get(job);
      // Some archives are the same under another name: what came after the first was closed is the first's job.
      const receipt = own?.job.duplicateOf === undefined ? own : byId.get(own.job.duplicateOf);
      const [destination] = receipt?.destinations ?? [];
      const arrived = (destination?.verified ?? 0) + (receipt?.quarantined.length ?? 0) + (receipt?.entries.duplicate ?? 0);
      if (process.env['EXDICOM_TEST_VERBOSE']) console.log(archive, count, arrived, receipt?.job.outcome, receipt?.error?.code, JSON.stringify(receipt?.entries), JSON.stringify(receipt?.quarantined), JSON.stringify(receipt?.failed));
      const refusal = REFUSED[basename(archive)];
      if (refusal === undefined ? arrived < count : arrived > 0 || receipt?.error?.code !== refusal) {
        short.push(`${basename(archive)} ${arrived}/${count} ${receipt?.job.outcome ?? 'none'} ${receipt?.error?.code ?? ''}`);
      }
    }
    if (process.env['EXDICOM_TEST_VERBOSE']) {
      console.log(run.states, run.left);
      for (const [job, names] of run.originals) console.log(job, names.join(' '), run.receipts.get(job)?.job.outcome, run.receipts.get(job)?.error?.code);
    }
    assert.deepEqual(short, []);
    // The work folder keeps what waits for a password, and nothing of a closed job.
    assert.deepEqual(Object.keys(run.states).filter((state) => state !== 'closed' && state !== 'needs-password'), []);
    assert.equal(new Set(run.work.map((path) => path.split('/')[0])).size, run.states['needs-password'] ?? 0);
    const inventory = await peer.inventory();
    assert.deepEqual(inventory, vouchedFor(run.receipts));
    const possible = new Set([...listed.values()].flatMap((uids) => [...uids].map((uid) => mapUid(Buffer.from(KEY), '', uid))));
    for (const uid of inventory) assert.ok(possible.has(uid), 'an instance that no archive holds');
  });

  it('every DICOM file, dropped in folders, has an outcome', async () => {
    await using peer = await start();
    const run = await through(peer, (inbox) => {
      for (const place of ['dicom', 'synthetic']) {
        for (const entry of readdirSync(join(SHARED, place), { withFileTypes: true })) {
          if (entry.isDirectory()) cpSync(join(SHARED, place, entry.name), join(inbox, `${place}-${entry.name}`), { recursive: true });
        }
      }
    }, '');
    assert.deepEqual(run.left, []);
    assert.deepEqual(run.work, []);
    assert.deepEqual(Object.keys(run.states), ['closed']);
    for (const [name, receipt] of run.receipts) {
      assert.ok(balanced(receipt), `${name} is out of balance`);
      if (process.env['EXDICOM_TEST_VERBOSE']) console.log(name, run.originals.get(name)?.length, receipt.job.outcome, receipt.error?.code, JSON.stringify(receipt.entries), JSON.stringify(receipt.destinations), JSON.stringify(receipt.quarantined.map(({ code }) => code).reduce<Record<string, number>>((all, code) => ({ ...all, [code]: (all[code] ?? 0) + 1 }), {})), JSON.stringify(receipt.failed));
      assert.notEqual(receipt.error?.code, 'INTERNAL', name);
    }
    const vouched = vouchedFor(run.receipts);
    assert.ok(vouched.size > 0);
    assert.deepEqual(await peer.inventory(), vouched);
  });
});
