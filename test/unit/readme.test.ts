/** The README's error table and the code's are one. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ERRORS } from '../../nodes/engine/errors';

test('the README lists every error code with its cause and remedy', () => {
  const table = ['| code | stage | what happened | what to do |', '|---|---|---|---|',
    ...Object.entries(ERRORS).map(([code, { stage, retryable, cause, remedy }]) => `| \`${code}\`${retryable ? ' ↻' : ''} | ${stage} | ${cause} | ${remedy} |`)].join('\n');
  assert.ok(readFileSync('README.md', 'utf8').includes(table), `The README should hold this table:\n${table}`);
});
