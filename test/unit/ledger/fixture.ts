/** A ledger in a temporary folder with a source that remembers what it was told, and files that stand for DICOM. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  DestinationInfo, Disposition, FinishRule, FoundEntry, Intake, Job, JobSource, Ledger, LedgerSettings, Reason, Receipt,
} from '../../../nodes/engine/ledger/ledger-types';
import { createLedger } from '../../../nodes/engine/ledger/ledger';
import { closePool } from '../../../nodes/engine/workers/pool';
import type { DicomFile, JobToken, OwnPath, Sha256, SourceKey } from '../../../nodes/engine/model';

export const KEY = 'folder:/test/inbox' as SourceKey;

export const sha256 = (content: string | Uint8Array): Sha256 => createHash('sha256').update(content).digest('hex') as Sha256;

export const destination = (name: string, identifiedAllowed = false): DestinationInfo => ({ address: `folder:/${name}`, label: name, identifiedAllowed });

export interface Disposed {
  readonly job: Job;
  readonly origin: unknown;
  readonly disposition: Disposition;
  readonly reason: Reason;
}

/** Waits until it holds; a test that never gets there fails by the runner's own limit. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}

export class TestSource implements JobSource {
  readonly sent: Array<{ readonly token: JobToken; readonly path: string; readonly topic: string | undefined }> = [];
  readonly disposed: Disposed[] = [];
  /** What `dispose` does besides remembering. */
  onDispose: (job: Job) => Promise<void> = () => Promise.resolve();

  constructor(readonly sourceKey: SourceKey = KEY) {}

  send(token: JobToken, path: OwnPath, topic: string | undefined): void {
    this.sent.push({ token, path, topic });
  }

  async dispose(job: Job, origin: unknown, disposition: Disposition, reason: Reason): Promise<void> {
    await this.onDispose(job);
    this.disposed.push({ job, origin, disposition, reason });
  }
}

export class Bench {
  readonly receipts: Receipt[] = [];
  source = new TestSource();
  ledger: Ledger;

  private constructor(readonly folder: string, readonly settings: LedgerSettings) {
    this.ledger = createLedger('test-ledger', settings);
  }

  static async open(overrides: Partial<LedgerSettings> = {}, rule?: FinishRule): Promise<Bench> {
    const folder = await mkdtemp(join(tmpdir(), 'exdicom-ledger-'));
    const bench = new Bench(folder, {
      directory: join(folder, 'ledger'), slots: 4, maxParked: 100, reserve: 0, quiet: 60_000,
      policy: { delay: 20, factor: 2, cap: 1000, jitter: 0, maximumAge: 3_600_000 }, retention: 30, quarantineRetention: 0, journal: { bytes: 10_000_000, days: 30, retention: 0 }, ...overrides,
    });
    await bench.ledger.open();
    bench.attach(rule);
    bench.ledger.started();
    return bench;
  }

  attach(rule: FinishRule = { required: [], allowLeftOut: false }): void {
    this.ledger.attachSource(this.source);
    this.ledger.attachFinisher('finish', rule, (receipt) => { this.receipts.push(receipt); });
  }

  /** What a deploy of everything, or a restart, does: the ledger closes and another opens the same directory. */
  async restart(rule?: FinishRule): Promise<void> {
    const before = this.ledger;
    this.ledger = createLedger('test-ledger', this.settings);
    const closing = before.close();
    await this.ledger.open();
    await closing;
    this.source = new TestSource();
    this.attach(rule);
    this.ledger.started();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ledger.close();
    await closePool();
    await rm(this.folder, { recursive: true, force: true });
  }

  async file(name: string, content: string | Uint8Array): Promise<Intake['items'][number]> {
    const path = join(this.folder, name);
    await writeFile(path, content);
    const { size, mtimeMs } = await stat(path);
    return { path, name, bytes: size, mtimeMs };
  }

