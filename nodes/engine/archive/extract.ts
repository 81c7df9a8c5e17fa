/**
 * Unpacks what a job took in into numbered DICOM files in its work folder, and accounts for everything that was in it. Runs on
 * the main thread and touches no byte: files are looked at, listed and unpacked by tasks, in shares that two workers divide
 * between them.
 */
import { randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ExdicomError, toExdicomError } from '../errors';
import type { Extraction, FoundEntry, Ledger, SpooledItem } from '../ledger/ledger-types';
import type { JobToken, OwnPath, Sha256 } from '../model';
import { turns } from '../turns';
import { runTask } from '../workers/pool';
import type { TaskInput, TaskName, TaskOutput } from '../workers/tasks';
import type { ArchiveFormat } from './format';
import { mediaNames, missingReferences } from './media';
import { settingsDigest } from './settings';
import type { ExtractSettings } from './settings';
import type { SettleContext, Settled } from './settle';
import { isVolumeName, lacksVolume, mayContinue, mayLackLast, volumeSets } from './volumes';

export interface ExtractContext {
  readonly signal: AbortSignal;
  /** Entries so far, and in all as far as that is known. */
  progress(done: number, total?: number): void;
}

/** Workers that one job may keep busy; others work for other jobs. */
const LANES = 2;
const FILES_PER_TASK = 100;
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Unpacks the job, or returns at once what an earlier attempt recorded under the same settings.
 * @throws {ExdicomError} what concerns the job as a whole: NEEDS_PASSWORD, ARCHIVE_DAMAGED, MISSING_VOLUME, UNSUPPORTED_ARCHIVE,
 * a LIMIT_ code, ARCHIVE_EMPTY, NO_DICOM, SEVERAL_PATIENTS, and errors of the disk. A bad entry among good ones is no error:
 * it is accounted for in the extraction. @throws the signal's reason.
 */
export function extract(ledger: Ledger, token: JobToken, settings: ExtractSettings, context: ExtractContext): Promise<Extraction> {
  return turns.during(`${token.id} extract`, context.signal, () => extractInTurn(ledger, token, settings, context));
}

async function extractInTurn(ledger: Ledger, token: JobToken, settings: ExtractSettings, context: ExtractContext): Promise<Extraction> {
  try {
    const digest = settingsDigest(settings);
    const known = await ledger.extraction(token.id, digest);
    if (known !== undefined) return judge(known, settings);

    const apart = await ledger.attempting(token.id, 'extract');
    const [job, items, folder] = await Promise.all([ledger.job(token.id), ledger.spool(token.id), ledger.stageFolder(token.id, 'extract')]);
    await keepOnly(folder, new Set());
    // Those given by hand for this job first.
    const passwords = [...ledger.passwords(token.id), ...settings.passwords];
    const unpacking = new Unpacking({ ...settings, passwords }, { folder, salt: randomBytes(16).toString('hex'), issuer: job.issuer ?? '' }, { ...context, apart }, () => ledger.progressed(token.id, 'extract'));
    const entries = await unpacking.all(items).catch(async (thrown: unknown) => {
      // What there is of it is of no use to the next attempt, and may be what has filled the disk.
      await keepOnly(folder, new Set()).catch(() => undefined);
      throw thrown;
    });
    await keepOnly(folder, new Set(entries.flatMap(({ file }) => (file === undefined ? [] : [file.path]))));
    return judge(await ledger.recordExtraction(token.id, digest, entries), settings);
  } catch (thrown) {
    if (context.signal.aborted && thrown === context.signal.reason) throw thrown;
    throw toExdicomError(thrown, { job: token.name });
  }
}

/** Only instances stay on disk: nothing of an attempt that ended early, and no archive that was inside another. */
async function keepOnly(folder: string, wanted: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!wanted.has(path)) await rm(path, { recursive: true, force: true });
  }
}

/** What the recorded result means for the job. */
function judge(extraction: Extraction, settings: ExtractSettings): Extraction {
  const { entries, instances, patients, skipped } = extraction.summary;
  if (entries === 0) throw new ExdicomError('ARCHIVE_EMPTY');
  if (instances === 0) {
    // Where entries could not be read nobody knows that they are not DICOM; the most frequent reason is told.
    const counts = new Map<string, number>();
    for (const { code } of skipped) if (code !== 'INDEX' && code !== 'NOT_DICOM' && code !== 'UNSUPPORTED_ARCHIVE') counts.set(code, (counts.get(code) ?? 0) + 1);
    const otherwise = skipped.some((entry) => entry.code === 'UNSUPPORTED_ARCHIVE') ? 'UNSUPPORTED_ARCHIVE' : 'NO_DICOM';
    const [code] = [...counts].sort(([, a], [, b]) => b - a)[0] ?? [otherwise];
    throw toExdicomError({ code });
  }
  if (settings.patients === 'stop' && patients > 1) throw new ExdicomError('SEVERAL_PATIENTS');
  return extraction;
}

