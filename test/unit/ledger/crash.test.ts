import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { verifyJournal } from '../../../nodes/engine/ledger/journal';
import { createLedger } from '../../../nodes/engine/ledger/ledger';
import type { Opening } from '../../../nodes/engine/ledger/store';
import { openStore } from '../../../nodes/engine/ledger/store-client';
import type { DicomFile, JobToken } from '../../../nodes/engine/model';
import { Bench, destination, until } from './fixture';

/** Starts a victim and collects the lines it says. */
function victim(mode: string, bench: Bench): { readonly child: ChildProcess; readonly said: string[]; readonly exited: Promise<unknown> } {
  const child = spawn(process.execPath, [join(__dirname, 'victim.js'), mode, bench.settings.directory, join(bench.folder, 'inbox')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said: string[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    said.push(...lines);
  });
  return { child, said, exited: once(child, 'close') };
}

async function reopen(bench: Bench): Promise<void> {
  bench.ledger = createLedger('test-ledger', bench.settings);
  await bench.ledger.open();
}

test('a process killed at any instant loses nothing that the ledger had promised, and leaves no half of anything', async () => {
  await using bench = await Bench.open();
  await bench.ledger.close();
  const promised: string[] = [];
  const lines: number[] = [];
  for (let round = 0; round < 6; round += 1) {
    const mode = round % 3 === 2 ? 'resume' : 'work';
    const { child, said, exited } = victim(mode, bench);
    await until(() => said.some((line) => line.startsWith(mode === 'work' ? 'taken' : 'open')));
    await sleep(Math.random() * 600);
    child.kill('SIGKILL');
    await exited;
    promised.push(...said);

    await reopen(bench);
    const jobs = await bench.ledger.jobs();
    const open = jobs.filter(({ state }) => state !== 'closed');
    const byId = new Map(jobs.map((job) => [job.id as string, job]));
    assert.deepEqual(jobs.filter(({ state }) => state === 'receiving'), []);
    assert.equal(new Set(jobs.map(({ name }) => name)).size, jobs.length);
    const owners = new Set(open.map(({ id }) => id as string));
    assert.deepEqual((await readdir(bench.ledger.folders.work)).filter((name) => !owners.has(name)), []);
    for (const job of open) {
      if (job.state !== 'open') continue;
      for (const item of await bench.ledger.spool(job.id)) assert.equal(createHash('sha256').update(await readFile(item.path)).digest('hex'), job.digest);
      const extraction = await bench.ledger.extraction(job.id, 's');
      if (promised.includes(`extracted ${job.id}`)) assert.ok(extraction !== undefined, 'an extraction that was recorded is there');
      if (extraction === undefined) continue;
      assert.equal(extraction.files.length, 30);
      const { files } = await bench.ledger.prepared(job.id, 'anonymize', 'v', extraction.files);
      const verified = promised.filter((line) => line.startsWith(`verified ${job.id} `)).map((line) => Number(line.split(' ')[2]));
      if (verified.length === 0) continue;
      const planned = await bench.ledger.planDeliveries(job.id, destination('pacs'), files.map(({ file }): DicomFile => file));
      const known = new Set(planned.filter(({ state }) => state === 'verified').map(({ file }) => file.instance));
      assert.deepEqual(verified.filter((instance) => !known.has(instance)), [], 'what was said to be verified is verified');
    }
    for (const line of promised) {
      const [what, id = '', outcome] = line.split(' ');
      if (what === 'taken') assert.ok(byId.has(id), 'a job that was taken is there');
      if (what === 'closed') assert.deepEqual([byId.get(id)?.state, outcome], ['closed', 'complete']);
    }
    const receipts = await Promise.all(jobs.filter(({ state }) => state === 'closed').map(({ id }) => bench.ledger.receipt(id)));
    for (const receipt of receipts) assert.equal(receipt?.balanced, true);
    await bench.ledger.close();
    const journal = await verifyJournal(bench.ledger.folders.journal, receipts.flatMap((receipt) => (receipt === undefined ? [] : [receipt.journal])));
    assert.deepEqual([journal.sound, journal.torn, journal.chains], [true, false, 1], 'the journal has no gap and no double');
    lines.push(journal.lines);
  }
  assert.deepEqual(lines, lines.toSorted((a, b) => a - b));
  assert.ok(promised.some((line) => line.startsWith('verified')), 'the victims came far enough to prove anything');
});

test('a poison job is set aside after three crashes, alone, and an innocent one beside it goes through', async () => {
  await using bench = await Bench.open();
  const [poison, innocent] = [await bench.take('poison'), await bench.take('innocent')];
  await bench.ledger.close();
  const rounds: string[][] = [];
  for (let round = 0; round < 2; round += 1) {
    const { child, said, exited } = victim('poison', bench);
    await until(() => child.exitCode !== null || child.signalCode !== null || (said.includes(`closed ${innocent.id} complete`) && said.filter((line) => line.startsWith(`sent ${poison.id}`)).length === 2));
    child.kill('SIGKILL');
    await exited;
    rounds.push(said);
  }
  const sent = rounds.map((said) => said.filter((line) => line.startsWith('sent')).map((line) => line.split(' ')[1]));
  assert.equal(sent[1]?.[0], poison.id, 'a suspect goes first, and alone');
  assert.equal(sent.flat().filter((id) => id === poison.id).length, 3);
  await reopen(bench);
  bench.attach();
  bench.ledger.started();
  await until(async () => (await bench.ledger.job(poison.id)).state === 'closed');
  assert.equal((await bench.ledger.receipt(poison.id))?.error?.code, 'CONDEMNED');
  assert.equal((await bench.ledger.receipt(innocent.id))?.job.outcome, 'complete');
});

test('the death of a process makes suspects of the jobs at work, and condemns none of them however often it comes', async () => {
  await using bench = await Bench.open();
  const [first, second] = [await bench.take(), await bench.take()];
  await bench.ledger.close();
  const killed = async (...jobs: readonly JobToken[]): Promise<Opening> => {
    const client = await openStore(bench.settings);
    const opening = await client.store.start();
    for (const { id } of jobs) await client.store.attempting(id, 'extract');
    await client.close(1000);
    return opening;
  };
  for (let death = 0; death < 5; death += 1) assert.deepEqual((await killed(first)).condemned, []);
  assert.deepEqual((await killed(first, second)).jobs.map(({ crashes }) => crashes), [1, 0]);
  const { condemned, jobs } = await killed();
  assert.deepEqual([condemned, jobs.map(({ crashes }) => crashes)], [[], [1, 1]]);
  await bench.ledger.close();
});

test('a job whose worker thread crashes three times is condemned with the files that nothing was made of', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const files = await bench.extract(token, ['1.1#a', '1.2#b']);
  await bench.prepare(token, files.slice(0, 1));
  let last = '';
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    await until(() => bench.source.sent.length === attempt - 1);
    const visit = bench.ledger.enter(token, 'anonymize');
    await bench.ledger.attempting(token.id, 'anonymize');
    last = (await bench.ledger.fail(token, new ExdicomError('WORKER_CRASHED'))).kind;
    visit.leave();
  }
  assert.equal(last, 'terminal');
  await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
  const receipt = await bench.ledger.receipt(token.id);
  assert.deepEqual([receipt?.error?.code, receipt?.quarantined], ['CONDEMNED', [{ instance: 2, code: 'CONDEMNED' }]]);
});

