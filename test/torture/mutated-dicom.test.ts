import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { extract } from '../../nodes/engine/archive/extract';
import { DEFAULT_SETTINGS } from '../../nodes/engine/archive/settings';
import { compileProfile } from '../../nodes/engine/deid/profile';
import { RISK_CODES } from '../../nodes/engine/deid/risk';
import { ExdicomError } from '../../nodes/engine/errors';
import { closePool, runTask } from '../../nodes/engine/workers/pool';
import { Canaries, told } from '../support/canary';
import { deflateBomb, mutantOf, unchanged } from '../support/dicom-mutations';
import { basesFor } from '../support/mutation-bases';
import { MutantRun } from '../support/mutant-run';
import { releasedWith } from '../support/released';
import { memoryLedger } from '../support/memory-ledger';
import { amount, dice, figures } from '../support/torture';

const SEED = 20_261_122;
const MUTANTS = amount(10_000, 500);
const BATCH = 250;
const KEY = Buffer.from('a key of the torture, longer than thirty-two characters');
/** What a person may allow is allowed, so that more is released; but a private SOP Class stays as it is, whatever stands there. */
const PROFILES = (['basic', 'basic-shifted-dates'] as const).map((preset) => compileProfile({ name: 'torture', scope: '', preset, allowedRisks: RISK_CODES.filter((code) => code !== 'RISK_PRIVATE_SOP_CLASS') }));

