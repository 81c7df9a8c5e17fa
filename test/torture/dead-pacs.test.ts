/** A PACS that is away while jobs for it pile up: what it costs the others, how often it is asked, and what happens when it is back. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { programsMissing, run, startStorescp } from '../support/dcmtk';
import type { Storescp } from '../support/dcmtk';
import { jobStates, receiptsIn } from '../support/ledger-file';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';
import { amount, figures } from '../support/torture';

/** Jobs that may be parked, and as many as are parked in the end. */
const PARKED = Number(process.env['EXDICOM_PARKED'] ?? amount(200, 40));
/** More than may be parked: they stay in the inbox. */
const BEYOND = 6;
/** Jobs of the other flow, alone and beside the parked ones. */
const OTHERS = amount(24, 10);
/** Seconds between two probes. */
const INTERVAL = 2;
const KEY = 'a key of the torture, longer than thirty-two characters';

const at = { z: 'f', x: 0, y: 0 };
const debug = (id: string): FlowNode => ({ id, type: 'debug', active: false, ...at, wires: [] });
const pacsNode = (id: string, port: number): FlowNode => ({
  id, type: 'exdicom-pacs', name: `the ${id}`, host: '127.0.0.1', port: String(port), aet: 'TEST-PACS', callingAet: 'TEST', verification: 'response', findWait: '0', probeInterval: String(INTERVAL),
});

/** The main flow to one PACS, and another flow on the same ledger to another. Two PACS nodes stand for the dead one. */
function flows(dead: number, alive: number): FlowNode[] {
  // A policy so short that each job would knock every second, if it was for the jobs to knock.
  const main = mainFlow({ change: { ledger: { retryDelay: '1', retryFactor: '1', retryCap: '1', maxParked: String(PARKED) }, in: { interval: '0.5' } } });
  return [
    ...main.filter(({ id }) => id !== 'out'),
    pacsNode('pacs', dead), pacsNode('same', dead), pacsNode('other', alive),
    { id: 'out', type: 'exdicom-c-store-out', name: '', ledger: '', pacs: 'pacs', ...at, wires: [['finish', 'd-out']] },
    { id: 'in2', type: 'exdicom-folder-in', ...at, ledger: 'ledger', folder: 'inbox2', interval: '0.2', stable: '0.2', maxWait: '1', subfolders: true, disposal: 'move', wires: [['extract2']] },
    { id: 'extract2', type: 'exdicom-extract', ...at, ledger: 'ledger', wires: [['anonymize2']] },
    { id: 'anonymize2', type: 'exdicom-anonymize', ...at, ledger: 'ledger', profile: 'profile', wires: [['out2'], []] },
    { id: 'out2', type: 'exdicom-c-store-out', name: '', ledger: '', pacs: 'other', ...at, wires: [['finish2']] },
    { id: 'finish2', type: 'exdicom-finish', ...at, name: '', required: [], allowLeftOut: false, wires: [['d-finish2']] },
    { id: 'out-same', type: 'exdicom-c-store-out', name: '', ledger: '', pacs: 'same', ...at, wires: [[]] },
    debug('d-finish2'),
  ];
}