/** What concerns one archive and not the job: an archive among other files becomes an unreadable entry by it. */
function costsOnlyItself(thrown: unknown): thrown is ExdicomError {
  return thrown instanceof ExdicomError && thrown.stage === 'extract' && !thrown.retryable && thrown.code !== 'NEEDS_PASSWORD' && thrown.code !== 'LIMIT_TIME';
}

interface InnerArchive {
  readonly paths: readonly OwnPath[];
  readonly format: ArchiveFormat;
  readonly name: string;
  readonly n: number;
  readonly bytes: number;
  /** Archives around it. */
  readonly depth: number;
  /** Whether a volume is missing, as far as names tell; `perhaps` the last. */
  readonly lacks: 'nothing' | 'perhaps' | 'volume';
  /** Whether it is all that the job has: then its error is the job's. */
  readonly sole: boolean;
}

/** What is there of an archive whose other volumes are not. */
const missing = ({ n, name, bytes }: Settled): Settled => ({ kind: 'unreadable', n, name, bytes, code: 'MISSING_VOLUME' });

/** @param volumes of one archive, in order. */
function archiveOf(volumes: ReadonlyArray<Pick<SpooledItem, 'path' | 'name' | 'n' | 'bytes'>>, common: Pick<InnerArchive, 'format' | 'depth' | 'sole'>): InnerArchive {
  const { name, n } = volumes[0]!;
  return {
    ...common, name, n,
    paths: volumes.map(({ path }) => path),
    bytes: volumes.reduce((sum, { bytes }) => sum + bytes, 0),
    lacks: lacksVolume(volumes.map((volume) => volume.name)) ? 'volume' : mayLackLast(volumes) ? 'perhaps' : 'nothing',
  };
}

class Unpacking {
  readonly #deadline: number;
  readonly #found: Settled[] = [];
  /** Numbers given to entries so far. */
  #numbers = 0;
  #entries = 0;
  #bytes = 0;
  #done = 0;
  /** Entries of shares that are not finished. */
  readonly #running = new Map<number, number>();
  #progressedAt = 0;

  constructor(
    private readonly settings: ExtractSettings,
    private readonly context: SettleContext,
    private readonly caller: ExtractContext & { readonly apart: boolean },
    private readonly progressed: () => Promise<void>,
  ) {
    this.#deadline = performance.now() + settings.limits.milliseconds;
  }

  async all(items: readonly SpooledItem[]): Promise<readonly FoundEntry[]> {
    const sets = volumeSets(items.map(({ name }) => name)).map((set) => set.map((index) => items[index]!));
    this.#numbers = items.length;
    const archives = await this.#look(sets);
    // In order, so that the same source is always numbered the same way.
    for (const archive of archives) await this.#open(archive);
    await this.#compareSameUids();
    return this.#account();
  }

