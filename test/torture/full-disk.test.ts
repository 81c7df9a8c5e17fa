import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { instance, zip } from '../support/archives';
import { jobStates, receiptsIn } from '../support/ledger-file';
import { dataSetOf } from '../support/listening';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import { SmallDisk, mountMissing } from '../support/small-disk';
import { amount, figures } from '../support/torture';

const KEY = 'a key of the torture, longer than thirty-two characters';

/** Node-RED with its ledger on one small disk, its destination on another, and its inbox on neither. */
class Site implements AsyncDisposable {
  private constructor(readonly root: string, readonly disk: SmallDisk, readonly target: SmallDisk, readonly red: NodeRed) {}

  static async start(megabytes: number): Promise<Site> {
    const root = mkdtempSync(join(tmpdir(), 'exdicom-full-'));
    const disk = SmallDisk.make(megabytes);
    const target = SmallDisk.make(megabytes);
    // A destination that is not there could be a share that is not mounted: it is waited for, and never made.
    for (const folder of [join(root, 'inbox'), join(target.folder, 'received')]) mkdirSync(folder);
    const flows = mainFlow({ change: { ledger: { directory: join(disk.folder, 'ledger'), reserve: '2' }, in: { folder: join(root, 'inbox') }, out: { folder: join(target.folder, 'received') } } });
    const red = await NodeRed.start({ flows, env: { EXDICOM_DEID_KEY: KEY } });
    // The ledger has made its files, and the reserve that it gives up on a full disk, before the disk is filled.
    await red.until(() => red.status('in') === 'idle');
    return new Site(root, disk, target, red);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.red[Symbol.asyncDispose]();
    this.disk[Symbol.dispose]();
    this.target[Symbol.dispose]();
    rmSync(this.root, { recursive: true, force: true });
  }

  get ledger(): string {
    return join(this.disk.folder, 'ledger');
  }

  drop(name: string, content: Buffer): Promise<void> {
    return drop(this.root, name, content, join(this.root, 'inbox'));
  }

  /** Whether this status has been shown since then. */
  async shows(node: string, text: RegExp, since = 0): Promise<void> {
    await this.red.until(() => this.red.statuses.slice(since).some((status) => status.node === node && text.test(status.text)));
  }

  /** Of the first error that a Catch node got. */
  code(): unknown {
    return (this.red.at('d-catch')[0]?.['error'] as { readonly code?: unknown } | undefined)?.code;
  }

  async finished(jobs: number): Promise<Receipt[]> {
    await this.red.until(() => this.red.at('d-finish').length >= jobs);
    return this.red.at('d-finish').map(({ payload }) => payload as Receipt);
  }

  /** All that was taken in has arrived, once, and nothing is left on the way. */
  async accounted(instances: number, jobs: number): Promise<void> {
    while ((jobStates(this.ledger)['closed'] ?? 0) < jobs || (await filesBelow(join(this.root, 'inbox'))).length > 0) await sleep(200);
    await this.red.until(() => this.red.status('ledger') === 'idle' && this.red.status('in') === 'idle');
    await this.red.stop();
    const receipts = [...receiptsIn(this.ledger).values()];
    assert.deepEqual(receipts.map(({ job, balanced }) => [job.outcome, balanced]), receipts.map(() => ['complete', true]));
    assert.equal(receipts.length, jobs);
    const arrived = (await filesBelow(join(this.target.folder, 'received'))).map((path) => createHash('sha256').update(dataSetOf(join(this.target.folder, 'received', path))).digest('hex'));
    assert.equal(new Set(arrived).size, instances);
    assert.equal(arrived.length, instances, 'each once, and no half file beside it');
    assert.deepEqual(await filesBelow(join(this.ledger, 'work')), []);
    assert.deepEqual(await filesBelow(join(this.ledger, 'failed')), []);
    assert.deepEqual(await filesBelow(join(this.ledger, 'quarantine')), []);
    assert.equal((await filesBelow(join(this.ledger, 'done'))).length, jobs);
    figures('after it', { jobs, instances, 'attempts at most': Math.max(...receipts.map(({ job }) => job.attempts)) });
  }
}

/** Little on the wire, much unpacked: `count` images of nine megabytes. */
const hollow = (study: string, count: number): Buffer =>
  zip(Array.from({ length: count }, (_, n) => ({ name: `${n}`, data: instance({ study, sop: `${study}.${n + 1}`, pixels: Buffer.alloc(9_000_000, n + 1) }), method: 'deflate' as const })));

describe('a full disk under a real Node-RED', { skip: mountMissing(), concurrency: 4 }, () => {
  it('pauses the intake, the ledger and its source say so, and what waited is taken in when there is room', async () => {
    await using site = await Site.start(64);
    site.disk.fill(1_500_000);
    await site.drop('a.zip', await sampleStudy(site.root));
    await site.shows('in', /^waiting/);
    await site.shows('ledger', /disk full/);
    assert.deepEqual(jobStates(site.ledger), {});
    site.disk.free();
    await site.finished(1);
    await site.accounted(24, 1);
  });

  it('in the middle of unpacking parks the job and gives back what it took, others go on, and all arrive when there is room', async () => {
    await using site = await Site.start(160);
    site.disk.fill(22_000_000);
    await site.drop('a.zip', hollow('1.2.3.50', 4));
    await site.red.until(() => site.red.at('d-catch').length > 0);
    assert.equal(site.code(), 'DISK_FULL');
    await site.shows('ledger', /disk full/);
    assert.ok(site.disk.freeBytes > 15_000_000, `${site.disk.freeBytes}`);
    await site.drop('b.zip', await sampleStudy(site.root));
    await site.finished(1);
    // It may be at a try of its own just now, for which there is no room.
    await site.red.until(() => isDeepStrictEqual(jobStates(site.ledger), { closed: 1, parked: 1 }));
    site.disk.free();
    await site.finished(2);
    await site.accounted(4 + 24, 2);
  });

  it('to the last byte while jobs are under way loses none of them', async () => {
    await using site = await Site.start(96);
    const jobs = amount(6, 3);
    for (let n = 0; n < jobs; n += 1) await site.drop(`${n}.zip`, await sampleStudy(site.root));
    for (const node of amount(['d-in', 'd-extract', 'd-anonymize', 'd-out'], ['d-anonymize'])) {
      const before = site.red.at(node).length;
      if (site.red.at('d-finish').length < jobs) await site.red.until(() => site.red.at(node).length > before || site.red.at('d-finish').length >= jobs);
      site.disk.fill();
      await sleep(amount(5000, 2500));
      assert.equal(site.red.exited, undefined);
      site.disk.free();
    }
    await site.finished(jobs);
    await site.accounted(24 * jobs, jobs);
  });

  it('at the destination parks the job with its code, and every instance arrives whole when there is room', async () => {
    await using site = await Site.start(64);
    site.target.fill(600_000);
    await site.drop('a.zip', await sampleStudy(site.root));
    await site.red.until(() => site.red.at('d-catch').length > 0);
    assert.equal(site.code(), 'DISK_FULL');
    assert.equal(site.red.at('d-finish').length, 0);
    site.target.free();
    await site.finished(1);
    await site.accounted(24, 1);
  });
});
