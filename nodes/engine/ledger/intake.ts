/** Taking in: the gate, the copy into the work folder, and the judgement whether it is new. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ExdicomError, toExdicomError } from '../errors';
import type { JobId, JobToken, OwnPath, Sha256, SourceKey } from '../model';
import { jobOf } from './core';
import type { LedgerCore, LiveJob } from './core';
import type { AgainIntake, Intake, IntakeItem, Job, Room, SpooledItem, Taken } from './ledger-types';
import type { Replay } from './replay';
import type { Again, JobRow, NewJob, QuarantineSource, Release, StoredItem } from './store';
import { isOnlyCopy, markOnlyCopy } from './only-copies';
import { itemName } from './tasks';

/** How much room a job may need beside its own size: unpacked and de-identified copies. */
const FACTOR = 3;
/** Milliseconds for which a look at the disk is believed. */
const LOOK = 1000;

/** Identifies content whatever its files are called: the file's own digest, or one over those of several. */
export function contentDigest(items: ReadonlyArray<{ readonly sha256: Sha256 }>): Sha256 {
  if (items.length === 1) return items[0]!.sha256;
  return createHash('sha256').update(items.map(({ sha256 }) => sha256).toSorted().join('\n')).digest('hex') as Sha256;
}

/** What a file costs a slow disk or share beside its bytes: it is opened, made and flushed. In bytes that are copied in that time. */
const FILE_COST = 250_000;

/** By which the time for copying these is limited. */
export const spoolCost = (items: ReadonlyArray<{ readonly bytes: number }>): number => items.reduce((sum, { bytes }) => sum + bytes + FILE_COST, 0);

const bytesOf = (item: IntakeItem): number => ('content' in item ? item.content.byteLength : item.bytes);

export class IntakeDesk {
  readonly #core: LedgerCore;
  readonly #replay: Replay;
  readonly #configuration: () => string;
  readonly #close: (job: LiveJob) => void;
  #free: { readonly bytes: number; readonly at: number } | undefined;
  /** Bytes that intakes under way may still need. */
  #promised = 0;
  /** Received studies to which instances are being added, and how many; and those that are being completed. Never one in both. */
  readonly #adding = new Map<JobId, number>();
  readonly #completing = new Set<JobId>();
  /** Originals of intakes under way: until one is a job, the store knows nothing of it that another source could be told. */
  readonly #coming = new Set<string>();

  /** @param close runs the closing steps of a duplicate. */
  constructor(core: LedgerCore, replay: Replay, configuration: () => string, close: (job: LiveJob) => void) {
    this.#core = core;
    this.#replay = replay;
    this.#configuration = configuration;
    this.#close = close;
  }

  /** Bytes free for us on the disk of the work folder, the reserve taken off; looked up once a second at most. */
  async freeBytes(): Promise<number> {
    const now = performance.now();
    if (this.#free === undefined || now - this.#free.at > LOOK) {
      const { bavail, bsize } = await this.#disk();
      this.#free = { bytes: bavail * bsize - this.#core.settings.reserve, at: now };
    }
    return this.#free.bytes - this.#promised;
  }

