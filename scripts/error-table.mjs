// Writes the README's error table from the one table of the engine (nodes/engine/errors.ts), after a build:
//   node scripts/error-table.mjs      a test fails while the two differ
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { errorTable } = createRequire(import.meta.url)(join(root, 'dist', 'nodes', 'engine', 'error-table.js'));
const file = join(root, 'README.md');
const before = readFileSync(file, 'utf8');
const after = before.replace(/\| code \| stage \|[^\n]*\n(?:\|[^\n]*\n)+/, () => `${errorTable()}\n`);
if (after !== before) writeFileSync(file, after);
