import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { jobKey, loadKey } from '../../../nodes/engine/deid/key';
import type { JobId, OwnPath } from '../../../nodes/engine/model';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'exdicom-key-'));
  t.after(() => { rmSync(path, { recursive: true, force: true }); });
  return path;
}

/** What a ledger remembers of keys. */
function memory(root = '/nowhere') {
  const known = new Map<string, string>();
  return {
    folders: { root },
    knowsKey: async (name: string) => known.has(name),
    rememberKey: async (name: string, fingerprint: string) => {
      if ((known.get(name) ?? fingerprint) !== fingerprint) throw new ExdicomError('KEY_CHANGED');
      known.set(name, fingerprint);
    },
  };
}

const GIVEN = 'an environment key of more than 32 characters';

test('the environment comes before the credential, the credential before the file', async (t) => {
  const file = join(folder(t), 'key');
  assert.equal((await loadKey({ environment: GIVEN, credential: 'x'.repeat(32), file }, '', memory())).toString(), GIVEN);
  assert.equal((await loadKey({ environment: ' ', credential: 'x'.repeat(32), file }, '', memory())).toString(), 'x'.repeat(32));
  assert.deepEqual(readdirSync(join(file, '..')), []);
});

test('the key file is made once, for its owner alone, and nothing is left beside it', async (t) => {
  const file = join(folder(t), 'below', 'key');
  const keys = await Promise.all(Array.from({ length: 5 }, () => loadKey({ file }, '', memory())));
  for (const key of keys) assert.deepEqual(key, keys[0]);
  assert.match(readFileSync(file, 'utf8'), /^[0-9a-f]{64}\n$/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(join(file, '..')), ['key']);
});

test('a key that is gone stops, and is not made anew', async (t) => {
  const file = join(folder(t), 'key');
  const ledger = memory();
  await loadKey({ file }, '', ledger);
  rmSync(file);
  await assert.rejects(loadKey({ file }, '', ledger), { code: 'KEY_MISSING' });
  assert.deepEqual(readdirSync(join(file, '..')), []);
});

test('another key stops, but not in another scope', async (t) => {
  const file = join(folder(t), 'key');
  const ledger = memory();
  await loadKey({ environment: GIVEN, file }, '', ledger);
  await assert.rejects(loadKey({ environment: `${GIVEN}!`, file }, '', ledger), { code: 'KEY_CHANGED' });
  await loadKey({ environment: `${GIVEN}!`, file }, 'trial', ledger);
});

test('short keys, damaged files and files inside of the ledger are refused', async (t) => {
  const root = folder(t);
  await assert.rejects(loadKey({ environment: 'short', file: join(root, 'key') }, '', memory()), { code: 'KEY_TOO_SHORT' });
  writeFileSync(join(root, 'cut'), 'abc');
  await assert.rejects(loadKey({ file: join(root, 'cut') }, '', memory()), { code: 'KEY_TOO_SHORT' });
  await assert.rejects(loadKey({ file: join(root, 'work', 'key') }, '', memory(root)), { code: 'CONFIG_INVALID' });
});

test('a key of a job survives a crash and belongs to that job alone', async (t) => {
  const root = folder(t);
  const ledger = { stageFolder: async (id: JobId, stage: string) => join(root, id, stage) as OwnPath };
  const key = await jobKey(ledger, 'one' as JobId);
  assert.deepEqual(await jobKey(ledger, 'one' as JobId), key);
  assert.notDeepEqual(await jobKey(ledger, 'two' as JobId), key);
  assert.equal(statSync(join(root, 'one', 'deid-key', 'key')).mode & 0o777, 0o600);
});
