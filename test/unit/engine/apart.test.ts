import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { runApart } from '../../../nodes/engine/workers/apart';
import { closePool, runTask } from '../../../nodes/engine/workers/pool';

const folder = mkdtempSync(join(tmpdir(), 'exdicom-apart-'));
after(async () => {
  await closePool();
  rmSync(folder, { recursive: true, force: true });
});
const path = join(folder, 'file');
writeFileSync(path, 'content');
const options = { timeLimit: 60_000, apart: true };

test('a task in a process apart answers as it does on a thread, errors with their codes too', async () => {
  const { signal } = new AbortController();
  const look = { paths: [path], digest: true };
  assert.deepEqual(await runTask('ledger.look', look, { ...options, signal }), await runTask('ledger.look', look, { signal, timeLimit: 60_000 }));
  const gone = { paths: [join(folder, 'nothing')] };
  await assert.rejects(runTask('archive.format', gone, { ...options, signal }), { code: 'STORAGE_FAILED' });
});

test('an abort and a time limit end the process apart, and the next task has another', async () => {
  const abort = new AbortController();
  const reason = new Error('closing');
  const running = runTask('ledger.look', { paths: [path], digest: true }, { ...options, signal: abort.signal });
  abort.abort(reason);
  await assert.rejects(running, reason);
  await assert.rejects(runTask('ledger.look', { paths: [path], digest: true }, { ...options, timeLimit: 1, signal: new AbortController().signal }), { code: 'WORKER_TIMEOUT' });
  const [look] = await runTask('ledger.look', { paths: [path], digest: true }, { ...options, signal: new AbortController().signal });
  assert.equal(look?.bytes, 7);
});

test('a process apart that ends is a crash of its task alone', async () => {
  const previous = process.env['NODE_OPTIONS'];
  const preload = join(folder, 'ends.cjs');
  // On the task's thread, once the message has come.
  writeFileSync(preload, "if (!require('node:worker_threads').isMainThread) process.abort();\n");
  process.env['NODE_OPTIONS'] = `--require=${preload}`;
  await closePool();
  const crashing = runApart({ name: 'ledger.look', input: { paths: [path], digest: true } }, new AbortController().signal);
  process.env['NODE_OPTIONS'] = previous ?? '';
  await assert.rejects(crashing, { code: 'WORKER_CRASHED' });
  const [look] = await runTask('ledger.look', { paths: [path], digest: false }, { ...options, signal: new AbortController().signal });
  assert.equal(look?.bytes, 7);
});
