import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readFile, readdir, rename, rm, stat, truncate, writeFile, appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { verifyJournal } from '../../../nodes/engine/ledger/journal';
import { openLine, rangesOf, sealLine } from '../../../nodes/engine/ledger/journal-line';
import type { JournalLine } from '../../../nodes/engine/ledger/journal-line';
import { MIGRATIONS, APPLICATION_ID } from '../../../nodes/engine/ledger/sqlite/schema';
import { Bench, destination, until } from './fixture';

const SMALL = { bytes: 2000, days: 30, retention: 0 };

async function job(bench: Bench): Promise<void> {
  const before = bench.receipts.length;
  const token = await bench.take();
  await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a', '1.2#b'])));
  await bench.ledger.finish(token, 'finish');
  await bench.closed(before + 1);
}

const filesOf = async (bench: Bench): Promise<string[]> => (await readdir(bench.ledger.folders.journal)).toSorted().map((name) => join(bench.ledger.folders.journal, name));
const textOf = async (bench: Bench): Promise<string> => (await Promise.all((await filesOf(bench)).map((file) => readFile(file, 'utf8')))).join('');
const linesOf = async (bench: Bench): Promise<JournalLine[]> => (await textOf(bench)).trimEnd().split('\n').map((line) => JSON.parse(line) as JournalLine);
const events = (bench: Bench): string[] => {
  const database = new DatabaseSync(join(bench.settings.directory, 'ledger.sqlite'), { readOnly: true });
  try {
    return database.prepare('SELECT line FROM event ORDER BY seq').all().map(({ line }) => String(line));
  } finally {
    database.close();
  }
};
const anchors = (bench: Bench) => bench.receipts.map(({ journal }) => journal);

test('every change of state is a line, and the chain can be verified from the files and the receipts alone', async () => {
  await using bench = await Bench.open({ journal: SMALL });
  await job(bench);
  await job(bench);
  await bench.ledger.close();
  const text = await textOf(bench);
  assert.deepEqual(text.trimEnd().split('\n'), events(bench), 'the files say what the database says');
  const lines = await linesOf(bench);
  assert.deepEqual(lines.slice(0, 4).map(({ seq, name, event }) => ({ seq, name, event })), [
    { seq: 1, name: 'folder-in 0001', event: 'receiving' }, { seq: 2, name: 'folder-in 0001', event: 'open' },
    { seq: 3, name: 'folder-in 0001', event: 'extracted' }, { seq: 4, name: 'folder-in 0001', event: 'complete' },
  ]);
  assert.ok((await filesOf(bench)).length > 2, 'rotated by size');
  for (const file of await filesOf(bench)) {
    const { size, mode } = await stat(file);
    assert.ok(size <= SMALL.bytes);
    assert.equal(mode & 0o777, 0o600);
  }
  assert.equal((await stat(bench.ledger.folders.journal)).mode & 0o777, 0o700);

  // By hand: the hash is that of the line without its last field.
  for (const line of text.trimEnd().split('\n')) {
    const cut = line.replace(/,"hash":"[0-9a-f]*"\}$/, '}');
    assert.equal(createHash('sha256').update(cut).digest('hex'), (JSON.parse(line) as JournalLine).hash);
  }
  const report = await verifyJournal(bench.ledger.folders.journal, anchors(bench));
  assert.deepEqual({ ...report, last: report.last?.seq }, { sound: true, files: (await filesOf(bench)).length, lines: lines.length, first: { seq: 1, prev: '' }, last: lines.length, chains: 1, torn: false, problems: [] });
  for (const { journal, job: { id } } of bench.receipts) {
    const closing = lines.find(({ seq }) => seq === journal.seq);
    assert.deepEqual([closing?.hash, closing?.event, closing?.job], [journal.hash, 'closed', id]);
  }
});

