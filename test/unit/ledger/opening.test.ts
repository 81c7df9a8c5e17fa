import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createLedger } from '../../../nodes/engine/ledger/ledger';
import { Ballast } from '../../../nodes/engine/ledger/sqlite/ballast';
import { Bench, until } from './fixture';

test('a directory has one ledger in a process; the next one waits while the former closes', async () => {
  await using bench = await Bench.open();
  const second = createLedger('second', bench.settings);
  await assert.rejects(second.open(), { code: 'LEDGER_LOCKED' });
  const closing = bench.ledger.close();
  await second.open();
  await closing;
  assert.equal(second.status().state, 'ready');
  const third = createLedger('third', bench.settings);
  const [, opened] = await Promise.allSettled([second.close(), third.open()]);
  assert.equal(opened.status, 'fulfilled');
  await third.close();
});

test('a second ledger on the same directory by another name is refused, and does not open it to other processes', async () => {
  await using bench = await Bench.open();
  const link = join(bench.folder, 'link');
  await symlink(bench.settings.directory, link);
  await assert.rejects(createLedger('second', { ...bench.settings, directory: link }).open(), { code: 'LEDGER_LOCKED', detail: 'another ledger node has this directory' });
  const script = `const { createLedger } = require(${JSON.stringify(require.resolve('../../../nodes/engine/ledger/ledger'))});
    createLedger('third', ${JSON.stringify(bench.settings)}).open().then(() => 'opened', ({ code }) => code).then((said) => { console.log(said); process.exit(); });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--eval', script]);
  assert.equal(stdout.trim(), 'LEDGER_LOCKED');
});

test('a ledger that is closed at any instant of its opening leaves the directory to the next', async () => {
  await using bench = await Bench.open();
  await bench.take();
  await bench.ledger.close();
  for (let delay = 0; delay < 80; delay += 4) {
    const given = createLedger('given up', bench.settings);
    const opening = given.open().catch((thrown: unknown) => thrown);
    await sleep(delay);
    const [closing, waiting] = [given.close(), createLedger('given up as well', bench.settings)];
    const opens = waiting.open().catch((thrown: unknown) => thrown);
    const closes = waiting.close();
    const next = createLedger('next', bench.settings);
    await next.open();
    await Promise.all([closing, closes, opening, opens]);
    assert.deepEqual([given.status().state, waiting.status().state, next.status().state], ['closed', 'closed', 'ready']);
    await next.close();
  }
});

test('a ledger of a newer version is refused and left as it is', async () => {
  await using bench = await Bench.open();
  await bench.ledger.close();
  const file = join(bench.settings.directory, 'ledger.sqlite');
  const database = new DatabaseSync(file);
  database.exec('PRAGMA user_version = 99');
  database.close();
  const before = await readFile(file);
  await assert.rejects(createLedger('later', bench.settings).open(), { code: 'LEDGER_NEWER' });
  assert.deepEqual(await readFile(file), before);
});

test('a damaged ledger, and a file that is none, are refused and kept', async () => {
  await using bench = await Bench.open();
  await bench.take();
  await bench.ledger.close();
  const file = join(bench.settings.directory, 'ledger.sqlite');
  const sound = await readFile(file);
  const damaged = Buffer.from(sound);
  damaged.fill(0x5a, 4096, 4096 * 4);
  for (const content of [damaged, Buffer.from('this is no database, it is a text of some length'.repeat(100))]) {
    await writeFile(file, content);
    await assert.rejects(createLedger('later', bench.settings).open(), { code: 'LEDGER_DAMAGED' });
    assert.deepEqual(await readFile(file), content);
  }
  await writeFile(file, sound);
  const ledger = createLedger('later', bench.settings);
  await ledger.open();
  assert.equal((await ledger.jobs()).length, 1);
  await ledger.close();
});

test('a ledger whose file is taken away takes nothing more in until it is back, or another is opened', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const file = join(bench.settings.directory, 'ledger.sqlite');
  await rename(file, `${file}.away`);
  await assert.rejects(bench.take(), { code: 'STORAGE_FAILED' });
  // Nor where another lies in its place.
  await writeFile(file, '');
  await assert.rejects(bench.take(), { code: 'STORAGE_FAILED' });
  await rename(`${file}.away`, file);
  await bench.take();
  assert.deepEqual((await bench.ledger.jobs()).length, 2);
  await rm(bench.settings.directory, { recursive: true });
  await assert.rejects(bench.take(), { code: 'STORAGE_FAILED' });
  await assert.rejects(bench.ledger.details(token.id), { code: 'STORAGE_FAILED' });
  await bench.restart();
  await bench.take();
  assert.equal((await bench.ledger.jobs()).length, 1);
});

test('a ballast that can be neither written nor removed ends nobody: its folder is away for a while', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'exdicom-ballast-'));
  try {
    await writeFile(join(folder, 'file'), '');
    assert.doesNotThrow(() => { new Ballast(join(folder, 'file')).take(); });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('what is asked of a closed ledger is answered with LEDGER_CLOSED, and an intake under way as well', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const taking = bench.ledger.take(await bench.intake('x'.repeat(20_000_000)), new AbortController().signal);
  const closing = bench.ledger.close();
  await assert.rejects(taking, { code: 'LEDGER_CLOSED' });
  await closing;
  await assert.rejects(async () => bench.ledger.jobs(), { code: 'LEDGER_CLOSED' });
  assert.throws(() => bench.ledger.enter(token, 'extract'), { code: 'LEDGER_CLOSED' });
  assert.equal(await bench.ledger.room(), 'closed');
  assert.equal(bench.ledger.status().state, 'closed');
});

test('listeners hear of each change of the status', async () => {
  await using bench = await Bench.open();
  const heard: string[] = [];
  const listening = bench.ledger.onStatus(({ state, open }) => { heard.push(`${state} ${open}`); });
  await bench.take();
  await until(() => heard.includes('ready 1'));
  listening[Symbol.dispose]();
  await bench.ledger.close();
  assert.ok(!heard.includes('closed 0') && !heard.includes('closed 1'));
});

test('a work folder that somebody removed while the ledger runs is made again', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  await rm(bench.ledger.folders.work, { recursive: true });
  await sleep(1100);
  assert.equal(await bench.ledger.room(), 'free');
  assert.equal(bench.ledger.status().state, 'ready');
  const next = await bench.take();
  assert.notEqual(next.id, token.id);
  const { mode } = await stat(bench.ledger.folders.work);
  assert.equal(mode & 0o777, 0o700);
});
