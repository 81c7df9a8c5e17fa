// Builds, checks types and style, and runs the tests.
//   npm test                     everything
//   npm test -- unit peers       only these folders of test/
// A test that needs a program which is missing says so and is skipped; with CI set, it fails the run.
import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const suites = process.argv.slice(2);
const folders = suites.length > 0 ? suites : ['unit', 'flow', 'peers', 'editor', 'torture'];

const step = (command, ...options) => execFileSync(process.execPath, [command, ...options], { stdio: 'inherit' });
step(join('scripts', 'build.mjs'));
step(join('node_modules', 'oxlint', 'bin', 'oxlint'), '--type-aware', '--deny-warnings', 'nodes', 'test', 'scripts');

const files = folders.flatMap((folder) => globSync(`dist/test/${folder}/**/*.test.js`)).sort();
if (files.length === 0) throw new Error(`no tests in ${folders.join(', ')}`);

let failed = 0;
let skipped = 0;
/** What a process still has to write when it is made to exit is lost, and with it the results of its last tests: so it waits at each write. */
const WAITS_AT_WRITES = ['--import', 'data:text/javascript,process.stdout._handle?.setBlocking?.(true)'];
// One that hangs, and what it has started, must not keep the run from its end.
const stream = run({ files, concurrency: 2, timeout: 20 * 60_000, forceExit: true, execArgv: WAITS_AT_WRITES });
stream.on('test:fail', () => { failed += 1; });
stream.on('test:pass', ({ skip, name }) => {
  if (skip === undefined || skip === false) return;
  // The shared data lies beside the project where it is developed and nowhere else.
  if (!/shared/.test(String(skip))) skipped += 1;
  console.log(`skipped: ${name}${typeof skip === 'string' ? ` (${skip})` : ''}`);
});
const report = stream.compose(spec);
report.pipe(process.stdout);
report.on('end', () => {
  if (skipped > 0 && process.env.CI) {
    console.error(`${skipped} skipped: in CI nothing may be skipped`);
    process.exitCode = 1;
  }
  process.exit(failed > 0 ? 1 : process.exitCode);
});
