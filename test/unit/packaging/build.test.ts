import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const build = (out: string): Promise<unknown> => promisify(execFile)(process.execPath, ['scripts/build.mjs', '--quick', '--out', out], { cwd: process.cwd() });

test('a build leaves to a Node-RED that runs what it needs, and takes away what is no longer built', async () => {
  const parent = mkdtempSync(join(tmpdir(), 'exdicom-build-'));
  try {
    const out = join(parent, 'dist');
    await build(out);
    const table = join(out, 'nodes', 'engine', 'deid', 'e1-1.tsv');
    const worker = join(out, 'nodes', 'engine', 'workers', 'pool.js');
    const before = [table, worker].map((file) => statSync(file).ino);
    const stale = join(out, 'nodes', 'stale.js');
    writeFileSync(stale, '');
    let missing = 0;
    const watch = setInterval(() => { if (!existsSync(table) || !existsSync(worker)) missing += 1; }, 5);
    // Two at once, as two `npm start` are.
    await Promise.all([build(out), build(out)]).finally(() => { clearInterval(watch); });
    assert.equal(missing, 0);
    assert.deepEqual([table, worker].map((file) => statSync(file).ino), before);
    assert.equal(existsSync(stale), false);
    assert.deepEqual(readdirSync(parent), ['dist']);
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});
