/** The node-red-dev validator, which the Flow Library runs on every pack that is submitted. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { npm, stagePack } from '../support/staged-pack';

/** Named exceptions: docs/decisions/0003-validator-exceptions.md says why. */
const EXCEPTIONS = new Set(['D01', 'P07']);

test('the validator finds nothing but the named exceptions', async (t) => {
  await using staged = await stagePack();
  const stub = join(__dirname, '..', 'support', 'validator-answers.js');
  const run = await npm(staged.folder, ['exec', '--yes', '--package=node-red-dev@0.1.6', '--', 'node-red-dev', 'validate', '-o', 'card.json'], {
    NODE_OPTIONS: `--require ${stub}`, EXDICOM_VALIDATED: process.cwd(),
  });
  if (run.offline) { t.skip('the npm registry is out of reach'); return; }
  assert.equal(run.code, 0, run.stderr);
  const checks = JSON.parse(await readFile(join(staged.folder, 'card.json'), 'utf8')) as Record<string, { test?: boolean; nodes?: string[] }>;
  const failed = Object.entries(checks).filter(([, check]) => check.test === false).map(([id]) => id);
  assert.deepEqual(failed.filter((id) => !EXCEPTIONS.has(id)), [], run.stdout + run.stderr);
  for (const id of ['P01', 'P03', 'P04', 'P05', 'P06', 'P08', 'N01', 'N02', 'D02', 'D03']) assert.equal(checks[id]?.test, true, `${id} was not checked`);

  // It read every dialog, and found every node but the configuration nodes in an example.
  assert.doesNotMatch(run.stdout, /Unable to parse/);
  const manifest = JSON.parse(await readFile('package.json', 'utf8')) as { 'node-red': { nodes: Record<string, string> } };
  const nodes: string[] = [];
  for (const name of Object.keys(manifest['node-red'].nodes)) {
    const dialog = await readFile(join(staged.folder, 'dist', 'nodes', name, `${name}.html`), 'utf8');
    if (!/category: ["']config["']/.test(dialog)) nodes.push(`exdicom-${name}`);
  }
  assert.deepEqual(checks['N02']?.nodes?.toSorted(), nodes.toSorted());
});
