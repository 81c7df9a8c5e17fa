import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TestContext } from 'node:test';
import { anonymize, batchesOf } from '../../../nodes/engine/deid/anonymize';
import type { AnonymizeContext, AnonymizeLedger } from '../../../nodes/engine/deid/anonymize';
import { mapUid } from '../../../nodes/engine/deid/keyed';
import { compileProfile } from '../../../nodes/engine/deid/profile';
import { deidTasks } from '../../../nodes/engine/deid/tasks';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { Job, Preparation, PreparedFile } from '../../../nodes/engine/ledger/ledger-types';
import type { DicomFile, JobId, JobToken, OwnPath, SourceKey } from '../../../nodes/engine/model';
import { closePool } from '../../../nodes/engine/workers/pool';
import { ct, el, KEY, part10, settings } from './data-sets';

after(() => closePool());

const TOKEN: JobToken = { id: 'job' as JobId, name: 'test 0001', ledger: 'ledger', attempt: 1 };
const JOB: Job = { id: TOKEN.id, name: TOKEN.name, sourceKey: 'test' as SourceKey, kind: 'folder', state: 'open', attempt: 1, createdAt: 0, updatedAt: 0, bytes: 0, issuer: 'North' };
const PROFILE = compileProfile(settings({ allowedRisks: [] }));

/** As much of a ledger as de-identification needs, with a memory. */
function ledgerIn(root: string) {
  const records: Preparation[] = [];
  let pinned: string | undefined;
  const ledger: AnonymizeLedger = {
    pinProfile: async (_id, { fingerprint }) => {
      pinned ??= fingerprint;
      if (pinned !== fingerprint) throw new ExdicomError('PROFILE_CHANGED');
    },
    prepared: async (_id, _stage, digest) => {
      const same = records.filter((record) => record.settings === digest);
      return { files: same.flatMap((record): readonly PreparedFile[] => record.files), quarantined: same.flatMap((record) => record.quarantined.map(({ instance, code }) => ({ instance, code }))) };
    },
    numberFiles: async (_id, files) => files.map((file, index) => ({ ...file, instance: file.instance ?? index + 1 })),
    stageFolder: async (_id, stage) => {
      mkdirSync(join(root, stage), { recursive: true });
      return join(root, stage) as OwnPath;
    },
    job: async () => JOB,
    attempting: async () => false,
    progressed: async () => undefined,
    recordPreparation: async (_id, record) => { records.push(record); },
  };
  return { ledger, records };
}

function setUp(t: TestContext, count: number) {
  const root = mkdtempSync(join(tmpdir(), 'exdicom-anonymize-'));
  t.after(() => { rmSync(root, { recursive: true, force: true }); });
  const files = Array.from({ length: count }, (_, n): DicomFile => {
    const path = join(root, `${n}.in`);
    writeFileSync(path, part10(ct(el(0x00080018, 'UI', `1.2.3.${n}`), el(0x00080060, 'CS', n === 3 ? 'US' : 'CT'))));
    return { instance: n + 1, path, bytes: statSync(path).size, sopClassUID: '', sopInstanceUID: '', seriesInstanceUID: '', studyInstanceUID: '', transferSyntaxUID: '', modality: '' };
  });
  return { root, files, ...ledgerIn(root) };
}

const context = (more: Partial<AnonymizeContext> = {}): AnonymizeContext => ({ signal: new AbortController().signal, progress: () => undefined, ...more });
const run = async (_name: 'deid.files', input: Parameters<(typeof deidTasks)['deid.files']>[0]) => deidTasks['deid.files'](input, { progress: () => undefined });

test('files come out on the workers in the order they went in, without what is quarantined', async (t) => {
  const { root, files, ledger, records } = setUp(t, 150);
  writeFileSync(join(root, '7.in'), 'DICM or not');
  const steps: number[] = [];
  const result = await anonymize(ledger, TOKEN, files, { profile: PROFILE, key: KEY }, context({ progress: (done) => { steps.push(done); } }));
  assert.deepEqual(result.files.map(({ instance }) => instance), files.map(({ instance }) => instance).filter((instance) => instance !== 4 && instance !== 8));
  assert.deepEqual(result.quarantined, [{ instance: 4, code: 'RISK_SOP_CLASS' }, { instance: 8, code: 'DEID_UNREADABLE' }]);
  assert.deepEqual(result.anonymized, { profile: 'test', files: 148, quarantined: result.quarantined, resumed: 0 });
  assert.equal(result.files[0]?.sopInstanceUID, mapUid(KEY, '', '1.2.3.0'));
  assert.equal(result.files[0]?.modality, 'CT');
  for (const file of result.files) assert.equal(statSync(file.path).size, file.bytes);
  assert.equal(steps.at(-1), 150);
  assert.equal(records.length, batchesOf(files).length);
  assert.ok(records.every((record) => record.profile === 'test' && record.stage === 'anonymize'));
  assert.equal(readdirSync(join(root, 'anonymize')).filter((name) => !name.endsWith('.dcm')).length, 0);
});

