import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import test from 'node:test';
import { Bench, destination } from './fixture';

const pacs = destination('pacs');

test('only what a profile de-identified, directly or through a chain, may go to a destination', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const original = await bench.extract(token, ['1.1#a']);
  const refused = await bench.ledger.planDeliveries(token.id, pacs, original);
  assert.deepEqual(refused.map(({ state, code }) => [state, code]), [['failed', 'NOT_DEIDENTIFIED']]);
  const transcoded = await bench.prepare(token, original, 'transcode');
  assert.equal((await bench.ledger.planDeliveries(token.id, pacs, transcoded))[0]?.code, 'NOT_DEIDENTIFIED');
  const anonymized = await bench.prepare(token, transcoded);
  const chained = await bench.prepare(token, anonymized.map((file) => ({ ...file, path: file.path })), 'transcode');
  assert.equal((await bench.ledger.planDeliveries(token.id, pacs, anonymized))[0]?.state, 'pending');
  assert.equal((await bench.ledger.planDeliveries(token.id, destination('second'), chained))[0]?.state, 'pending');
  assert.equal((await bench.ledger.planDeliveries(token.id, destination('trusted', true), original))[0]?.state, 'pending');
});

test('a file changed behind the ledger\'s back is no longer de-identified, and one of the flow\'s own never was', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const [file] = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  assert.ok(file !== undefined);
  const own = join(bench.folder, 'report.dcm');
  await writeFile(own, 'the flow made this');
  const { instance: _instance, ...strange } = { ...file, path: own, sopInstanceUID: '9.9' };
  await writeFile(file.path, 'y'.repeat(file.bytes));
  const planned = await bench.ledger.planDeliveries(token.id, pacs, [file, strange]);
  assert.deepEqual(planned.map(({ code }) => code), ['NOT_DEIDENTIFIED', 'NOT_DEIDENTIFIED']);
  const trusted = await bench.ledger.planDeliveries(token.id, destination('trusted', true), [strange]);
  assert.deepEqual([trusted[0]?.file.instance, trusted[0]?.state], [2, 'pending']);
  const again = await bench.ledger.planDeliveries(token.id, destination('trusted', true), [strange]);
  assert.equal(again[0]?.file.instance, 2, 'the same file keeps its number');
});

test('what a message says of a file is not believed where the ledger knows better: its UIDs, its size', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const [file] = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  assert.ok(file !== undefined);
  const altered = { ...file, bytes: 3, sopInstanceUID: '9.9', transferSyntaxUID: '1.2', instance: 7 };
  assert.deepEqual((await bench.ledger.planDeliveries(token.id, pacs, [altered]))[0]?.file, file);
  await writeFile(file.path, 'changed in its place, and longer than before');
  assert.equal((await bench.ledger.planDeliveries(token.id, destination('trusted', true), [file]))[0]?.file.bytes, 44);
});

test('a file that a flow brings becomes the job\'s: copied, numbered by its content, and itself left alone', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const [own] = await bench.extract(token, ['1.1#a']);
  assert.ok(own !== undefined);
  const brought = join(bench.folder, 'PATIENT^NAME.dcm');
  await writeFile(brought, 'the flow made this');
  const { instance: _instance, ...unnumbered } = own;
  const given = [{ ...unnumbered, path: brought, bytes: 18, sopInstanceUID: '9.9' }, unnumbered];
  const [added, known] = await bench.ledger.numberFiles(token.id, given);
  assert.deepEqual(known, own, 'one of the job keeps its number');
  assert.ok(added !== undefined);
  assert.equal(added.instance, 2);
  assert.equal(await readFile(added.path, 'utf8'), 'the flow made this');
  assert.ok(added.path.startsWith(bench.ledger.folders.work) && !added.path.includes('PATIENT'));
  assert.deepEqual(await bench.ledger.numberFiles(token.id, given), [added, known], 'the same content has the same number');
  assert.deepEqual(await readdir(join(added.path, '..')), [basename(added.path)]);
  await writeFile(brought, 'another content');
  assert.equal((await bench.ledger.numberFiles(token.id, given))[0]?.instance, 3);
  await rm(brought);
  await assert.rejects(bench.ledger.numberFiles(token.id, given), { code: 'SOURCE_GONE' });
});

test('a file in the place of another is not that one, also where identified data may go; one that was worked on in its place still is', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const [own, next] = await bench.extract(token, ['1.1#a', '1.2#b']);
  assert.ok(own !== undefined && next !== undefined);
  const other = join(bench.folder, 'other.dcm');
  await writeFile(other, 'made by the flow');
  await writeFile(next.path, 'worked on');
  assert.deepEqual((await bench.ledger.numberFiles(token.id, [{ ...own, path: next.path }, next])).map(({ instance }) => instance), [2, 2]);
  const planned = await bench.ledger.planDeliveries(token.id, { address: 'folder:/elsewhere', label: 'elsewhere', identifiedAllowed: true }, [{ ...own, path: other }, next]);
  assert.deepEqual(planned.map(({ file }) => file.instance), [3, 2]);
});

test('what the ledger recorded of a file counts, not what the message says of it', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const [file] = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  const planned = await bench.ledger.planDeliveries(token.id, pacs, [{ ...file!, sopInstanceUID: '6.6.6', instance: 77 }]);
  assert.deepEqual(planned[0]?.file, file);
});