  /** Files of one SOP Instance UID that differ are told apart by their data sets, which the ledger judges; others need no second digest. */
  async #compareSameUids(): Promise<void> {
    const instances = this.#found.filter((found) => found.kind === 'instance');
    const differing = [...Map.groupBy(instances, ({ file }) => file.sopInstanceUID).values()]
      .filter((same) => new Set(same.map(({ file }) => file.sha256)).size > 1).flat().filter(({ file }) => file.dataSetSha256 === undefined);
    const tasks = Array.from({ length: Math.ceil(differing.length / FILES_PER_TASK) }, (_, i) => differing.slice(i * FILES_PER_TASK, (i + 1) * FILES_PER_TASK));
    const compared = new Map<number, Sha256>();
    await this.#inLanes(tasks, async (files) => {
      const digests = await this.#run('archive.dataSets', { paths: files.map(({ file }) => file.path) });
      for (const [i, { n }] of files.entries()) compared.set(n, digests[i]!);
    });
    for (const [i, found] of this.#found.entries()) {
      const dataSetSha256 = compared.get(found.n);
      if (found.kind === 'instance' && dataSetSha256 !== undefined) this.#found[i] = { ...found, file: { ...found.file, dataSetSha256 } };
    }
  }

  async #run<N extends TaskName>(name: N, input: TaskInput<N>, onProgress?: (done: number) => void): Promise<TaskOutput<N>> {
    const left = Math.ceil(this.#deadline - performance.now());
    if (left <= 0) throw new ExdicomError('LIMIT_TIME');
    try {
      return await runTask(name, input, { signal: this.caller.signal, timeLimit: Math.min(left, LONGEST_TIMER), apart: this.caller.apart, ...(onProgress === undefined ? {} : { onProgress }) });
    } catch (thrown) {
      if (thrown instanceof ExdicomError && thrown.code === 'WORKER_TIMEOUT') throw new ExdicomError('LIMIT_TIME', { origin: thrown });
      throw thrown;
    }
  }

  #tell(): void {
    const running = [...this.#running.values()].reduce((sum, done) => sum + done, 0);
    this.caller.progress(this.#done + running, Math.max(this.#entries, this.#done + running));
  }

  async #step(entries: number): Promise<void> {
    this.#done += entries;
    this.#tell();
    // The ledger counts crashes, not entries: once a second is enough.
    if (performance.now() - this.#progressedAt < 1000) return;
    this.#progressedAt = performance.now();
    await this.progressed();
  }

  /** Tells plain files from archives. */
  async #look(sets: ReadonlyArray<readonly SpooledItem[]>): Promise<readonly InnerArchive[]> {
    const sole = sets.length === 1;
    const archives: InnerArchive[] = [];
    const plain: SpooledItem[] = [];
    /** Numbers of files that may be what is there of a set. */
    const parts = new Set<number>();
    for (const set of sets) {
      const format = set.length === 1 ? undefined : await this.#run('archive.format', { paths: set.map(({ path }) => path) });
      if (format !== undefined) { archives.push(archiveOf(set, { format, sole, depth: 0 })); continue; }
      plain.push(...set);
      if (lacksVolume(set.map(({ name }) => name))) for (const { n, name } of set) if (mayContinue(name)) parts.add(n);
    }
    const tasks = Array.from({ length: Math.ceil(plain.length / FILES_PER_TASK) }, (_, i) => plain.slice(i * FILES_PER_TASK, (i + 1) * FILES_PER_TASK));
    await this.#inLanes(tasks, async (items) => {
      const files = items.map(({ path, name, n }) => ({ path, name, n, behind: sole || isVolumeName(name) || /\.(?:zip|rar)$/iu.test(name) }));
      for (const found of await this.#run('archive.files', { files, context: this.context })) {
        if (sole && found.kind === 'not-dicom' && found.code === 'UNSUPPORTED_ARCHIVE') throw new ExdicomError('UNSUPPORTED_ARCHIVE');
        if (found.kind === 'archive') archives.push(archiveOf([found], { format: found.format, sole, depth: 0 }));
        else {
          this.#count(1, found.bytes);
          this.#found.push(parts.has(found.n) && found.kind === 'not-dicom' ? missing(found) : found);
        }
      }
      await this.#step(items.length);
    });
    return archives.sort((a, b) => a.n - b.n);
  }

  #count(entries: number, bytes: number): void {
    this.#entries += entries;
    this.#bytes += bytes;
    if (this.#entries > this.settings.limits.entries) throw new ExdicomError('LIMIT_ENTRIES', { detail: `${this.#entries}` });
    if (this.#bytes > this.settings.limits.bytes) throw new ExdicomError('LIMIT_BYTES', { detail: `${this.#bytes}` });
  }

  async #open(archive: InnerArchive): Promise<void> {
    let inner: readonly InnerArchive[];
    try {
      inner = await this.#unpack(archive);
    } catch (thrown) {
      if (archive.sole || !costsOnlyItself(thrown)) throw thrown;
      const { n, name, bytes } = archive;
      this.#entries += 1;
      this.#found.push({ kind: 'unreadable', n, name, bytes, code: thrown.code });
      return;
    }
    for (const next of inner) {
      if (next.depth <= this.settings.depth) await this.#open(next);
      else this.#found.push({ kind: 'unreadable', n: next.n, name: next.name, bytes: next.bytes, code: 'LIMIT_DEPTH' });
      await Promise.all(next.paths.map((path) => rm(path, { force: true })));
    }
  }

  /** @returns the archives that lie in this one. */
  async #unpack(archive: InnerArchive): Promise<readonly InnerArchive[]> {
    if (archive.lacks === 'volume') throw new ExdicomError('MISSING_VOLUME');
    const { limits, encodings, passwords } = this.settings;
    const { paths, format, depth } = archive;
    const common = { paths, format, limits, encodings, passwords };
    const remaining = { entries: limits.entries - this.#entries, bytes: limits.bytes - this.#bytes };
    const listing = await this.#run('archive.list', { ...common, remaining }).catch((thrown: unknown) => {
      const cut = archive.lacks === 'perhaps' && thrown instanceof ExdicomError && thrown.code === 'ARCHIVE_DAMAGED';
      throw cut ? new ExdicomError('MISSING_VOLUME', { origin: thrown }) : thrown;
    });
    this.#count(listing.entries, listing.bytes);
    const base = this.#numbers + 1;
    this.#numbers += listing.entries;
    const prefix = archive.sole ? '' : `${archive.name}/`;

    const settled: Settled[] = [];
    let proven = false;
    await this.#inLanes(listing.shares, async ([from, to]) => {
      const share = await this.#run('archive.extract', { ...common, from, to, base, prefix, encoding: listing.encoding, context: this.context }, (done) => {
        this.#running.set(from, done);
        this.#tell();
      });
      this.#running.delete(from);
      if (share.settled.some((found) => found.kind === 'locked' && !found.tried)) throw new ExdicomError('NEEDS_PASSWORD');
      settled.push(...share.settled);
      proven ||= share.proven;
      await this.#step(to - from);
    });

    const inner: Array<Extract<Settled, { kind: 'archive' | 'part' }>> = [];
    for (const found of settled.sort((a, b) => a.n - b.n)) {
      if (found.kind === 'archive' || found.kind === 'part') inner.push(found);
      else if (found.kind !== 'locked') this.#found.push(found);
      // A password that opened other entries here is right, so it is this one that is damaged.
      else if (proven) this.#found.push({ kind: 'unreadable', n: found.n, name: found.name, bytes: found.bytes, code: 'ENTRY_CRC' });
      else throw new ExdicomError('NEEDS_PASSWORD');
    }
    const archives: InnerArchive[] = [];
    for (const set of volumeSets(inner.map(({ name }) => name))) {
      const volumes = set.map((index) => inner[index]!);
      // By its name it may also be one that begins behind other bytes, or whose beginning is damaged.
      const begun = volumes.find((volume) => volume.kind === 'archive')?.format ?? await this.#run('archive.format', { paths: volumes.map(({ path }) => path) });
      if (begun !== undefined) { archives.push(archiveOf(volumes, { format: begun, depth: depth + 1, sole: false })); continue; }
      const lacking = lacksVolume(volumes.map(({ name }) => name));
      this.#found.push(...volumes.map((part) => (lacking ? missing(part) : { kind: 'not-dicom' as const, n: part.n, name: part.name, bytes: part.bytes })));
      await Promise.all(volumes.map(({ path }) => rm(path, { force: true })));
    }
    return archives;
  }

  /**
   * Runs the work on two workers. After a failure nothing more is begun; what runs is let to its end, so that no thread still
   * writes into the folder when this returns.
   */
  async #inLanes<T>(work: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
    const failures: unknown[] = [];
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < work.length && failures.length === 0) {
        next += 1;
        try {
          await run(work[next - 1]!);
        } catch (thrown) {
          failures.push(thrown);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(LANES, work.length) }, lane));
    this.#running.clear();
    if (failures.length > 0) throw failures[0];
  }

  #account(): readonly FoundEntry[] {
    const found = this.#found.sort((a, b) => a.n - b.n);
    const names = mediaNames(found.map(({ name }) => name));
    return found.map((entry): FoundEntry => {
      const { name, bytes } = entry;
      switch (entry.kind) {
        case 'instance': return { kind: 'instance', name, bytes, file: entry.file };
        case 'index': return { kind: 'index', name, bytes, ...(missingReferences(name, entry.references, names) > 0 ? { code: 'INCOMPLETE_MEDIA' as const } : {}) };
        case 'not-dicom': return { kind: 'not-dicom', name, bytes, ...(entry.code === undefined ? {} : { code: entry.code }) };
        case 'unreadable': return { kind: 'unreadable', name, bytes, code: entry.code };
        case 'archive': case 'part': case 'locked': throw new ExdicomError('INTERNAL', { detail: entry.kind });
        default: return entry satisfies never;
      }
    });
  }
}
