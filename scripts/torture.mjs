// The torture: what goes wrong in the world, done to the pack on purpose, each with an account of every instance at its end.
//   npm run torture                       everything, one after the other (an hour or two)
//   npm run torture -- kill dead-pacs     only these files of test/torture
//   EXDICOM_KILLS=20 npm run torture -- kill     with another number; each file names its own at its head
// `npm test` runs a short selection of the same files.
import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
process.env.EXDICOM_TORTURE ??= 'full';
execFileSync(process.execPath, [join('scripts', 'build.mjs'), '--quick'], { stdio: 'inherit' });

const wanted = process.argv.slice(2);
const files = globSync('dist/test/torture/*.test.js').filter((file) => wanted.length === 0 || wanted.includes(basename(file, '.test.js'))).sort();
if (files.length === 0) throw new Error(`nothing of that name in test/torture: ${wanted.join(' ')}`);

const rows = [];
const note = (result) => ({ name, nesting, skip, details }) => {
  if (details.type === 'suite' || nesting > 1) return;
  rows.push(`${skip === undefined || skip === false ? result : `skipped (${skip})`}  ${name}  ${(details.duration_ms / 1000).toFixed(1)} s`);
};
const stream = run({ files, concurrency: 1, timeout: 3 * 60 * 60_000 });
stream.on('test:pass', note('held   '));
stream.on('test:fail', note('FAILED '));
stream.on('test:fail', () => { process.exitCode = 1; });
stream.compose(spec).pipe(process.stdout);
stream.on('end', () => { process.stdout.write(`\n${rows.join('\n')}\n`); });