test('a line that is changed, taken out, put in, or cut off at the end shows', async () => {
  await using bench = await Bench.open();
  await job(bench);
  await bench.ledger.close();
  const [file = ''] = await filesOf(bench);
  const sound = await readFile(file, 'utf8');
  const lines = sound.trimEnd().split('\n');
  const problems = async (changed: readonly string[]): Promise<string[]> => {
    await writeFile(file, `${changed.join('\n')}\n`);
    return (await verifyJournal(bench.ledger.folders.journal, anchors(bench))).problems.map(({ problem }) => problem);
  };
  assert.deepEqual(await problems(lines), []);
  assert.deepEqual(await problems(lines.with(2, lines[2]!.replace('extracted', 'something'))), ['changed', 'order']);
  assert.deepEqual(await problems(lines.toSpliced(2, 1)), ['order']);
  const { hash: _hash, ...fields } = JSON.parse(lines[2]!) as JournalLine;
  // With a hash that fits the new text: then the next line does not follow from it.
  assert.deepEqual(await problems(lines.with(2, sealLine({ ...fields, event: 'forged' }).line)), ['order']);
  assert.deepEqual(await problems(lines.toSpliced(2, 0, lines[2]!)), ['order']);
  assert.deepEqual(await problems(lines.slice(0, -1)), ['missing'], 'the end that a receipt vouches for');
  // The whole chain made anew: only what receipts vouch for tells.
  let prev = '';
  const anew = lines.map((line, index) => {
    const { hash: _old, ...rest } = JSON.parse(line) as JournalLine;
    const made = sealLine({ ...rest, ...(index === 2 ? { event: 'forged' } : {}), prev });
    prev = made.hash;
    return made.line;
  });
  assert.deepEqual(await problems(anew), ['anchor']);
});

test('a torn last line is cut off and written again, without a gap and without a double', async () => {
  await using bench = await Bench.open();
  await job(bench);
  await bench.ledger.close();
  const [file = ''] = await filesOf(bench);
  const sound = await readFile(file, 'utf8');
  for (const torn of [sound.length - 1, sound.length - 40, sound.indexOf('\n') + 1, 30, 0]) {
    await truncate((await filesOf(bench))[0]!, torn);
    await bench.restart();
    await until(async () => (await textOf(bench)).startsWith(sound));
    await bench.ledger.close();
    assert.deepEqual((await textOf(bench)).trimEnd().split('\n'), events(bench), `cut at ${torn}`);
    assert.equal((await verifyJournal(bench.ledger.folders.journal)).sound, true);
    await writeFile((await filesOf(bench))[0]!, sound);
  }
  // Blocks that never reached the disk: zeros in the middle of what was written last.
  const hole = Buffer.from(sound);
  hole.fill(0, Math.floor(sound.length / 2), Math.floor(sound.length / 2) + 200);
  await writeFile((await filesOf(bench))[0]!, hole);
  await appendFile((await filesOf(bench))[0]!, 'rubbish\n');
  await bench.restart();
  await until(async () => (await textOf(bench)) === sound);
});

test('what is purged from the database stays in the journal, which stays whole', async () => {
  await using bench = await Bench.open({ retention: 0 });
  await job(bench);
  const before = await textOf(bench);
  await bench.restart();
  await until(async () => (await bench.ledger.jobs()).length === 0);
  // The events of the job itself go at the turn after the journal has them on disk.
  await bench.restart();
  await job(bench);
  await bench.restart();
  await until(async () => (await bench.ledger.jobs()).length === 0);
  await bench.ledger.close();
  const text = await textOf(bench);
  assert.ok(text.startsWith(before));
  assert.ok(events(bench).length < text.split('\n').length - 1, 'the database has forgotten some');
  const report = await verifyJournal(bench.ledger.folders.journal, anchors(bench));
  assert.deepEqual([report.sound, report.chains, report.first?.seq], [true, 1, 1]);
});

test('files that are older than their retention go, and what is left is still verified', async () => {
  await using bench = await Bench.open({ journal: { ...SMALL, retention: 1e-9 } });
  await job(bench);
  await job(bench);
  await bench.ledger.close();
  const names = (await filesOf(bench)).map((file) => file.slice(-22));
  assert.ok(names.length <= 2 && !names.some((name) => name.startsWith('0001')), names.join());
  const report = await verifyJournal(bench.ledger.folders.journal, anchors(bench));
  assert.equal(report.sound, true);
  assert.ok((report.first?.seq ?? 0) > 1 && report.first?.prev !== '');
});

test('a file is followed by a new one when its first line is too old', async () => {
  await using bench = await Bench.open({ journal: { bytes: 1e7, days: 1e-9, retention: 0 } });
  await job(bench);
  await bench.ledger.close();
  assert.ok((await filesOf(bench)).length > 3);
  assert.equal((await verifyJournal(bench.ledger.folders.journal, anchors(bench))).sound, true);
});

