// Makes a fresh clone ready: installs what package-lock.json names, and hands the work over to the Node.js that the project
// brings along as a development dependency, so that it does not matter which one the machine has (20 or later).
//   node scripts/set-up.mjs SCRIPT [ARGUMENT ...]     runs scripts/SCRIPT.mjs when everything is there
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const modules = join(root, 'node_modules');
const stamp = join(modules, '.installed');
const wanted = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex');
const broughtNode = join(modules, 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted || !existsSync(broughtNode)) {
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) throw new Error('node_modules is a link, and an installation would empty what it points to: remove it first');
  console.log('Installing the dependencies (once) …');
  const npm = process.env.npm_execpath;
  const options = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  if (npm === undefined) execFileSync('npm', options, { stdio: 'inherit', shell: process.platform === 'win32' });
  else execFileSync(process.execPath, [npm, ...options], { stdio: 'inherit' });
  writeFileSync(stamp, wanted);
}

const [script, ...rest] = process.argv.slice(2);
const child = spawn(broughtNode, [join('scripts', `${script}.mjs`), ...rest], {
  stdio: 'inherit',
  env: { ...process.env, PATH: `${join(modules, '.bin')}${delimiter}${process.env.PATH ?? ''}` },
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => { process.exitCode = signal === null ? code ?? 1 : 1; });
