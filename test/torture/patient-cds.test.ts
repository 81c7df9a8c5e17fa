import assert from 'node:assert/strict';
import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { dicomdir, instance, rar, rarVolumes, zip } from '../support/archives';
import type { ZipSpec } from '../support/archives';
import { receiptsIn } from '../support/ledger-file';
import { drop, filesBelow, mainFlow } from '../support/main-flow';
import type { MainFlow } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import { amount } from '../support/torture';
import { takeApart } from '../support/dicom-pieces';
import { readFile as readDicom } from '../unit/dicom/reading';

const STUDY = '1.2.3.40';
const image = (n: number, pixels = 64, fill = n): Buffer => instance({ study: STUDY, sop: `${STUDY}.${n}`, patientId: 'CD-1', pixels: Buffer.alloc(pixels, fill) });
const PROGRAM = Buffer.concat([Buffer.from('MZ'), Buffer.alloc(5000, 0x90), Buffer.from('This program cannot be run in DOS mode.')]);
const JPEG = Buffer.concat([Buffer.from('ffd8ffe000104a46494600010100000100010000', 'hex'), Buffer.alloc(3000, 0x55), Buffer.from('ffd9', 'hex')]);

/** What lies on a patient's CD beside its images. */
const JUNK: readonly ZipSpec[] = [
  { name: 'AUTORUN.INF', data: Buffer.from('[autorun]\r\nopen=VIEWER\\VIEWER.EXE\r\n') }, { name: 'VIEWER/VIEWER.EXE', data: PROGRAM }, { name: 'VIEWER/CORE.DLL', data: PROGRAM }, { name: 'README.TXT', data: Buffer.from('Open VIEWER.EXE') },
  { name: 'COVER.JPG', data: JPEG }, { name: 'VIEWER/CACHE/00000001', data: JPEG }, { name: 'INDEX.HTM', data: Buffer.from('<html>') }, { name: '__MACOSX/._IM1', data: Buffer.from('0005160700020000', 'hex') }, { name: '.DS_Store', data: Buffer.from('00000001427564310000', 'hex') },
  { name: 'EMPTY', data: Buffer.alloc(0) }, { name: 'IMAGES/', data: Buffer.alloc(0) },
];
const FILES = JUNK.length - 1;

const references = (...names: readonly string[]): Buffer => dicomdir(names.map((name) => name.replaceAll('/', '\\')));

class Site implements AsyncDisposable {
  private constructor(readonly red: NodeRed) {}

  static async start(options: MainFlow = {}): Promise<Site> {
    const site = new Site(await NodeRed.start({ flows: mainFlow(options), env: { EXDICOM_DEID_KEY: 'a key of the torture, longer than thirty-two characters' } }));
    await site.red.until(() => site.red.status('in') === 'idle');
    return site;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.red[Symbol.asyncDispose]();
  }

  get data(): string {
    return join(this.red.userDir, 'data');
  }

  drop(name: string, content: Buffer): Promise<void> {
    return drop(this.red.userDir, name, content);
  }

  /** Waits until so many jobs are closed; every receipt adds up. */
  async closed(count: number): Promise<Receipt[]> {
    while (receiptsIn(this.data).size < count || (await filesBelow(join(this.data, 'inbox'))).length > 0) {
      await sleep(100);
      assert.equal(this.red.exited, undefined);
    }
    const receipts = [...receiptsIn(this.data).values()].toSorted((a, b) => (a.openedAt < b.openedAt ? -1 : 1));
    assert.equal(receipts.length, count);
    for (const { job, balanced } of receipts) assert.ok(balanced, job.name);
    return receipts;
  }

  async arrived(): Promise<Buffer[]> {
    return Promise.all((await filesBelow(join(this.data, 'received'))).map((path) => readFile(join(this.data, 'received', path))));
  }
}

const entriesOf = ({ entries }: Receipt): Readonly<Record<string, number>> => Object.fromEntries(Object.entries(entries).filter(([, count]) => count > 0));
const outcomes = (receipts: readonly Receipt[]): readonly string[] => receipts.map(({ job }) => job.outcome);
const patientOf = (file: Buffer): string => {
  const found = takeApart(readDicom(file).dataSet, 'explicit').find(({ tag }) => tag === 0x00100020)?.value;
  return Buffer.isBuffer(found) ? found.toString('latin1').trim() : '';
};