  async intake(content: string = randomUUID(), more: Partial<Intake> = {}): Promise<Intake> {
    const name = `${randomUUID()}.zip`;
    return { sourceKey: this.source.sourceKey, kind: 'archive', prefix: 'folder-in', items: [await this.file(name, content)], origin: { name }, ...more };
  }

  /** Takes a job in and sends it once, as a source does. */
  async take(content?: string, more?: Partial<Intake>): Promise<JobToken> {
    const taken = await this.ledger.take(await this.intake(content, more), new AbortController().signal);
    if (taken.kind !== 'job') throw new Error(`not taken: ${JSON.stringify(taken)}`);
    return taken.token;
  }

  /** Files of the job's own, as `extract` would find them. `uid#content` in each: same UID and content is a duplicate. */
  async entries(token: JobToken, instances: readonly string[], others: readonly FoundEntry[] = [], first = 1): Promise<FoundEntry[]> {
    const folder = await this.ledger.stageFolder(token.id, 'extract');
    const found = await Promise.all(instances.map(async (instance, index): Promise<FoundEntry> => {
      const [uid = '', content = ''] = instance.split('#');
      const bytes = Buffer.from(`${uid}#${content}`);
      const path = join(folder, `${String(first + index).padStart(6, '0')}.dcm`) as OwnPath;
      await writeFile(path, bytes);
      return {
        kind: 'instance', name: `PATIENT/${index}`, bytes: bytes.length,
        file: {
          path, bytes: bytes.length, sha256: sha256(bytes), dataSetSha256: sha256(content), patient: 'p1', sopClassUID: '1.2.840.10008.5.1.4.1.1.2',
          sopInstanceUID: uid, seriesInstanceUID: '1.2.3.1', studyInstanceUID: '1.2.3', transferSyntaxUID: '1.2.840.10008.1.2.1', modality: 'CT',
        },
      };
    }));
    return [...found, ...others];
  }

  async extract(token: JobToken, instances: readonly string[], others?: readonly FoundEntry[]): Promise<readonly DicomFile[]> {
    return (await this.ledger.recordExtraction(token.id, 'settings', await this.entries(token, instances, others))).files;
  }

  /** New files from old ones, with new UIDs, as a stage makes them. */
  async prepare(token: JobToken, files: readonly DicomFile[], stage: 'anonymize' | 'transcode' = 'anonymize', profile: string | undefined = stage === 'anonymize' ? 'basic' : undefined): Promise<DicomFile[]> {
    const folder = await this.ledger.stageFolder(token.id, stage);
    const made = await Promise.all(files.map(async (file) => {
      const content = `${stage} ${await readFile(file.path, 'utf8')}`;
      const path = join(folder, `${String(file.instance).padStart(6, '0')}.dcm`) as OwnPath;
      await writeFile(path, content);
      const uid = stage === 'anonymize' ? `2.25.${BigInt(`0x${sha256(file.sopInstanceUID).slice(0, 24)}`)}` : file.sopInstanceUID;
      return { instance: file.instance!, from: file.path as OwnPath, path, sha256: sha256(content), bytes: content.length, file: { ...file, path, bytes: content.length, sopInstanceUID: uid } };
    }));
    await this.ledger.recordPreparation(token.id, { stage, settings: 'v1', files: made, quarantined: [], ...(profile === undefined ? {} : { profile }) });
    return made.map(({ file }) => file);
  }

  /** Plans, and says that everything pending was stored and verified. */
  async deliver(token: JobToken, to: DestinationInfo, files: readonly DicomFile[]): Promise<number> {
    const planned = await this.ledger.planDeliveries(token.id, to, files);
    const pending = planned.filter(({ state }) => state === 'pending' || state === 'sent');
    await this.ledger.recordDeliveries(token.id, to, pending.map(({ file }) => ({ instance: file.instance, state: 'verified', level: 'digest' })));
    return pending.length;
  }

  closed(count: number): Promise<void> {
    return until(() => this.receipts.length >= count);
  }
}

export const notDicom = (name = 'readme.txt'): FoundEntry => ({ kind: 'not-dicom', name, bytes: 3 });
