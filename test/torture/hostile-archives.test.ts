import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { extract } from '../../nodes/engine/archive/extract';
import { DEFAULT_SETTINGS } from '../../nodes/engine/archive/settings';
import { closePool } from '../../nodes/engine/workers/pool';
import { exampleFlow } from '../support/example-flow';
import { HOSTILE, TARGET, cutOff, writeManyEntries } from '../support/hostile-archives';
import { jobStates, receiptsIn } from '../support/ledger-file';
import { filesBelow } from '../support/main-flow';
import { memoryLedger } from '../support/memory-ledger';
import { NodeRed } from '../support/node-red';
import { freePort } from '../support/orthanc';
import { instance, zip } from '../support/archives';
import { amount, figures } from '../support/torture';
import { drop } from '../unit/archive/dropping';

const MEGABYTE = 1 << 20;
/** Of the whole Node-RED with all its threads, of which some 140 MB are its own at rest. */
const MOST = 300 * MEGABYTE;
/** Of a process, as the system counts it. */
const peakOf = (pid: number): number => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;

/** Everything below a folder, of whatever kind. */
const everything = (folder: string): string[] => readdirSync(folder, { recursive: true }).map(String).toSorted();

describe('hostile archives, unpacked', () => {
  let parent = '';
  const former = process.env['TMPDIR'];
  before(() => {
    // A temporary folder of our own: whatever is in it afterwards has been written outside of where it belongs.
    parent = mkdtempSync(join(tmpdir(), 'exdicom-hostile-'));
    process.env['TMPDIR'] = parent;
  });
  after(async () => {
    if (former === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = former;
    rmSync(parent, { recursive: true, force: true });
    await closePool();
  });
  const nothingOutside = (): void => {
    assert.deepEqual(readdirSync(parent), []);
    for (const place of [`/tmp/${TARGET}`, `/${TARGET}`, resolve(TARGET), resolve('..', TARGET)]) assert.equal(existsSync(place), false, place);
  };

  for (const { name, files, code, entries, settings } of HOSTILE) {
    it(`${name}: ${code ?? (entries === undefined || entries.length > 5 ? 'goes on' : entries.join(', '))}`, async () => {
      const came = await drop(files(), settings);
      assert.equal(came.code, code);
      if (code === undefined) {
        const outcome = came.entries.map((entry) => entry.code ?? entry.kind);
        if (entries !== undefined) assert.deepEqual(outcome, entries);
        assert.ok(came.contents.length > 0, 'what is good in it comes out');
      }
      for (const stayed of came.stayed) assert.match(stayed, /^\d{6}\.\w+$/);
      nothingOutside();
    });
  }

  it('a zip and a rar that are cut off anywhere end with a code, and nothing of them is sent', async () => {
    const ends = new Map<string, number>();
    const cuts = cutOff();
    for (const { name, bytes } of cuts) {
      const came = await drop({ 'a.bin': bytes });
      assert.ok(came.code !== undefined && came.code !== 'INTERNAL', `${name}: ${came.entries.map(({ kind }) => kind).join()}`);
      assert.deepEqual(came.contents, [], name);
      ends.set(came.code, (ends.get(came.code) ?? 0) + 1);
      nothingOutside();
    }
    figures(`${cuts.length} cuts`, Object.fromEntries(ends));
  });

  it('a million entries are refused before they fill the memory', async () => {
    const path = join(parent, 'many');
    for (const [what, told, name, code] of [['a million', amount(1_000_000, 200_000), 7, 'LIMIT_ENTRIES'], ['a million that are said to be ten', 10, 7, 'LIMIT_ENTRIES'], ['sixty thousand with names of 1000 bytes', 60_000, 1000, 'LIMIT_ENTRIES']] as const) {
      writeManyEntries(path, name === 7 ? amount(1_000_000, 200_000) : 60_000, { told, name });
      const bytes = statSync(path).size;
      const memory = memoryLedger([path]);
      const began = performance.now();
      await assert.rejects(extract(memory.ledger, memory.token, DEFAULT_SETTINGS, { signal: AbortSignal.timeout(120_000), progress: () => undefined }), { code });
      rmSync(memory.root, { recursive: true });
      rmSync(path);
      figures(what, { 'MB on disk': Math.round(bytes / MEGABYTE), milliseconds: Math.round(performance.now() - began) });
    }
    nothingOutside();
  });
});

const SHARED = resolve(process.cwd(), '../shared/data/archives');

interface Told { readonly outcome: string; readonly codes: readonly string[] }

describe('hostile archives through flow 01 in a real Node-RED', () => {
  const run = async (title: string, fill: (inbox: string) => void): Promise<ReadonlyMap<string, Told>> => {
    const root = mkdtempSync(join(tmpdir(), 'exdicom-hostile-red-'));
    try {
      const data = join(root, 'data');
      const userDir = join(root, 'user');
      const inbox = join(data, 'inbox');
      for (const folder of [inbox, userDir]) mkdirSync(folder, { recursive: true });
      const flow = exampleFlow('01', { 'exdicom-folder-in': { interval: '2', stable: '1', maxWait: '0.02' }, 'exdicom-ledger': { quiet: '2', reserve: '1' } });
      const port = String(await freePort());
      await using red = await NodeRed.start({ flows: flow, userDir, env: { EXDICOM_DATA: data, EXDICOM_DEID_KEY: 'a key of the torture, longer than thirty-two characters', EXDICOM_LISTEN_PORT: port, EXDICOM_PACS_PORT: port, EXDICOM_PACS_HOST: '127.0.0.1', EXDICOM_PACS_AET: '', EXDICOM_AET: '', EXDICOM_PACS_LEVEL: '', TMPDIR: root } });
      const idle = peakOf(red.pid);
      const outside = everything(root).filter((path) => !/^(?:data|user)\b/.test(path));
      fill(inbox);
      const good = 'zz-good.zip';
      writeFileSync(join(data, good), zip([{ name: 'good', data: instance({ sop: '1.2.3.777', study: '1.2.3.77' }) }]));
      renameSync(join(data, good), join(inbox, good));
      const began = performance.now();
      for (let calm = 0, last = ''; calm < 8;) {
        await sleep(500);
        assert.equal(red.exited, undefined, 'Node-RED lives');
        const { closed = 0, 'needs-password': locked = 0, ...open } = jobStates(data);
        const now = JSON.stringify([closed, locked, open, readdirSync(inbox)]);
        calm = now === last && Object.keys(open).length === 0 && readdirSync(inbox).length === locked ? calm + 1 : 0;
        last = now;
      }
      const peak = peakOf(red.pid);
      const receipts = receiptsIn(data);
      const states = jobStates(data);
      await red.stop();

      assert.deepEqual([...receipts.values()].filter(({ balanced }) => !balanced).map(({ job }) => job), []);
      const told = new Map<string, Told>();
      for (const place of ['done', 'failed']) {
        for (const path of await filesBelow(join(data, place))) {
          const receipt = receipts.get(path.split('/')[0]!);
          if (receipt !== undefined && !path.endsWith('reason.json')) told.set(basename(path), { outcome: receipt.job.outcome, codes: receipt.error === undefined ? [] : [receipt.error.code] });
        }
      }
      assert.equal(told.get(good)?.outcome, 'complete', 'the next good job goes through');
      // What waits for a password keeps its folder.
      assert.equal(new Set((await filesBelow(join(data, 'work'))).map((path) => path.split('/')[0])).size, states['needs-password'] ?? 0);
      assert.deepEqual(everything(root).filter((path) => !/^(?:data|user)\b/.test(path)), outside);
      assert.deepEqual(readdirSync(data).filter((name) => !/^(?:inbox|done|failed|quarantine|received|work|ledger\.sqlite(?:-wal|-shm)?|lock|journal|key|.*ballast.*|.*\.lock)$/.test(name)), []);
      assert.equal(existsSync(`/tmp/${TARGET}`), false);
      figures(title, { archives: told.size, 'waiting for a password': states['needs-password'] ?? 0, seconds: Math.round((performance.now() - began) / 1000), 'MB at rest': Math.round(idle / MEGABYTE), 'MB at most': Math.round(peak / MEGABYTE) });
      assert.ok(peak < MOST, `${Math.round(peak / MEGABYTE)} MB, at rest ${Math.round(idle / MEGABYTE)} MB`);
      return told;
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  };
  const put = (inbox: string, name: string, bytes: Buffer): void => {
    writeFileSync(join(inbox, `${name}.part`), bytes);
    renameSync(join(inbox, `${name}.part`), join(inbox, name));
  };

  it('end with their code, use little memory, and the next job goes through', async () => {
    const cases = HOSTILE.filter(({ settings }) => settings === undefined);
    const nameOf = (n: number, name: string): string => `${String(n).padStart(3, '0')}${name.slice(name.lastIndexOf('.'))}`;
    const told = await run(`${cases.length} generated archives`, (inbox) => {
      for (const [n, { files }] of cases.entries()) for (const [name, bytes] of Object.entries(files())) put(inbox, nameOf(n, name), bytes);
      writeManyEntries(join(inbox, 'million.zip.part'), amount(1_000_000, 200_000));
      renameSync(join(inbox, 'million.zip.part'), join(inbox, 'million.zip'));
    });
    for (const [n, { name, code, files }] of cases.entries()) {
      const is = told.get(nameOf(n, Object.keys(files())[0]!));
      assert.ok(is !== undefined, name);
      if (code !== undefined) assert.deepEqual(is.codes, [code], name);
      else assert.ok(is.outcome === 'complete' || is.outcome === 'with-exceptions' || is.outcome === 'duplicate', `${name}: ${is.outcome} ${is.codes.join()}`);
    }
    assert.deepEqual(told.get('million.zip')?.codes, ['LIMIT_ENTRIES']);
  });

  it('of the shared data each have an outcome, and use little memory', { skip: existsSync(SHARED) ? false : 'no ../shared/data' }, async () => {
    const archives = readFileSync(join(SHARED, '..', 'ARCHIVES.tsv'), 'utf8').trimEnd().split('\n').slice(1).map((line) => line.split('\t')[0] ?? '').filter((path, n) => n % amount(1, 12) === 0 && existsSync(join(SHARED, '..', path)));
    const told = await run(`${archives.length} archives of the shared data`, (inbox) => {
      // Folders are told apart by a prefix, so that the volumes of a set stay together.
      const folders = [...new Set(archives.map((path) => path.slice(0, path.lastIndexOf('/'))))];
      for (const path of archives) put(inbox, `${folders.indexOf(path.slice(0, path.lastIndexOf('/')))}_${basename(path)}`, readFileSync(join(SHARED, '..', path)));
    });
    assert.ok(told.size > archives.length * 0.7);
    assert.ok([...told.values()].every(({ codes }) => !codes.includes('INTERNAL') && !codes.includes('WORKER_CRASHED')));
  });
});