  /** Somebody may have removed the work folder to make room; where the ledger's own folder is gone as well, its disk is away. */
  async #disk(): Promise<{ readonly bavail: number; readonly bsize: number }> {
    const { work } = this.#core.folders;
    try {
      return await statfs(work);
    } catch {
      await mkdir(work, { mode: 0o700 });
      return statfs(work);
    }
  }

  async room(sourceKey?: SourceKey, bytes = 0): Promise<Room> {
    const core = this.#core;
    if (!core.ready) return 'closed';
    if (sourceKey !== undefined && core.holds.mode({ source: sourceKey }) !== undefined) return 'held';
    // A disk that does not answer has no room either.
    const free = await this.freeBytes().catch(() => Number.NEGATIVE_INFINITY);
    // Nothing can be taken in at all: the ledger says so, and looks by itself whether that has changed.
    if (free === Number.NEGATIVE_INFINITY) core.paused = 'STORAGE_FAILED';
    else if (free + this.#promised <= 0) core.paused = 'DISK_FULL';
    if (core.paused !== undefined || free < bytes * FACTOR) return 'space';
    let parked = 0;
    for (const { row: { state } } of core.jobs.values()) if (state === 'parked' || state === 'needs-password') parked += 1;
    if (parked >= core.settings.maxParked) return 'parked';
    return this.#replay.holdsIntake || this.#replay.running() >= core.settings.slots ? 'slots' : 'free';
  }

  /** Whether only what is taken in just now leaves too little room for it. */
  async #fitsLater(bytes: number): Promise<boolean> {
    const free = await this.freeBytes().catch(() => Number.NEGATIVE_INFINITY);
    return this.#core.paused === undefined && free + this.#promised >= bytes * FACTOR;
  }

  async take(intake: Intake, signal: AbortSignal): Promise<Taken> {
    const core = this.#core;
    signal.throwIfAborted();
    if (intake.items.length === 0) throw new ExdicomError('NOTHING_TO_DO');
    const bytes = intake.items.reduce((sum, item) => sum + bytesOf(item), 0);
    const room = await this.room(intake.sourceKey, bytes);
    if (room !== 'free') return { kind: 'refused', reason: room === 'space' && (await this.#fitsLater(bytes)) ? 'slots' : room };
    const putBack = await this.putBack(intake.sourceKey, intake.origin);
    if (putBack !== undefined) return { kind: 'put-back', of: putBack };
    // Two may have been told that there is room; the slot is counted before anything else is awaited. Two nodes that watch one folder find the same at once.
    const original = intake.origin === undefined ? undefined : JSON.stringify([intake.sourceKey, intake.origin]);
    if (this.#replay.running() >= core.settings.slots || (original !== undefined && this.#coming.has(original))) return { kind: 'refused', reason: 'slots' };
    if (original !== undefined) this.#coming.add(original);
    this.#replay.reserved += 1;
    this.#promised += bytes * FACTOR;
    let holding = true;
    const release = (): void => {
      if (holding) this.#replay.reserved -= 1;
      holding = false;
    };
    let job: LiveJob | undefined;
    try {
      if (intake.origin !== undefined) {
        // After a crash a source may find again what is a job already.
        const known = await core.store.sameOrigin(intake.sourceKey, JSON.stringify(intake.origin));
        if (known !== undefined) return { kind: 'duplicate', job: jobOf(known), of: known.id };
      }
      job = core.add(await core.store.createJob(newJob(intake, intake.kind)));
      release();
      return await this.#takeIn(job, intake.items, signal);
    } finally {
      release();
      this.#promised -= bytes * FACTOR;
      if (original !== undefined) this.#coming.delete(original);
    }
  }

  /** Cancelled meanwhile, the job ends as that; after a failure it was none. */
  async #takeIn(job: LiveJob, items: readonly IntakeItem[], signal: AbortSignal, again?: Again | Release): Promise<Taken> {
    const core = this.#core;
    const { id } = job.row;
    job.taking = true;
    try {
      const spooled = await this.#spool(id, items, AbortSignal.any([signal, job.stop.signal]));
      if (isOnlyCopy(job.row.kind)) await markOnlyCopy(core.workFolder(id));
      return await this.#complete(job, spooled, again);
    } catch (thrown) {
      if (core.cancelled(id)) return { kind: 'put-back', of: id };
      await this.#discard(id);
      throw core.noticed(toExdicomError(thrown, { stage: 'intake' }));
    } finally {
      job.taking = false;
      if (core.cancelled(id)) this.#close(job);
    }
  }

  /** The original of a closed job once more: no duplicate of anything, and sent as soon as there is a slot. */
  async takeAgain(closed: JobRow, original: AgainIntake, again: Again): Promise<Job> {
    const core = this.#core;
    const bytes = original.items.reduce((sum, item) => sum + bytesOf(item), 0);
    const room = await this.room(undefined, bytes);
    if (room !== 'free' && room !== 'slots') throw new ExdicomError(room === 'closed' ? 'LEDGER_CLOSED' : 'INTAKE_CLOSED', { job: closed.name, detail: room });
    const { sourceKey, name, node } = closed;
    this.#promised += bytes * FACTOR;
    try {
      const job = core.add(await core.store.createJob(newJob({ sourceKey, prefix: name.replace(/ \d+$/, ''), ...(node === undefined ? {} : { node }), ...original }, original.kind)));
      const taken = await this.#takeIn(job, original.items, core.signal, again);
      if (taken.kind !== 'job') throw new ExdicomError('JOB_CANCELLED', { job: job.row.name });
      Object.assign(job, { sentHere: false, wantsSend: true });
      this.#replay.pump();
      return jobOf(job.row);
    } finally {
      this.#promised -= bytes * FACTOR;
    }
  }

  /** Files that a person released from quarantine: as an original that is taken in again. */
  async takeReleased({ name, ...source }: QuarantineSource, items: readonly IntakeItem[], release: Release): Promise<JobRow> {
    const core = this.#core;
    const bytes = items.reduce((sum, item) => sum + bytesOf(item), 0);
    const room = await this.room(undefined, bytes);
    if (room !== 'free' && room !== 'slots') throw new ExdicomError(room === 'closed' ? 'LEDGER_CLOSED' : 'INTAKE_CLOSED', { job: name, detail: room });
    this.#promised += bytes * FACTOR;
    try {
      const job = core.add(await core.store.createJob({ ...newJob({ ...source, kind: 'file', prefix: name.replace(/ \d+$/, '') }, 'file'), releaseOf: release.of }));
      const taken = await this.#takeIn(job, items, core.signal, release);
      if (taken.kind !== 'job') throw new ExdicomError('JOB_CANCELLED', { job: job.row.name });
      Object.assign(job, { sentHere: false, wantsSend: true });
      this.#replay.pump();
      return job.row;
    } finally {
      this.#promised -= bytes * FACTOR;
    }
  }

  async putBack(sourceKey: SourceKey, origin: unknown): Promise<JobId | undefined> {
    return origin === undefined ? undefined : this.#core.store.putBack(sourceKey, JSON.stringify(origin));
  }

  async #spool(id: JobId, items: readonly IntakeItem[], signal: AbortSignal): Promise<StoredItem[]> {
    const core = this.#core;
    const folder = join(core.workFolder(id), 'in');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const spooled: StoredItem[] = [];
    // A Buffer is written from here as it is: handing it to a thread would copy it.
    for (const [index, item] of items.entries()) {
      if (!('content' in item)) continue;
      const path = join(folder, itemName(index + 1)) as OwnPath;
      const file = await open(path, 'wx', 0o600);
      try {
        await file.writeFile(item.content, { signal });
        await file.sync();
      } finally {
        await file.close();
      }
      const [look] = await core.task('ledger.look', { paths: [path], digest: true }, item.content.byteLength, signal);
      if (look?.sha256 === undefined || look.bytes !== item.content.byteLength) throw new ExdicomError('STORAGE_FAILED', { stage: 'intake' });
      spooled.push({ n: index + 1, path, bytes: look.bytes, sha256: look.sha256, name: item.name });
    }
    for (let at = 0; at < items.length;) {
      const from = at;
      while (at < items.length && !('content' in items[at]!)) at += 1;
      const run = items.slice(from, at).flatMap((item) => ('content' in item ? [] : [{ path: item.path, bytes: item.bytes, mtimeMs: item.mtimeMs, name: item.name }]));
      if (run.length > 0) {
        const plain = run.map(({ name: _name, ...item }) => item);
        const files = await core.task('ledger.spool', { folder, first: from + 1, items: plain }, spoolCost(plain), signal);
        for (const [index, file] of files.entries()) spooled.push({ n: from + index + 1, ...file, name: run[index]!.name });
      }
      at += 1;
    }
    spooled.sort((a, b) => a.n - b.n);
    for (let at = 0; at < spooled.length; at += 500) await core.store.addItems(id, spooled.slice(at, at + 500));
    return spooled;
  }

  async #complete(job: LiveJob, items: ReadonlyArray<{ readonly path: OwnPath; readonly bytes: number; readonly sha256: Sha256 }>, again?: Again | Release): Promise<Taken> {
    const core = this.#core;
    const { id } = job.row;
    const path = items.length === 1 ? items[0]!.path : dirname(items[0]!.path) as OwnPath;
    const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
    core.update(job, await core.store.completeIntake(id, path, contentDigest(items), bytes, this.#configuration(), again));
    const { row } = job;
    if (row.outcome === 'cancelled') return { kind: 'put-back', of: id };
    if (row.duplicateOf !== undefined) {
      this.#close(job);
      return { kind: 'duplicate', job: jobOf(row), of: row.duplicateOf };
    }
    return { kind: 'job', token: core.token(row), path: this.#replay.taken(job) };
  }

  async #discard(id: JobId): Promise<void> {
    const core = this.#core;
    core.drop(id);
    try {
      // First the files: on a full disk they are the room that the rest needs.
      await core.task('ledger.remove', { files: [], folders: [core.workFolder(id)] });
      await core.store.discardJob(id);
    } catch { /* The next start drops it and sweeps its folder. */ }
  }

  // ---------------------------------------------------------------------------------------------- receiving over time

  async receive(intake: Omit<Intake, 'items'> & { readonly study: string }): Promise<{ readonly token: JobToken; readonly folder: OwnPath }> {
    const core = this.#core;
    const room = await this.room(intake.sourceKey);
    // What is on its way in runs nowhere yet: it waits for a slot when it is complete.
    if (room !== 'free' && room !== 'slots') throw new ExdicomError(room === 'closed' ? 'LEDGER_CLOSED' : 'INTAKE_CLOSED', { detail: room });
    const job = core.add(await core.store.createJob({ ...newJob(intake, 'received'), study: intake.study }));
    const folder = this.#receivingFolder(job.row);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await markOnlyCopy(core.workFolder(job.row.id));
    } catch (thrown) {
      await this.#discard(job.row.id);
      throw core.noticed(toExdicomError(thrown, { stage: 'receive' }));
    }
    return { token: core.token(job.row), folder };
  }

  #receivingFolder({ id }: JobRow): OwnPath {
    return join(this.#core.workFolder(id), 'in') as OwnPath;
  }

  async addReceived(id: JobId, item: { readonly path: OwnPath; readonly name: string; readonly bytes: number; readonly sha256: Sha256 }): Promise<void> {
    const job = this.#core.live(id);
    if (job.row.state !== 'receiving' || this.#completing.has(id)) throw new ExdicomError('JOB_UNKNOWN', { job: job.row.name });
    this.#adding.set(id, (this.#adding.get(id) ?? 0) + 1);
    try {
      await this.#core.store.addItems(id, [{ n: 0, ...item }]);
    } catch (thrown) {
      throw this.#core.noticed(toExdicomError(thrown, { stage: 'receive' }));
    } finally {
      const others = (this.#adding.get(id) ?? 1) - 1;
      if (others > 0) this.#adding.set(id, others);
      else this.#adding.delete(id);
    }
    job.activeAt = performance.now();
  }

  async completeReceived(id: JobId): Promise<Taken> {
    const job = this.#core.live(id);
    if (job.row.state !== 'receiving') throw new ExdicomError('JOB_UNKNOWN', { job: job.row.name });
    // Two nodes may have it: the one that began it and listens elsewhere now, and the one that listens in its place.
    if (this.#adding.has(id) || this.#completing.has(id)) return { kind: 'refused', reason: 'slots' };
    this.#completing.add(id);
    try {
      return await this.#completeAlone(job);
    } finally {
      this.#completing.delete(id);
    }
  }

  async #completeAlone(job: LiveJob): Promise<Taken> {
    const { id } = job.row;
    const items = await this.#core.store.items(id);
    if (items.length === 0) {
      await this.#discard(id);
      throw new ExdicomError('NOTHING_TO_DO', { job: job.row.name, stage: 'receive' });
    }
    if (!this.#core.holds.sends(job.row.sourceKey)) return { kind: 'refused', reason: 'held' };
    if (this.#replay.holdsIntake || this.#replay.running() >= this.#core.settings.slots) return { kind: 'refused', reason: 'slots' };
    // Counted until the job itself is: several studies may be complete at the same moment.
    this.#replay.reserved += 1;
    try {
      return await this.#complete(job, items);
    } finally {
      this.#replay.reserved -= 1;
    }
  }

  receiving(sourceKey: SourceKey, node?: string): Array<{ token: JobToken; folder: OwnPath; study: string; updatedAt: number }> {
    const isOf = ({ sourceKey: key, node: taker }: JobRow): boolean =>
      (node !== undefined && taker !== undefined && (taker === node || this.#replay.hasNode(taker)) ? taker === node : key === sourceKey);
    return [...this.#core.jobs.values()]
      .filter(({ row }) => row.state === 'receiving' && row.study !== undefined && isOf(row))
      .map(({ row }) => ({ token: this.#core.token(row), folder: this.#receivingFolder(row), study: row.study ?? '', updatedAt: row.updatedAt }));
  }

  async spooled(id: JobId): Promise<SpooledItem[]> {
    return (await this.#core.store.items(id)).map(({ n, path, bytes, name }) => ({ n, path, bytes, name }));
  }
}

function newJob(intake: Omit<Intake, 'items'>, kind: NewJob['kind']): NewJob {
  const { prefix, sourceKey, issuer, topic, node, origin } = intake;
  return {
    id: randomUUID() as JobId, prefix, sourceKey, kind,
    ...(issuer === undefined ? {} : { issuer }), ...(topic === undefined ? {} : { topic }), ...(node === undefined ? {} : { node }), ...(origin === undefined ? {} : { origin: JSON.stringify(origin) }),
  };
}