/** A port where every connection is closed at once, and when each was made (milliseconds since 1970). */
async function deadPeer(): Promise<{ readonly port: number; readonly knocks: number[]; close(): Promise<void> }> {
  const knocks: number[] = [];
  const server = createServer((socket) => {
    knocks.push(Date.now());
    socket.on('error', () => { /* closed from both sides */ });
    socket.destroy();
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return { port: (server.address() as AddressInfo).port, knocks, close: () => new Promise((resolve) => { server.close(() => { resolve(); }); }) };
}

/** So many studies of one instance each. */
async function tinyStudies(folder: string, count: number): Promise<Buffer[]> {
  const files: Buffer[] = [];
  for (let n = 0; files.length < count; n += 1) {
    const [archive, slices] = [join(folder, `${n}.zip`), join(folder, `slices ${n}`)];
    await writeFile(archive, await sampleStudy(folder));
    await mkdir(slices);
    const unpacked = await run('bsdtar', ['-xf', archive, '-C', slices]);
    assert.equal(unpacked.code, 0, unpacked.stderr);
    for (const entry of await readdir(slices, { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && files.length < count) files.push(await readFile(join(entry.parentPath, entry.name)));
    }
  }
  return files;
}

const dropAll = async (userDir: string, inbox: string, prefix: string, files: readonly Buffer[]): Promise<void> => {
  for (const [n, content] of files.entries()) await drop(userDir, `${prefix} ${String(n).padStart(4, '0')}.dcm`, content, join(userDir, 'data', inbox));
};

/** Jobs in the order in which they were sent again, by their numbers. */
function sentAgain(data: string): number[] {
  const database = new DatabaseSync(join(data, 'ledger.sqlite'), { readOnly: true, timeout: 60_000 });
  try {
    const rows = database.prepare("SELECT name FROM event WHERE event = 'sent' ORDER BY seq").all() as Array<{ name: string }>;
    return rows.map(({ name }) => Number(name.split(' ').at(-1)));
  } finally {
    database.close();
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
/** Milliseconds from taking it in to closing it. */
const durations = (receipts: readonly Receipt[]): number[] => receipts.map(({ openedAt, closedAt }) => Date.parse(closedAt) - Date.parse(openedAt));
const stored = (scp: Storescp): number => scp.log().match(/Received Store Request/g)?.length ?? 0;
const uidsOf = (scp: Storescp): string[] => scp.files().map((path) => basename(path).replace(/^[^.]*\./, '')).toSorted();

/** Pauses between knocks, of which none may be shorter than the interval; the first ones are a node's at its start and the first job's. */
function pausesFrom(knocks: readonly number[], first: number): number[] {
  return knocks.slice(first + 1).map((knock, index) => knock - knocks[first + index]!);
}

describe('a PACS that is away', { skip: programsMissing('storescp', 'bsdtar') }, () => {
  it(`keeps ${PARKED} jobs waiting that cost the others nothing, is asked once per interval for all of them, and gets them in their order when it is back`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'exdicom-dead-'));
    const userDir = join(folder, 'red');
    const data = join(userDir, 'data');
    const env = { EXDICOM_DEID_KEY: KEY };
    let red: NodeRed | undefined;
    try {
      await mkdir(userDir);
      const files = await tinyStudies(folder, PARKED + BEYOND + 2 * OTHERS);
      const waiting = files.slice(0, PARKED + BEYOND);
      const others = files.slice(PARKED + BEYOND);
      const dead = await deadPeer();
      await using alive = await startStorescp();
      const flow = flows(dead.port, alive.port);
      const parked = (): number => jobStates(data)['parked'] ?? 0;
      const receipts2 = (): Receipt[] => red?.at('d-finish2').map(({ payload }) => payload as Receipt) ?? [];

      // How fast the other flow is by itself.
      red = await NodeRed.start({ flows: flow, userDir, env });
      await dropAll(userDir, 'inbox2', 'alone', others.slice(0, OTHERS));
      await red.until(() => receipts2().length === OTHERS);
      const alone = median(durations(receipts2()));

      await dropAll(userDir, 'inbox', 'waits', waiting.slice(0, PARKED - OTHERS));
      await red.until(() => parked() === PARKED - OTHERS);
      assert.match(red.status('pacs') ?? '', /^waiting \d\d:\d\d \(\d+\)$/);
      await dropAll(userDir, 'inbox2', 'beside', others.slice(OTHERS));
      await red.until(() => receipts2().length === 2 * OTHERS);
      const beside = median(durations(receipts2().slice(OTHERS)));
      assert.deepEqual([...new Set(receipts2().map(({ job }) => job.outcome))], ['complete']);
      // What is left to chance on a busy machine is far below what a queue behind the parked ones would be.
      assert.ok(beside < 3 * alone + 250, `${beside} ms beside them, ${alone} ms alone`);

      // No more than may wait is taken in.
      await dropAll(userDir, 'inbox', 'waits too', waiting.slice(PARKED - OTHERS));
      await red.until(() => parked() >= PARKED);
      await sleep(3000);
      const beyond = PARKED + BEYOND - parked();
      // A job may have been on its way when the last place was taken.
      assert.ok(beyond >= BEYOND - 4 && beyond <= BEYOND, `${beyond} were not taken in`);
      assert.match(red.status('in') ?? '', /^waiting/);
      assert.equal((await filesBelow(join(data, 'inbox'))).length, PARKED + BEYOND);

      // The first knocks are the nodes' at their start and the first job's; from then on one per interval, for all of them.
      const before = [...dead.knocks];
      const pauses = pausesFrom(before, 1);
      assert.ok(before.length > 3);
      assert.ok(pauses.every((pause) => pause > INTERVAL * 900), pauses.join());
      const lines = red.logs.filter(({ text }) => /PEER_\w+: no answer yet/.test(text));
      assert.ok(lines.length <= pauses.length + 1, `${lines.length} lines for ${before.length} knocks`);

      // A power cut changes nothing.
      const settled = parked();
      await red.kill();
      const restarted = dead.knocks.length;
      red = await NodeRed.start({ flows: flow, userDir, env });
      while (dead.knocks.length < restarted + 3) await sleep(100);
      assert.equal(parked(), settled);
      const pausesAfter = pausesFrom(dead.knocks, restarted);
      assert.ok(pausesAfter.every((pause) => pause > INTERVAL * 900), pausesAfter.join());
      assert.equal(sentAgain(data).length, 0, 'nothing went through the flow again for nothing');

      await dead.close();
      await using back = await startStorescp({ port: dead.port });
      await red.until(() => receiptsIn(data).size === PARKED + BEYOND + 2 * OTHERS);
      const order = sentAgain(data);
      assert.equal(order.length, settled, 'each of them once');
      assert.deepEqual(order, order.toSorted((a, b) => a - b), 'in the order of their age');

      // Everything that came in is there, once.
      const all = [...receiptsIn(data).values()];
      assert.deepEqual(all.filter(({ job, balanced }) => job.outcome !== 'complete' || !balanced), []);
      const verified = all.flatMap(({ instances, destinations }) => instances.map(({ sopInstanceUID = '' }) => `${destinations[0]?.label ?? ''} ${sopInstanceUID}`)).toSorted();
      const held = [...uidsOf(back).map((uid) => `the pacs ${uid}`), ...uidsOf(alive).map((uid) => `the other ${uid}`)].toSorted();
      assert.deepEqual(held, verified);
      assert.deepEqual([stored(back), stored(alive)], [PARKED + BEYOND, 2 * OTHERS]);
      assert.deepEqual(await filesBelow(join(data, 'inbox')), []);
      await red.until(() => red?.status('pacs') === 'idle');
      await red.stop();
      assert.deepEqual(await filesBelow(join(data, 'work')), []);
      figures('a dead PACS', { parked: settled, 'left in the inbox': beyond, knocks: dead.knocks.length, 'ms per job beside': beside, alone, 'ms between knocks': median([...pauses, ...pausesAfter]) });
    } finally {
      await red?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