describe('mutated DICOM files', () => {
  after(closePool);

  it(`each have an outcome, and no word of a patient gets out of ${MUTANTS}`, async () => {
    const canaries = new Canaries(dice(SEED));
    const bases = basesFor(canaries);
    const outcomes = new Map<string, number>();
    const count = (what: string): void => { outcomes.set(what, (outcomes.get(what) ?? 0) + 1); };
    const leaks: string[] = [];
    let moved = 0;
    const began = performance.now();
    let slowest = 0;
    for (let from = 0; from < MUTANTS; from += BATCH) {
      const folder = mkdtempSync(join(tmpdir(), 'exdicom-mutants-'));
      const batchBegan = performance.now();
      const numbers = Array.from({ length: Math.min(BATCH, MUTANTS - from) }, (_, i) => from + i);
      const howOf = (n: number): string => {
        const roll = dice(SEED + n);
        const base = bases[n % bases.length]!;
        return `mutant ${n} of ${base.name}: ${mutantOf(base, roll).how.join('; ')}`;
      };
      const files = numbers.map((n) => {
        const path = join(folder, `${n}`);
        writeFileSync(path, mutantOf(bases[n % bases.length]!, dice(SEED + n)).bytes);
        return path;
      });
      const memory = memoryLedger(files);
      try {
        try {
          await extract(memory.ledger, memory.token, DEFAULT_SETTINGS, { signal: AbortSignal.timeout(600_000), progress: () => undefined });
        } catch (thrown) {
          assert.ok(thrown instanceof ExdicomError && thrown.code !== 'INTERNAL' && thrown.stage === 'extract', thrown instanceof ExdicomError ? `${thrown.message} ${String(thrown.origin())}` : String(thrown));
        }
        const entries = memory.entries();
        assert.equal(entries.length, files.length, 'every file is accounted for');
        const instances = entries.flatMap(({ file, name }) => (file === undefined ? [] : [{ n: Number(name), path: file.path }]));
        for (const { kind, code } of entries) if (kind !== 'instance') count(code ?? kind);
        for (const profile of PROFILES) {
          const outputs = await runTask('deid.files', {
            profile, key: KEY, issuer: '', files: instances.map(({ n, path }) => ({ n, from: path, to: join(folder, `${n}.out`) })),
          }, { signal: AbortSignal.timeout(600_000), timeLimit: 120_000 });
          assert.equal(outputs.length, instances.length, 'every instance has an outcome');
          for (const output of outputs) {
            const place = howOf(output.n);
            if (output.kind === 'quarantined') {
              count(output.code);
              if (output.detail === 'internal') leaks.push(`INTERNAL ${place}`);
              leaks.push(...told(canaries.search(output.detail ?? '', `the detail of ${place}`)));
              continue;
            }
            count('released');
            const released = releasedWith(readFileSync(output.file.path), canaries);
            if (released.kind === 'leak') leaks.push(...told(released.sightings).map((sighting) => `${sighting} of ${place}`));
            else moved += released.moved;
            leaks.push(...told(canaries.search(JSON.stringify({ ...output, file: { ...output.file, modality: '' } }), `the report of ${place}`)));
          }
          const left = readdirSync(folder).filter((name) => name.includes('.') && !name.endsWith('.out'));
          assert.deepEqual(left, [], 'nothing half done is left');
          for (const name of readdirSync(folder)) if (name.endsWith('.out')) rmSync(join(folder, name));
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
        rmSync(memory.root, { recursive: true, force: true });
      }
      slowest = Math.max(slowest, performance.now() - batchBegan);
    }
    figures(`${MUTANTS} mutants of ${bases.length} files`, { ...Object.fromEntries([...outcomes].toSorted(([, a], [, b]) => b - a)), 'under another attribute that stays': moved, seconds: Math.round((performance.now() - began) / 1000), 'slowest batch': `${Math.round(slowest)} ms` });
    assert.deepEqual([...new Set(leaks)].slice(0, 30), [], `${leaks.length} leaks`);
    assert.ok((outcomes.get('released') ?? 0) > MUTANTS / 4, 'mutations that end all files prove nothing');
  });

  it('that inflate without end are set aside, and the next file goes through', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'exdicom-bombs-'));
    try {
      const base = basesFor(new Canaries(dice(SEED)))[0]!;
      const good = join(folder, 'good');
      writeFileSync(good, unchanged(base));
      const bombs = amount([80, 300, 900], [80, 300]).map((megabytes) => {
        const path = join(folder, `${megabytes}`);
        writeFileSync(path, deflateBomb(base, megabytes));
        return path;
      });
      const memory = memoryLedger([...bombs, good]);
      try {
        await extract(memory.ledger, memory.token, DEFAULT_SETTINGS, { signal: AbortSignal.timeout(600_000), progress: () => undefined });
        assert.equal(memory.entries().length, bombs.length + 1);
        const files = memory.entries().flatMap(({ file }, n) => (file === undefined ? [] : [{ n, from: file.path, to: join(folder, `${n}.out`) }]));
        const outputs = await runTask('deid.files', { profile: PROFILES[0]!, key: KEY, issuer: '', files }, { signal: AbortSignal.timeout(600_000), timeLimit: 120_000 });
        assert.deepEqual(outputs.map((output) => (output.kind === 'written' ? 'written' : output.code)), [...bombs.map(() => 'LIMIT_RATIO'), 'written']);
        assert.deepEqual(readdirSync(folder).filter((name) => name.includes('.')), [`${bombs.length}.out`]);
      } finally {
        rmSync(memory.root, { recursive: true, force: true });
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it(`in archives and over associations close their jobs in a real Node-RED, and what it says, keeps and sends names nobody`, async () => {
    await using run = await MutantRun.start(SEED);
    const archived = await run.dropArchives(amount(8, 2), 50);
    const { stored, refused, ended } = await run.sendRaw(amount(400, 60));
    const receipts = await run.closed();
    figures('through Node-RED', { archived, stored, refused, 'associations ended': ended, jobs: receipts.length, released: run.released() });
    assert.deepEqual(receipts.filter(({ balanced }) => !balanced).map(({ job }) => job), []);
    assert.ok(receipts.every(({ error }) => error?.code !== 'INTERNAL'));
    const entries = (kind: 'received' | 'archive') => receipts.filter(({ job }) => job.kind === kind).reduce((sum, { entries: { total } }) => sum + total, 0);
    assert.equal(entries('archive'), archived);
    assert.equal(entries('received'), stored);
    assert.ok(run.released() > 0);
    assert.deepEqual(told(await run.sightings()), []);
  });
});