describe('a patient\'s CD', { concurrency: 3 }, () => {
  it('is complete with its index, programs, pictures and copies: every file is accounted for, every image arrives once', async () => {
    await using site = await Site.start();
    const images = [1, 2, 3].map((n) => ({ name: `IMAGES/IM${n}`, data: image(n) }));
    await site.drop('cd.zip', zip([{ name: 'DICOMDIR', data: references('IMAGES/IM1', 'IMAGES/IM2', 'IMAGES/IM3') }, ...JUNK, ...images, { name: 'COPY/IM1', data: image(1) }, { name: 'COPY/IM2.dcm', data: image(2) }]));
    const [receipt] = await site.closed(1);
    assert.deepEqual(entriesOf(receipt!), { total: 1 + FILES + 5, instance: 3, index: 1, 'not-dicom': FILES, duplicate: 2 });
    assert.equal(receipt!.job.outcome, 'complete');
    assert.equal((await site.arrived()).length, 3);
    assert.deepEqual(await filesBelow(join(site.data, 'work')), []);
  });

  it('as a folder is the same', async () => {
    await using site = await Site.start();
    const folder = join(site.red.userDir, 'CD');
    for (const { name, data } of [{ name: 'DICOMDIR', data: references('IMAGES/IM1', 'IMAGES/IM2') }, ...JUNK.filter(({ name: path }) => !String(path).endsWith('/') && !String(path).startsWith('.')), { name: 'IMAGES/IM1', data: image(1) }, { name: 'IMAGES/IM2', data: image(2) }]) {
      await mkdir(join(folder, String(name), '..'), { recursive: true });
      await writeFile(join(folder, String(name)), data);
    }
    await rename(folder, join(site.data, 'inbox', 'CD'));
    const [receipt] = await site.closed(1);
    const { instance: instances, index, unreadable } = receipt!.entries;
    assert.deepEqual([instances, index, unreadable, receipt!.job.outcome], [2, 1, 0, 'complete']);
  });

  it('whose index names what is not there says so, and what is there arrives', async () => {
    await using site = await Site.start();
    await site.drop('cd.zip', zip([{ name: 'DICOMDIR', data: references('IMAGES/IM1', 'IMAGES/IM9') }, { name: 'IMAGES/IM1', data: image(1) }]));
    const [receipt] = await site.closed(1);
    assert.deepEqual(entriesOf(receipt!), { total: 2, instance: 1, index: 1 });
    const extracted = site.red.at('d-extract')[0]?.['extracted'] as { readonly skipped: ReadonlyArray<{ readonly code: string }> } | undefined;
    assert.deepEqual(extracted?.skipped.map(({ code }) => code), ['INCOMPLETE_MEDIA']);
  });

  it('with a lossy copy under the same UID keeps the first and sets the other aside; a copy with UIDs of its own arrives beside it', async () => {
    await using site = await Site.start();
    await site.drop('cd.zip', zip([{ name: 'A/IM1', data: image(1, 4096) }, { name: 'LOSSY/IM1', data: image(1, 300, 77) }, { name: 'LOSSY/IM2', data: image(2, 300, 77) }, { name: 'B/IM1', data: image(1, 4096) }]));
    const [receipt] = await site.closed(1);
    assert.deepEqual(entriesOf(receipt!), { total: 4, instance: 2, duplicate: 1, conflict: 1 });
    assert.equal(receipt!.job.outcome, 'with-exceptions');
    assert.deepEqual(receipt!.quarantined.map(({ code }) => code), ['UID_CONFLICT']);
    assert.deepEqual((await site.arrived()).map(({ length }) => (length > 4000 ? 'whole' : 'lossy')).toSorted((a, b) => (a < b ? -1 : 1)), ['lossy', 'whole']);
    assert.equal((await filesBelow(join(site.data, 'quarantine'))).filter((path) => path.endsWith('.dcm')).length, 1);
    assert.ok((await filesBelow(join(site.data, 'failed'))).some((path) => path.endsWith('/cd.zip')));
  });
});

describe('two patients in one archive', { concurrency: 3 }, () => {
  const both = zip(['ONE', 'TWO'].flatMap((patientId, p) => [1, 2].map((n) => ({ name: `${patientId}/${n}`, data: instance({ patientId, study: `1.2.3.5${p}`, sop: `1.2.3.5${p}.${n}` }) }))));

  for (const [patients, messages] of amount([['go-on', 1], ['split', 2]] as const, [['split', 2]] as const)) {
    it(`are kept apart and all arrive (${patients})`, async () => {
      await using site = await Site.start({ change: { extract: { patients } } });
      await site.drop('both.zip', both);
      const [receipt] = await site.closed(1);
      assert.equal(receipt!.job.outcome, 'complete');
      assert.equal(site.red.at('d-extract').length, messages);
      const pseudonyms = (await site.arrived()).map(patientOf);
      assert.equal(pseudonyms.length, 4);
      assert.equal(new Set(pseudonyms).size, 2);
      assert.ok(pseudonyms.every((pseudonym) => pseudonym !== '' && pseudonym !== 'ONE' && pseudonym !== 'TWO'));
    });
  }

  it('fail the job with nothing sent, where the node is set to stop', async () => {
    await using site = await Site.start({ change: { extract: { patients: 'stop' } } });
    await site.drop('both.zip', both);
    const [receipt] = await site.closed(1);
    assert.deepEqual([receipt!.job.outcome, receipt!.error?.code], ['failed', 'SEVERAL_PATIENTS']);
    assert.deepEqual(await site.arrived(), []);
  });
});

