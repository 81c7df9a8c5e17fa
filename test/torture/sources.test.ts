/** What happens to files in a watched folder while somebody works with them, to a pile of jobs at a restart, and where a file system says no. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { mapUid } from '../../nodes/engine/deid/keyed';
import { startFaultScp } from '../support/fault-scp';
import type { FaultScp, FaultScpOptions } from '../support/fault-scp';
import { amount, figures } from '../support/torture';
import { KEY, Tortured, tinyStudy } from '../support/tortured';

const startScp = (options: FaultScpOptions = {}): Promise<FaultScp> => startFaultScp({ echo: true, ...options });
const uidsOf = (scp: FaultScp): string[] => scp.messages.map(({ sopInstanceUID }) => sopInstanceUID);
const noneTwice = (scp: FaultScp): void => { assert.equal(new Set(uidsOf(scp)).size, scp.messages.length, 'nothing is sent twice'); };
const mapped = (uid: string): string => mapUid(Buffer.from(KEY), '', uid);

describe('a file in the watched folder', () => {
  it('that grows with pauses is taken when it is whole, and not before', async () => {
    await using scp = await startScp();
    await using run = await Tortured.start({ port: scp.port });
    const whole = tinyStudy(6);
    const path = join(run.inbox, 'slow.zip');
    for (let part = 0; part < 3; part += 1) {
      writeFileSync(path, whole.subarray(part * 200, part === 2 ? whole.length - 40 : (part + 1) * 200), { flag: 'a' });
      // Longer than it must be stable, so that only the missing end keeps it here.
      await pause(2500);
      assert.deepEqual(run.states(), {});
    }
    writeFileSync(path, whole.subarray(whole.length - 40), { flag: 'a' });
    // The third part began at 400, so what lies there is the whole file.
    assert.equal(readFileSync(path).equals(whole), true);
    const [receipt] = await run.untilClosed(1);
    assert.equal(receipt?.job.outcome, 'complete');
    await run.account(uidsOf(scp));
  });

  it('replaced while its job runs: the job ends on what it took, the new content is a job of its own, and neither original is lost', async () => {
    await using scp = await startScp({ respond: ({ index }) => ({ status: 0, delay: index < 3 ? 700 : 0 }) });
    await using run = await Tortured.start({ port: scp.port });
    const [first, second] = [tinyStudy(6, '1.2.10'), tinyStudy(7, '1.2.20')];
    run.give('study.zip', first);
    await run.until(() => scp.messages.length > 0);
    run.give('study.zip', second);
    const receipts = await run.untilClosed(2);
    assert.deepEqual(receipts.map(({ job: { outcome }, entries }) => [outcome, entries.instance]), [['complete', 6], ['complete', 7]]);
    noneTwice(scp);
    const kept = ['done', 'failed'].flatMap((place) => readdirSync(join(run.data, place), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => readFileSync(join(entry.parentPath, entry.name))));
    assert.ok(kept.some((content) => content.equals(second)));
    assert.deepEqual(new Set(uidsOf(scp)), new Set(receipts.flatMap(({ instances }) => instances.map(({ sopInstanceUID }) => sopInstanceUID))));
  });

  it('dropped again, and again under another name, is delivered once; the others end as duplicates of the first', async () => {
    await using scp = await startScp();
    await using run = await Tortured.start({ port: scp.port });
    const study = tinyStudy(6);
    run.give('study.zip', study);
    await run.untilClosed(1);
    run.give('study.zip', study);
    await run.untilClosed(2);
    run.give('copy of study.zip', study);
    const receipts = await run.untilClosed(3);
    const [first, ...others] = receipts;
    assert.deepEqual(others.map(({ job: { outcome, duplicateOf } }) => [outcome, duplicateOf]), [['duplicate', first?.job.id], ['duplicate', first?.job.id]]);
    assert.equal(scp.messages.length, 6);
    await run.account(uidsOf(scp));
  });
});

describe('a pile of jobs', () => {
  it('at a restart is sent in its order, each once, and the start waits for none of it', async () => {
    const jobs = amount(1000, 40);
    let deaf = true;
    await using scp = await startScp({ associate: () => (deaf ? { reject: [2, 3, 1] } : 'accept') });
    await using run = await Tortured.start({ port: scp.port }, { changes: { 'exdicom-pacs': { probeInterval: '1' }, 'exdicom-folder-in': { stable: '0', interval: '0.2' }, 'exdicom-ledger': { maxParked: '100000', retryDelay: '600', retryCap: '600' } } });
    for (let job = 0; job < jobs; job += 1) run.give(`${String(job).padStart(5, '0')}.zip`, tinyStudy(1, `1.2.${job + 1}`));
    await run.until(() => (run.states()['parked'] ?? 0) === jobs);
    const before = Date.now();
    await run.restart();
    const started = Date.now() - before;
    deaf = false;
    const receipts = await run.untilClosed(jobs);
    assert.ok(receipts.every(({ job: { outcome } }) => outcome === 'complete'));
    noneTwice(scp);
    assert.equal(scp.messages.length, jobs);
    const order = uidsOf(scp);
    const wanted = receipts.toSorted((a, b) => a.job.name.localeCompare(b.job.name, 'en', { numeric: true })).map(({ instances }) => instances[0]?.sopInstanceUID);
    const displaced = order.filter((uid, index) => Math.abs(wanted.indexOf(uid) - index) > 4).length;
    assert.equal(displaced, 0, 'in the order of age, but for those that work side by side');
    figures('restart with a pile', { jobs, 'stop and start in ms': started });
    await run.account(order);
  });
});

describe('a file system that says no', () => {
  it('to moving the original away: the job waits for it, then ends once; nothing is sent again', async () => {
    await using scp = await startScp();
    await using run = await Tortured.start({ port: scp.port });
    // The ledger is open by then: it looks into the folder before.
    run.give('first.zip', tinyStudy(1, '1.2.20'));
    await run.untilClosed(1);
    // Nobody can make a folder where a file lies, whatever the rights.
    const done = join(run.data, 'done');
    renameSync(done, `${done}.away`);
    writeFileSync(done, 'in the way');
    run.give('study.zip', tinyStudy(6));
    await run.until(() => scp.messages.length === 7 && (run.states()['closing'] ?? 0) === 1);
    await pause(3000);
    assert.ok(existsSync(join(run.inbox, 'study.zip')), 'the original stays until it can be moved');
    assert.deepEqual(run.states(), { closed: 1, closing: 1 });
    rmSync(done);
    renameSync(`${done}.away`, done);
    const receipts = await run.untilClosed(2);
    assert.deepEqual(receipts.map(({ job: { outcome } }) => outcome), ['complete', 'complete']);
    assert.equal(scp.messages.length, 7);
    assert.ok(uidsOf(scp).includes(mapped('1.2.10.0')));
    await run.account(uidsOf(scp));
  });
});