test('a folder that cannot be written stops no job; the status says so, and every line follows later', async () => {
  await using bench = await Bench.open();
  const { journal } = bench.ledger.folders;
  await job(bench);
  await bench.ledger.close();
  const aside = `${journal}-aside`;
  await rename(journal, aside);
  await writeFile(journal, 'somebody put a file here');
  await bench.restart();
  await job(bench);
  await until(() => bench.ledger.status().journal === 'STORAGE_FAILED');
  assert.equal(bench.ledger.status().state, 'ready');
  await rm(journal);
  await rename(aside, journal);
  await until(() => bench.ledger.status().journal === undefined);
  await bench.ledger.close();
  assert.deepEqual((await textOf(bench)).trimEnd().split('\n'), events(bench));
  assert.equal((await verifyJournal(journal, anchors(bench))).sound, true);
});

test('files that a person takes away while the ledger runs are not written into any more', async () => {
  await using bench = await Bench.open();
  await job(bench);
  await until(async () => (await linesOf(bench)).at(-1)?.event === 'closed');
  await rename(bench.ledger.folders.journal, `${bench.ledger.folders.journal}-taken`);
  await job(bench);
  await bench.ledger.close();
  assert.deepEqual((await textOf(bench)).trimEnd().split('\n'), events(bench), 'what the database still knows is written anew');
});

test('a ledger that is begun anew in an old directory begins a new chain beside the old one', async () => {
  await using bench = await Bench.open();
  await job(bench);
  await bench.ledger.close();
  const before = await textOf(bench);
  for (const file of ['ledger.sqlite', 'ledger.lock']) await rm(join(bench.settings.directory, file));
  await bench.restart();
  const former = bench.receipts.splice(0);
  await job(bench);
  await bench.ledger.close();
  assert.ok((await textOf(bench)).startsWith(before));
  const named = [...former, ...bench.receipts].map(({ journal }) => journal);
  assert.equal(named[0]?.seq, named[1]?.seq);
  const report = await verifyJournal(bench.ledger.folders.journal, named);
  assert.deepEqual([report.problems, report.sound, report.chains], [[], true, 2]);
  const wrong = { seq: named[0]!.seq, hash: '0'.repeat(64) };
  assert.deepEqual((await verifyJournal(bench.ledger.folders.journal, [...named, wrong])).problems.map(({ problem, seq }) => [problem, seq]), [['anchor', wrong.seq]]);
});

test('a ledger of before goes on in its chain', async () => {
  await using bench = await Bench.open();
  await bench.ledger.close();
  const file = join(bench.settings.directory, 'ledger.sqlite');
  await rm(file);
  const database = new DatabaseSync(file);
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}; ${MIGRATIONS[0]!}; PRAGMA user_version = 1`);
  database.exec("INSERT INTO event (job, name, at, event, hash) VALUES ('x', 'folder-in 0001', 5, 'receiving', 'aa'), ('x', 'folder-in 0001', 6, 'open', 'bb')");
  database.exec("INSERT INTO meta (name, value) VALUES ('chain', 'bb')");
  database.close();
  await rm(bench.ledger.folders.journal, { recursive: true, force: true });
  await bench.restart();
  await job(bench);
  await bench.ledger.close();
  assert.deepEqual((await verifyJournal(bench.ledger.folders.journal, anchors(bench))).first, { seq: 3, prev: 'bb' });
});

test('no line holds a name, a path of a source\'s file, a topic or a UID', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('x', { topic: 'CANARY', issuer: 'CANARY', origin: { path: '/CANARY' } });
  await bench.extract(token, ['1.9.8#a', '1.9.8#b']);
  await bench.ledger.fail(token, new ExdicomError('NO_CONTEXT', { detail: '1.9.8' }));
  await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
  await bench.ledger.close();
  assert.doesNotMatch(await textOf(bench), /CANARY|1\.9\.8/);
});

test('a line whose text and hash do not fit is none, whatever it says', () => {
  const { line } = sealLine({ seq: 1, at: '2026-01-01T00:00:00.000Z', event: 'open', prev: '' });
  assert.equal(openLine(line)?.event, 'open');
  assert.equal(openLine(line.replace('"seq":1', '"seq":2')), undefined);
  assert.equal(openLine(''), undefined);
  assert.equal(rangesOf([3, 1, 2, 7, 9, 8, 7]), '1-3,7-9');
});

test('a journal that is not there is whole and empty', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'exdicom-journal-'));
  try {
    await chmod(folder, 0o700);
    assert.deepEqual(await verifyJournal(join(folder, 'none')), { sound: true, files: 0, lines: 0, chains: 0, torn: false, problems: [] });
    assert.deepEqual((await verifyJournal(folder, [{ seq: 1, hash: 'x' }])).problems, [{ problem: 'missing', seq: 1 }]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