describe('three volumes', { concurrency: 3 }, () => {
  const specs = [1, 2, 3, 4].map((n) => ({ name: `IM${n}`, data: image(n, 4000) }));
  const whole = rar(specs);
  const zipped = zip(specs);
  const thirds = (bytes: Buffer): Buffer[] => [0, 1, 2].map((n) => bytes.subarray(Math.floor(bytes.length / 3) * n, n === 2 ? undefined : Math.floor(bytes.length / 3) * (n + 1)));
  const sets = {
    'part1.rar, part2.rar, part3.rar': rarVolumes(specs, 6000).map((bytes, n) => [`s.part${n + 1}.rar`, bytes] as const),
    'rar.001, rar.002, rar.003': thirds(whole).map((bytes, n) => [`s.rar.00${n + 1}`, bytes] as const),
    'zip.001, zip.002, zip.003': thirds(zipped).map((bytes, n) => [`s.zip.00${n + 1}`, bytes] as const),
  };

  for (const [what, volumes] of Object.entries(sets).slice(amount(0, -1))) {
    it(`that arrive out of order and slowly are one job (${what})`, async () => {
      assert.equal(volumes.length, 3);
      await using site = await Site.start();
      const inbox = join(site.data, 'inbox');
      for (const [name, bytes] of [volumes[2]!, volumes[0]!, volumes[1]!]) {
        // In pieces, with pauses longer than what counts as quiet.
        for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 2)) {
          await appendFile(join(inbox, name), bytes.subarray(at, at + Math.ceil(bytes.length / 2)));
          await sleep(700);
          assert.equal(site.red.at('d-in').length > 0 && name !== volumes[1]![0], false, 'nothing is taken before all is there');
        }
      }
      const [receipt] = await site.closed(1);
      assert.equal(receipt!.job.outcome, 'complete');
      assert.deepEqual(entriesOf(receipt!), { total: 4, instance: 4 });
      assert.equal((await site.arrived()).length, 4);
      assert.deepEqual((await filesBelow(join(site.data, 'done'))).length, 3);
    });
  }

  it('of which one never comes fail as MISSING_VOLUME, and complete when they are dropped again with it', async () => {
    await using site = await Site.start({ change: { in: { maxWait: '0.02' } } });
    const volumes = sets['part1.rar, part2.rar, part3.rar'];
    for (const [name, bytes] of [volumes[0]!, volumes[2]!]) await site.drop(name, bytes);
    const [first] = await site.closed(1);
    assert.deepEqual([first!.job.outcome, first!.error?.code], ['failed', 'MISSING_VOLUME']);
    for (const [name, bytes] of volumes) await site.drop(name, bytes);
    assert.deepEqual(outcomes(await site.closed(2)), ['failed', 'complete']);
    assert.equal((await site.arrived()).length, 4);
  });
});

describe('the same archive again', { concurrency: 3 }, () => {
  const archive = zip([1, 2, 3].map((n) => ({ name: `IM${n}`, data: image(n) })));

  it('under its name, renamed, and with other bytes around the same images: nothing arrives twice', async () => {
    await using site = await Site.start();
    await site.drop('cd.zip', archive);
    const [first] = await site.closed(1);
    await site.drop('cd.zip', archive);
    await site.closed(2);
    await site.drop('renamed.zip', archive);
    const receipts = await site.closed(3);
    assert.deepEqual(outcomes(receipts), ['complete', 'duplicate', 'duplicate']);
    assert.deepEqual(receipts.slice(1).map(({ job }) => job.duplicateOf), [first!.job.id, first!.job.id]);
    // Another archive of the same images is a job of its own, whose images are at the destination already.
    await site.drop('packed-again.zip', zip([1, 2, 3].map((n) => ({ name: `IM${n}`, data: image(n), method: 'deflate' as const }))));
    assert.equal((await site.closed(4)).at(-1)?.job.outcome, 'complete');
    assert.equal((await site.arrived()).length, 3);
    assert.equal((await filesBelow(join(site.data, 'done'))).length, 4);
  });

  it('while it is under way is a duplicate of it', async () => {
    const delay = { id: 'delay', type: 'delay', z: 'f', pauseType: 'delay', timeout: '3', timeoutUnits: 'seconds', wires: [['anonymize']] };
    await using site = await Site.start({ change: { extract: { wires: [['delay', 'd-extract']] }, ledger: { quiet: '10' } }, add: [delay] });
    await site.drop('cd.zip', archive);
    await site.red.until(() => site.red.at('d-extract').length > 0);
    await site.drop('again.zip', archive);
    const receipts = await site.closed(2);
    assert.deepEqual(outcomes(receipts), ['complete', 'duplicate']);
    assert.equal(receipts[1]!.job.duplicateOf, receipts[0]!.job.id);
    assert.equal((await site.arrived()).length, 3);
  });

  it('after it has failed runs again', async () => {
    const flow = (maxEntries: string): MainFlow => ({ change: { extract: { maxEntries } } });
    await using site = await Site.start(flow('2'));
    await site.drop('cd.zip', archive);
    const [first] = await site.closed(1);
    assert.deepEqual([first!.job.outcome, first!.error?.code], ['failed', 'LIMIT_ENTRIES']);
    await site.red.deploy(mainFlow(flow('100')));
    await site.drop('cd.zip', archive);
    assert.deepEqual(outcomes(await site.closed(2)), ['failed', 'complete']);
    assert.equal((await site.arrived()).length, 3);
  });
});