test('what an earlier attempt has made is not made again, what is lost is made as it was', async (t) => {
  const { files, ledger } = setUp(t, 6);
  const first = await anonymize(ledger, TOKEN, files, { profile: PROFILE, key: KEY }, context({ run }));
  const lost = first.files[2];
  assert.ok(lost);
  const before = readFileSync(lost.path);
  rmSync(lost.path);
  const asked: number[] = [];
  const second = await anonymize(ledger, TOKEN, files, { profile: PROFILE, key: KEY }, context({
    run: async (name, input) => {
      asked.push(...input.files.map(({ n }) => n));
      return run(name, input);
    },
  }));
  assert.deepEqual(asked, [lost.instance]);
  assert.deepEqual(second.files, first.files);
  assert.deepEqual(second.quarantined, first.quarantined);
  assert.equal(second.anonymized.resumed, 5);
  assert.deepEqual(readFileSync(lost.path), before);
});

test('another key or profile in the same job stops before anything is written', async (t) => {
  const { root, files, ledger } = setUp(t, 2);
  await anonymize(ledger, TOKEN, files, { profile: PROFILE, key: KEY }, context({ run }));
  const written = readdirSync(join(root, 'anonymize'));
  const none = context({ run: async () => assert.fail('nothing is run') });
  await assert.rejects(anonymize(ledger, TOKEN, files, { profile: PROFILE, key: Buffer.from('another key of thirty-two chars!') }, none), { code: 'PROFILE_CHANGED' });
  await assert.rejects(anonymize(ledger, TOKEN, files, { profile: compileProfile(settings()), key: KEY }, none), { code: 'PROFILE_CHANGED' });
  assert.deepEqual(readdirSync(join(root, 'anonymize')), written);
});

test('a file that costs its worker every time is quarantined alone, after its last try in a process apart', async (t) => {
  const { root, files } = setUp(t, 10);
  for (const code of ['WORKER_CRASHED', 'WORKER_TIMEOUT'] as const) {
    const { ledger } = ledgerIn(root);
    const tries: unknown[] = [];
    const result = await anonymize(ledger, TOKEN, files, { profile: PROFILE, key: KEY }, context({
      run: async (name, input, options) => {
        if (!input.files.some(({ n }) => n === 6)) return run(name, input);
        tries.push([input.files.length > 1, options.apart]);
        throw new ExdicomError(code);
      },
    }));
    const crashed = code === 'WORKER_CRASHED';
    assert.deepEqual(result.quarantined, [{ instance: 4, code: 'RISK_SOP_CLASS' }, { instance: 6, code: crashed ? 'CONDEMNED' : code }]);
    assert.deepEqual(tries, [[true, false], [false, false], ...(crashed ? [[false, true]] : [])]);
    assert.equal(result.files.length, 8);
  }
});

test('a crash that does not come again costs no file', async (t) => {
  const { files, ledger } = setUp(t, 3);
  let crashes = 1;
  const result = await anonymize(ledger, TOKEN, files, { profile: PROFILE, key: KEY }, context({
    run: async (name, input) => {
      if (crashes-- > 0) throw new ExdicomError('WORKER_CRASHED');
      return run(name, input);
    },
  }));
  assert.deepEqual(result.files.map(({ instance }) => instance), [1, 2, 3]);
});

test('a full disk is an error of the job, and no file is blamed', async (t) => {
  const { files, ledger, records } = setUp(t, 3);
  await assert.rejects(anonymize(ledger, TOKEN, files, { profile: PROFILE, key: KEY }, context({ run: async () => { throw new ExdicomError('DISK_FULL'); } })), { code: 'DISK_FULL', retryable: true });
  assert.deepEqual(records, []);
});

test('a source that vanished is tried again later, not quarantined', async (t) => {
  const { root, files, ledger } = setUp(t, 3);
  rmSync(join(root, '1.in'));
  await assert.rejects(anonymize(ledger, TOKEN, files, { profile: PROFILE, key: KEY }, context({ run })), { code: 'STORAGE_FAILED' });
});

test('an abort ends it with the reason of the signal', async (t) => {
  const { files, ledger } = setUp(t, 3);
  const controller = new AbortController();
  const reason = new Error('closing');
  await assert.rejects(anonymize(ledger, TOKEN, files, { profile: PROFILE, key: KEY }, context({
    signal: controller.signal,
    run: async () => {
      controller.abort(reason);
      throw new ExdicomError('WORKER_CRASHED');
    },
  })), reason);
});

test('batches are bounded by count and bytes, and a large file is one of its own', () => {
  const sizes = (files: readonly number[]): number[][] => batchesOf(files.map((bytes) => ({ bytes })), 2).map((batch) => batch.map(({ bytes }) => bytes));
  const MIB = 1 << 20;
  assert.deepEqual(sizes([500 * MIB, 1, 20 * MIB, 20 * MIB, 200 * MIB]), [[500 * MIB], [1, 20 * MIB], [20 * MIB], [200 * MIB]]);
  const counts = (files: readonly number[]): number[] => sizes(files).map((batch) => batch.length);
  assert.deepEqual(counts(Array.from({ length: 330 }, () => 1)), [64, 64, 51, 38, 29, 21, 16, 12, 9, 8, 8, 8, 2]);
  assert.deepEqual(counts(Array.from({ length: 160 }, () => MIB)), [32, 32, 24, 18, 13, 10, 7, 6, 4, 4, 4, 4, 2]);
  assert.deepEqual(sizes([]), []);
});