test('progress and an orderly end are no crashes', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const files = await bench.extract(token, ['1.1#a', '1.2#b', '1.3#c', '1.4#d', '1.5#e']);
  for (const file of files) {
    bench.ledger.enter(token, 'anonymize');
    await bench.ledger.attempting(token.id, 'anonymize');
    assert.equal((await bench.ledger.fail(token, new ExdicomError('WORKER_CRASHED'))).kind, 'parked');
    await bench.prepare(token, [file]);
    await bench.restart();
  }
  for (let round = 0; round < 4; round += 1) {
    await bench.ledger.attempting(token.id, 'anonymize');
    await bench.restart();
  }
  assert.notEqual((await bench.ledger.job(token.id)).error?.code, 'CONDEMNED');
});

test('a second process is refused the directory, and a killed one holds nothing', async () => {
  await using bench = await Bench.open();
  const refused = victim('work', bench);
  await refused.exited;
  assert.deepEqual(refused.said, ['error LEDGER_LOCKED']);
  await bench.ledger.close();
  const holder = victim('hold', bench);
  await until(() => holder.said.includes('open'));
  const second = createLedger('test-ledger', bench.settings);
  await assert.rejects(second.open(), { code: 'LEDGER_LOCKED' });
  assert.deepEqual([second.status().state, second.status().reason], ['failed', 'LEDGER_LOCKED']);
  holder.child.kill('SIGKILL');
  await holder.exited;
  await second.open();
  assert.equal(second.status().state, 'ready');
  await second.close();
});
