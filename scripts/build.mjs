// Builds the pack into dist/: type check, one CommonJS file per source file, and per node one HTML file that holds its
// edit dialog's script (bundled, readable) and its form. Any type error ends the build.
//   node scripts/build.mjs [--out FOLDER] [--quick]     --quick: no type check of the dialogs
// A Node-RED, or another build, may be at work with what lies in dist/: nothing that it needs is ever missing there.
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { cp, glob, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const { values } = parseArgs({ options: { out: { type: 'string', default: 'dist' }, quick: { type: 'boolean', default: false } } });
// Beside it: as deep, since source maps name the sources from there, and on the same disk.
const out = join(dirname(values.out), `.build-${process.pid}`);

const require = createRequire(import.meta.url);
const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');
const compile = (...options) => execFileSync(process.execPath, [tsc, ...options], { stdio: 'inherit' });

process.on('exit', () => rmSync(out, { recursive: true, force: true }));
compile('-p', 'tsconfig.json', '--outDir', out);
if (!values.quick) compile('-p', 'nodes/tsconfig.editor.json');

// Tables that the engine reads at run time lie beside the code that reads them.
for await (const table of glob('nodes/engine/**/*.tsv')) {
  await mkdir(join(out, dirname(table)), { recursive: true });
  await cp(table, join(out, table));
}

const pkg = JSON.parse(await readFile('package.json', 'utf8'));
for (const entry of Object.values(pkg['node-red'].nodes)) {
  const name = basename(entry, '.js');
  const source = join('nodes', name);
  const target = join(out, 'nodes', name);
  const { outputFiles } = await build({
    entryPoints: [join(source, `${name}.editor.ts`)],
    bundle: true, write: false, format: 'iife', target: 'es2020', charset: 'utf8', minify: false, legalComments: 'none',
  });
  const form = await readFile(join(source, `${name}.html`), 'utf8');
  await mkdir(target, { recursive: true });
  await writeFile(join(target, `${name}.html`), `<script type="text/javascript">\n${outputFiles[0].text}</script>\n\n${form}`);
  await cp(join(source, 'locales'), join(target, 'locales'), { recursive: true });
  const icon = join('icons', `${name}.svg`);
  if (existsSync(icon)) {
    await mkdir(join(target, 'icons'), { recursive: true });
    await cp(icon, join(target, 'icons', `${name}.svg`));
  }
}

/** Every file below a folder, as a path from there. */
async function filesIn(folder) {
  const files = new Set();
  for await (const entry of glob('**/*', { cwd: folder, withFileTypes: true })) {
    if (!entry.isDirectory()) files.add(relative(resolve(folder), resolve(entry.parentPath, entry.name)));
  }
  return files;
}

const built = await filesIn(out);
for (const file of built) {
  const [from, to] = [join(out, file), join(values.out, file)];
  if (existsSync(to) && (await readFile(from)).equals(await readFile(to))) continue;
  await mkdir(dirname(to), { recursive: true });
  await rename(from, to);
}
for (const file of await filesIn(values.out)) if (!built.has(file)) await rm(join(values.out, file), { force: true });
