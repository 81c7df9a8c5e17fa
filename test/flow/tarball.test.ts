/** What `npm pack` makes is all that a user gets: it installs into an empty user directory and runs, in Node-RED 5 and 4. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { cp, glob, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { hurried } from '../support/example-flow';
import { drop, filesBelow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';
import { freePort } from '../support/orthanc';
import { npm, stagePack } from '../support/staged-pack';
import type { StagedPack } from '../support/staged-pack';

interface Packed {
  readonly filename: string;
  /** Bytes. */
  readonly size: number;
  readonly files: ReadonlyArray<{ readonly path: string }>;
}

const PACK = '@exdicom/node-red-dicom';
const LARGEST = 2_000_000;
const EXAMPLE = '01 - Folder to PACS';
const LANGUAGES = ['en-US', 'zh-TW'];

async function get(red: NodeRed, path: string, accept = 'application/json'): Promise<{ readonly status: number; readonly type: string; readonly text: string }> {
  const response = await fetch(`http://127.0.0.1:${red.started?.port ?? 0}${path}`, { headers: { accept } });
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() };
}

describe('the tarball', () => {
  let staged: StagedPack;
  let packed: Packed;
  let names: readonly string[];
  /** An empty user directory with the pack installed, made once. */
  let installed: string;
  let offline = false;

  before(async () => {
    staged = await stagePack();
    installed = await mkdtemp(join(tmpdir(), 'exdicom-installed-'));
    const pack = await npm(staged.folder, ['pack', '--ignore-scripts', '--json']);
    assert.equal(pack.code, 0, pack.stderr);
    packed = (JSON.parse(pack.stdout) as Packed[])[0] ?? assert.fail('nothing packed');
    const manifest = JSON.parse(await readFile(join(staged.folder, 'package.json'), 'utf8')) as { 'node-red': { nodes: Record<string, string> } };
    names = Object.keys(manifest['node-red'].nodes);
    const install = await npm(installed, ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', join(staged.folder, packed.filename)]);
    offline = install.offline;
    if (!offline) assert.equal(install.code, 0, install.stderr);
  });

  after(async () => {
    await staged[Symbol.asyncDispose]();
    await rm(installed, { recursive: true, force: true });
  });

  it('holds what users need, all of it and nothing else', async () => {
    const paths = packed.files.map(({ path }) => path);
    const top = new Set(['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'NOTICE']);
    const needed = /^(?:examples\/flows\/[^/]+\.json|dist\/nodes\/.+(?:\.js|\.d\.ts|\.tsv|\.svg|\.html|\.json))$/;
    assert.deepEqual(paths.filter((path) => !top.has(path) && !needed.test(path)), []);
    assert.deepEqual(paths.filter((path) => /\.(?:map|tsbuildinfo)$|\.editor\.|\.test\./.test(path)), []);

    const wanted = [...top, `examples/flows/${EXAMPLE}.json`, 'dist/nodes/index.js', 'dist/nodes/index.d.ts'];
    for (const name of names) {
      const folder = `dist/nodes/${name}`;
      wanted.push(`${folder}/${name}.js`, `${folder}/${name}.html`, `${folder}/icons/${name}.svg`);
      for (const language of LANGUAGES) wanted.push(`${folder}/locales/${language}/${name}.json`, `${folder}/locales/${language}/${name}.html`);
    }
    for await (const table of glob('nodes/**/*.tsv')) wanted.push(`dist/${table}`);
    assert.deepEqual(wanted.filter((path) => !paths.includes(path)), []);
    assert.ok(packed.size <= LARGEST, `the tarball has ${(packed.size / 1e6).toFixed(2)} MB`);
  });

  for (const version of ['node-red', 'node-red-4'] as const) {
    it(`runs flow 01 from an empty user directory in ${version}`, async (t: TestContext) => {
      if (offline) { t.skip('the npm registry is out of reach'); return; }
      const userDir = await mkdtemp(join(tmpdir(), 'exdicom-tarball-'));
      try {
        await cp(installed, userDir, { recursive: true, verbatimSymlinks: true });
        await runs(version, userDir);
      } finally {
        await rm(userDir, { recursive: true, force: true });
      }
    });
  }

  async function runs(version: 'node-red' | 'node-red-4', userDir: string): Promise<void> {
    const data = join(userDir, 'data');
    const port = String(await freePort());
    await using red = await NodeRed.start({
      version, userDir, installed: true, flows: [{ id: 'empty', type: 'tab', label: 'empty' }],
      env: { EXDICOM_DATA: data, EXDICOM_LISTEN_PORT: port, EXDICOM_PACS_PORT: port, EXDICOM_PACS_HOST: '', EXDICOM_PACS_AET: '', EXDICOM_AET: '', EXDICOM_PACS_LEVEL: '' },
    });
    assert.deepEqual(red.started?.types.map(({ id, err }) => ({ id, err })).toSorted((a, b) => a.id.localeCompare(b.id)), names.toSorted().map((name) => ({ id: `${PACK}/${name}`, err: undefined })));

    const dialogs = await get(red, '/nodes', 'text/html');
    for (const name of names) {
      assert.ok(dialogs.text.includes(`exdicom-${name}`), `the dialog of ${name}`);
      const icon = await get(red, `/icons/${PACK}/${name}.svg`);
      assert.deepEqual([icon.status, icon.type.split(';')[0]], [200, 'image/svg+xml'], `the icon of ${name}`);
      assert.match(icon.text, /<svg/);
    }
    for (const language of LANGUAGES) {
      const catalogs = JSON.parse((await get(red, `/nodes/messages?lng=${language}`)).text) as Record<string, unknown>;
      for (const name of names) {
        const own: unknown = JSON.parse(await readFile(join(process.cwd(), 'nodes', name, 'locales', language, `${name}.json`), 'utf8'));
        assert.deepEqual(catalogs[`${PACK}/${name}`], own, `texts of ${name} in ${language}`);
      }
    }
    const help = await Promise.all(LANGUAGES.map(async (language) => (await (await fetch(`http://127.0.0.1:${red.started?.port ?? 0}/nodes`, { headers: { accept: 'text/html', 'accept-language': language } })).text())));
    assert.match(help[1] ?? '', /\p{Script=Han}/u);
    assert.notEqual(help[0], help[1]);

    const examples = `/library/examples/flows/${PACK}/flows`;
    assert.deepEqual(JSON.parse((await get(red, examples)).text), readdirSync(join('examples', 'flows')).toSorted().map((name) => ({ fn: basename(name, '.json') })));
    const example = await get(red, `${examples}/${encodeURIComponent(EXAMPLE)}`);
    assert.equal(example.status, 200, example.text);

    const flow = JSON.parse(example.text) as FlowNode[];
    await red.deploy(hurried(flow));
    await drop(userDir, 'study.zip', await sampleStudy(userDir));
    const finishes = flow.filter(({ type }) => type === 'debug').map(({ id }) => id);
    const receipts = (): Receipt[] => finishes.flatMap((id) => red.at(id)).map(({ payload }) => payload as Receipt | undefined).filter((receipt) => receipt?.receipt === 1) as Receipt[];
    await red.until(() => receipts().length === 2);
    const outcomes = new Map(receipts().map(({ job, destinations }) => [job.kind, [job.outcome, ...destinations.map(({ verified }) => verified)]]));
    assert.deepEqual(outcomes, new Map([['archive', ['complete', 24]], ['received', ['complete', 24]]]));
    assert.equal((await filesBelow(join(data, 'received'))).length, 24);
    await red.stop();
    assert.equal(red.exited?.code, 0);
  }
});
