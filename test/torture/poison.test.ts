import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { programsMissing } from '../support/dcmtk';
import { jobStates, receiptsIn } from '../support/ledger-file';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { dropMaterial, material } from '../support/many-jobs';
import type { Material } from '../support/many-jobs';
import { NodeRed } from '../support/node-red';
import { Rules } from '../support/rules';
import type { Met } from '../support/rules';
import type { TaskRule } from '../support/task-rules';

/** In one slice, in the place of "Water phantom ". */
const MARK = 'POISON phantom';
const INNOCENT = ['one.zip', 'two.zip', 'three.zip'];

interface Run {
  readonly receipts: readonly Receipt[];
  /** How often the whole Node-RED died. */
  readonly deaths: number;
  readonly met: readonly Met[];
  readonly failed: readonly string[];
  readonly quarantined: readonly string[];
  readonly received: number;
}

/** Marks one slice of a study. */
async function mark(slices: string): Promise<void> {
  const [file] = (await readdir(slices, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name)).toSorted();
  assert.ok(file);
  const bytes = await readFile(file);
  bytes.write(MARK, bytes.indexOf('Water phantom '), 'latin1');
  await writeFile(file, bytes);
}

/** Runs three innocent studies and a poisonous one to their end; Node-RED is started again whenever it dies, as a service is. */
async function withPoison(rule: (poison: Material) => TaskRule): Promise<Run> {
  const folder = await mkdtemp(join(tmpdir(), 'exdicom-poison-'));
  try {
    const rules = new Rules(folder);
    await mkdir(join(folder, 'poison'));
    const [poison] = await material(join(folder, 'poison'), ['folder of files']);
    assert.ok(poison);
    await mark(poison.slices);
    rules.set(rule(poison));
    const data = join(folder, 'data');
    for (const name of INNOCENT) await drop(folder, name, await sampleStudy(folder));
    await dropMaterial(folder, poison);
    const over = (): boolean => jobStates(data)['closed'] === INNOCENT.length + 1;
    let deaths = 0;
    while (!over()) {
      assert.ok(deaths < 6, 'it dies for ever');
      await using red = await NodeRed.start({ flows: mainFlow(), userDir: folder, env: { ...rules.env, EXDICOM_DEID_KEY: 'a key of the torture, longer than thirty-two characters' } });
      while (red.exited === undefined && !over()) await sleep(100);
      if (red.exited === undefined) await red.stop();
      else deaths += 1;
    }
    const base = async (place: string): Promise<string[]> => (await filesBelow(join(data, place))).map((file) => file.split('/').at(-1) ?? '').toSorted();
    return {
      receipts: [...receiptsIn(data).values()], deaths, met: rules.met(),
      failed: await base('failed'), quarantined: await base('quarantine'), received: (await filesBelow(join(data, 'received'))).length,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const outcomes = ({ receipts }: Run): string[] => receipts.map(({ job, error }) => `${job.outcome}${error === undefined ? '' : ` ${error.code}`}`).toSorted();
const skip = programsMissing('bsdtar');

describe('a file that ends whoever unpacks it', { skip }, () => {
  for (const [what, deaths, title] of [['abort', 1, 'ends the whole Node-RED once, then two processes of its own'], ['exit', 0, 'ends its worker three times, and Node-RED never']] as const) {
    it(`${title}; then it is condemned, alone`, async () => {
      const run = await withPoison(() => ({ task: 'archive.files', what, contains: MARK }));
      assert.deepEqual(outcomes(run), ['complete', 'complete', 'complete', 'failed CONDEMNED']);
      assert.deepEqual([run.deaths, run.met.length, run.received], [deaths, 3, 72]);
      assert.equal(run.failed.at(-1), 'reason.json');
      assert.equal(run.failed.length, 25);
      assert.ok(run.receipts.every(({ balanced }) => balanced));
    });
  }
});

describe('an instance that ends whoever rewrites it', { skip }, () => {
  for (const [what, deaths] of [['abort', 1], ['exit', 0]] as const) {
    it(`is set aside after three attempts, and the rest of its study arrives (${what})`, async () => {
      const run = await withPoison(() => ({ task: 'deid.files', what, contains: MARK }));
      assert.deepEqual(outcomes(run), ['complete', 'complete', 'complete', 'with-exceptions']);
      assert.deepEqual([run.deaths, run.met.length, run.received], [deaths, 3, 95]);
      const [odd] = run.receipts.filter(({ job }) => job.outcome !== 'complete');
      assert.deepEqual(odd?.quarantined.map(({ code }) => code), ['CONDEMNED']);
      assert.ok(run.receipts.every(({ balanced }) => balanced));
    });
  }
});