test('what is verified comes back as verified, in this job, after a restart and in a later job', async () => {
  await using bench = await Bench.open();
  const token = await bench.take('one');
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a', '1.2#b', '1.3#c']));
  await bench.ledger.planDeliveries(token.id, pacs, files);
  await bench.ledger.recordDeliveries(token.id, pacs, [{ instance: 1, state: 'verified', level: 'C-FIND', warned: true, status: '0xB000' }, { instance: 2, state: 'sent' }]);
  await bench.restart();
  const again = await bench.ledger.planDeliveries(token.id, pacs, files);
  assert.deepEqual(again.map(({ state, level, warned }) => [state, level, warned]), [['verified', 'C-FIND', true], ['sent', undefined, false], ['pending', undefined, false]]);

  const later = await bench.take('two');
  const same = await bench.prepare(later, await bench.extract(later, ['1.3#c', '1.1#a', '1.2#b']));
  const known = await bench.ledger.planDeliveries(later.id, pacs, same);
  assert.deepEqual(known.map(({ state, level }) => [state, level]), [['pending', undefined], ['verified', 'C-FIND'], ['sent', undefined]]);
  assert.deepEqual((await bench.ledger.planDeliveries(later.id, destination('other'), same)).map(({ state }) => state), ['pending', 'pending', 'pending']);
});

test('a verified delivery is never taken back by a late answer', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  await bench.deliver(token, pacs, files);
  await bench.ledger.recordDeliveries(token.id, pacs, [{ instance: 1, state: 'failed', code: 'STORE_REFUSED' }]);
  assert.equal((await bench.ledger.planDeliveries(token.id, pacs, files))[0]?.state, 'verified');
});

test('the same UID with other content is a conflict at a destination that has it, and is set aside', async () => {
  await using bench = await Bench.open();
  const first = await bench.take('one');
  await bench.deliver(first, pacs, await bench.prepare(first, await bench.extract(first, ['1.1#a'])));
  const second = await bench.take('two');
  const files = await bench.prepare(second, await bench.extract(second, ['1.1#changed', '1.2#b']));
  const planned = await bench.ledger.planDeliveries(second.id, pacs, files);
  assert.deepEqual(planned.map(({ state, code }) => [state, code]), [['failed', 'UID_CONFLICT'], ['pending', undefined]]);
  assert.deepEqual((await readdir(join(bench.ledger.folders.quarantine, 'folder-in-0002'))).toSorted(), ['000001.dcm', '000001.reason.json']);
  assert.equal(existsSync(files[0]!.path), true, 'another destination may still need it');
  assert.equal((await bench.ledger.planDeliveries(second.id, destination('other'), files))[0]?.state, 'pending');
});

test('of two jobs under way with the same UID and other content the first to be planned has the claim, as long as it is open', async () => {
  await using bench = await Bench.open();
  const [first, second] = [await bench.take('one'), await bench.take('two')];
  const one = await bench.prepare(first, await bench.extract(first, ['1.1#a']));
  const two = await bench.prepare(second, await bench.extract(second, ['1.1#changed']));
  assert.equal((await bench.ledger.planDeliveries(first.id, pacs, one))[0]?.state, 'pending');
  const [late] = await bench.ledger.planDeliveries(second.id, pacs, two);
  assert.deepEqual([late?.state, late?.code], ['failed', 'UID_CONFLICT']);
});

test('a destination that the flow no longer leads to does not hold the job open', async () => {
  await using bench = await Bench.open({ quiet: 150 });
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  await bench.ledger.planDeliveries(token.id, destination('old'), files);
  await bench.ledger.recordDeliveries(token.id, destination('old'), [{ instance: 1, state: 'waiting', code: 'PEER_UNREACHABLE' }]);
  await bench.restart();
  while (bench.source.sent.length === 0) await new Promise(setImmediate);
  const again = bench.source.sent[0]!.token;
  await bench.deliver(again, destination('new'), files);
  assert.deepEqual(await bench.ledger.finish(again, 'finish'), { closed: false, waitingFor: 'left out 1' });
  await bench.closed(1);
  assert.equal(bench.receipts[0]?.job.outcome, 'complete');
  assert.deepEqual(bench.receipts[0].destinations.map(({ label, required, verified, pending }) => [label, required, verified, pending]), [['old', false, 0, 1], ['new', true, 1, 0]]);
});

test('a required destination that is still waiting holds the job, and what it never got is left out', async () => {
  await using bench = await Bench.open({ quiet: 150 }, { required: ['old', 'new'], allowLeftOut: false });
  const token = await bench.take();
  const files = await bench.prepare(token, await bench.extract(token, ['1.1#a']));
  await bench.ledger.planDeliveries(token.id, destination('old'), files);
  await bench.restart({ required: ['old', 'new'], allowLeftOut: false });
  while (bench.source.sent.length === 0) await new Promise(setImmediate);
  await bench.deliver(bench.source.sent[0]!.token, destination('new'), files);
  await bench.ledger.finish(bench.source.sent[0]!.token, 'finish');
  await bench.closed(1);
  assert.deepEqual([bench.receipts[0]?.job.outcome, bench.receipts[0]?.error?.code], ['failed', 'LEFT_OUT']);
});
