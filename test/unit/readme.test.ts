/** The README's error table and the code's are one. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { errorTable } from '../../nodes/engine/error-table';

test('the README lists every error code with its cause and remedy', () => {
  assert.ok(readFileSync('README.md', 'utf8').includes(`${errorTable()}\n`), 'run node scripts/error-table.mjs after a build');
});
