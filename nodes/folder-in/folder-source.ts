/** A watched folder as a source of jobs: what is taken from it, and what becomes of the originals. */
import { rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { deleteOriginals, isOriginals, moveOriginals, writeWhole } from '../engine/folder/originals';
import type { Originals } from '../engine/folder/originals';
import { lastTouched, look, lookInto } from '../engine/folder/candidates';
import type { Candidate } from '../engine/folder/candidates';
import { keptOriginal, reasonFileFor } from '../engine/folder/kept';
import type { FolderWatcher, TakenAs } from '../engine/folder/watch';
import { ExdicomError } from '../engine/errors';
import { contentDigest } from '../engine/ledger/intake';
import type { AgainIntake, Disposition, Job, JobSource, Ledger, Reason } from '../engine/ledger/ledger-types';
import type { Sha256, SourceKey } from '../engine/model';
import { runTask } from '../engine/workers/pool';
import type { StatusLine } from '../runtime/status';

export interface FolderSourceOptions {
  readonly ledger: Ledger;
  readonly folder: string;
  readonly done: string;
  readonly failed: string;
  readonly deletes: boolean;
  readonly issuer: string;
  readonly status: StatusLine;
  readonly send: JobSource['send'];
}

/** Milliseconds for looking at the ends of an archive's volumes. */
const WHOLE_LIMIT = 60_000;
/** Milliseconds for reading originals once more, beside what their bytes take. */
const READ_LIMIT = 120_000;
const ARCHIVE = /\.(zip|rar|7z|exe|tar|gz|iso|z\d{2,4}|r\d{2}|\d{3})$/i;

/** Who watches a folder now, several of them where nodes were copied: a disposal may outlive the node that began it. */
const watchers = new Map<SourceKey, Set<FolderWatcher>>();

export class FolderSource {
  readonly #options: FolderSourceOptions;
  readonly #sourceKey: SourceKey;
  readonly #closing = new AbortController();
  readonly #owned: Disposable[] = [];

  constructor(options: FolderSourceOptions) {
    this.#options = options;
    this.#sourceKey = `folder:${options.folder}` as SourceKey; // made here, of an absolute path
  }

  /** Whether a person holds it. */
  get held(): boolean {
    return this.#options.ledger.held({ source: this.#sourceKey }) !== undefined;
  }

  get targets(): readonly string[] {
    return [this.#options.done, this.#options.failed];
  }

  /** Adopts the folder's jobs; what belongs to open ones is not taken again. */
  async start(watcher: FolderWatcher, signal: AbortSignal): Promise<void> {
    const { ledger, send } = this.#options;
    this.#owned.push(watching(this.#sourceKey, watcher));
    try {
      const held = await this.#taken();
      for (const roots of held) watcher.hold(roots);
      signal.throwIfAborted();
      this.#owned.push(ledger.attachSource({ sourceKey: this.#sourceKey, send, dispose: this.dispose, again: this.again }));
      // One that was disposed of while the ledger was asked has been released before it was held.
      const still = new Set((await this.#taken()).flat());
      for (const roots of held) if (!roots.some((root) => still.has(root))) watcher.release(roots);
      signal.throwIfAborted();
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  /** The originals of open jobs. */
  async #taken(): Promise<ReadonlyArray<readonly string[]>> {
    const origins = await this.#options.ledger.origins(this.#sourceKey);
    return origins.flatMap(({ origin }) => (isOriginals(origin) ? [origin.roots] : []));
  }

  close(): void {
    this.#closing.abort(new ExdicomError('INTERRUPTED'));
    for (const owned of this.#owned.splice(0)) owned[Symbol.dispose]();
  }

  /** Whoever watches the folder may have seen these. */
  #hold(roots: readonly string[]): void {
    for (const watcher of watchers.get(this.#sourceKey) ?? []) watcher.hold(roots);
  }

  #release(roots: readonly string[], putBack?: Originals): void {
    for (const watcher of watchers.get(this.#sourceKey) ?? []) watcher.release(roots, putBack);
  }

  readonly whole = async ({ kind, roots }: Candidate, signal: AbortSignal): Promise<boolean> =>
    kind === 'folder' || runTask('folder.whole', { paths: roots }, { signal, timeLimit: WHOLE_LIMIT });

  readonly room = async (): Promise<boolean> => (await this.#options.ledger.room(this.#sourceKey)) === 'free';

  readonly take = async (candidate: Candidate, signal: AbortSignal): Promise<TakenAs> => {
    const { ledger, status, send } = this.#options;
    const progress = status.begin();
    try {
      const taken = await ledger.take({ sourceKey: this.#sourceKey, prefix: 'folder-in', ...this.#intakeOf(candidate) }, signal);
      if (taken.kind === 'refused') return taken.reason === 'space' ? 'too-large' : 'no-room';
      if (taken.kind === 'job') send(taken.token, taken.path, undefined);
      return taken.kind;
    } finally {
      progress.end();
    }
  };

  #intakeOf({ kind, roots, fingerprint, files }: Candidate): AgainIntake {
    const { issuer } = this.#options;
    const origin: Originals = { kind, roots, fingerprint };
    return {
      kind: kind === 'folder' ? 'folder' : ARCHIVE.test(files[0]?.name ?? '') ? 'archive' : 'file',
      items: files, origin, ...(issuer === '' ? {} : { issuer }),
    };
  }

  readonly letGo = (original: Originals): void => {
    const { kind, roots, fingerprint } = original;
    // The ledger may be closing; then it is left alone once more.
    this.#options.ledger.letGo(this.#sourceKey, { kind, roots, fingerprint } satisfies Originals).catch(() => undefined);
  };

  /** Takes the original of a closed job in again from where it lies now. */
  readonly again: NonNullable<JobSource['again']> = async (job, take) => {
    const found = await this.#original(job);
    if (found === undefined) return undefined;
    this.#hold(found.roots);
    try {
      return await take(this.#intakeOf(found));
    } catch (thrown) {
      this.#release(found.roots, job.outcome === 'cancelled' && this.#isInside(found) ? found : undefined);
      throw thrown;
    }
  };

  #isInside({ roots: [root = ''] }: Pick<Originals, 'roots'>): boolean {
    return dirname(root) === this.#options.folder;
  }

  /** In `done` or `failed`; that of a cancelled job is where it was taken from. */
  async #original(job: Job): Promise<Candidate | undefined> {
    const { ledger, folder, done, failed } = this.#options;
    const { signal } = this.#closing;
    if (job.outcome !== 'cancelled') return await keptOriginal(join(done, job.name), hasReason(job), signal) ?? keptOriginal(join(failed, job.name), hasReason(job), signal);
    const candidates = [...await look({ folder, subfolders: true, skip: (path) => this.targets.includes(path), signal }).catch(() => [])];
    for (let of = job.againOf; of !== undefined;) {
      const before: Job | undefined = await ledger.job(of).catch(() => undefined);
      if (before !== undefined) for (const place of this.targets) candidates.push(...[await keptOriginal(join(place, before.name), hasReason(before), signal)].filter((kept) => kept !== undefined));
      of = before?.againOf;
    }
    for (const candidate of candidates) {
      const { kind, roots, fingerprint } = candidate;
      if (await ledger.putBack(this.#sourceKey, { kind, roots, fingerprint } satisfies Originals) === job.id) return candidate;
    }
    return undefined;
  }

  /** Whether what lies there is what was taken in. Size and time may be those of another file: what was touched since is read again. */
  async #isStill({ createdAt, digest, bytes }: Job, { kind, roots }: Originals): Promise<boolean> {
    const { signal } = this.#closing;
    const files = kind === 'folder' ? (await lookInto(roots[0] ?? '', signal))?.files.map(({ path }) => path) ?? [] : roots;
    const touched = await lastTouched(files);
    // Where some have been moved already, nothing can be compared any more.
    if (digest === undefined || touched === undefined || touched < createdAt) return true;
    const looks = await runTask('ledger.look', { paths: files, digest: true }, { signal, timeLimit: READ_LIMIT + Math.ceil(bytes / 1000) });
    return contentDigest(looks.map((one) => ({ sha256: one?.sha256 ?? '' as Sha256 }))) === digest; // one that cannot be read has none
  }

  /** Moves, deletes or leaves the originals; again after a crash without harm. */
  readonly dispose = async (job: Job, origin: unknown, disposition: Disposition, reason: Reason): Promise<void> => {
    if (!isOriginals(origin)) return;
    const { signal } = this.#closing;
    const { done, failed, deletes } = this.#options;
    if (disposition === 'put-back') {
      this.#release(origin.roots, this.#isInside(origin) ? origin : undefined);
      return;
    }
    const still = await this.#isStill(job, origin);
    if (disposition === 'failed') {
      const folder = join(failed, job.name);
      if (still) await moveOriginals(origin, folder, signal);
      await writeWhole(join(folder, reasonFileFor(origin.roots)), `${JSON.stringify(reason, undefined, 2)}\n`);
    } else if (still && (!deletes || !isProved(job, reason) || (await deleteOriginals(origin, signal)) === 'unread')) await moveOriginals(origin, join(done, job.name), signal);
    // The folder of the job before is empty now, unless a reason is kept in it.
    if (!this.#isInside(origin)) await rmdir(dirname(origin.roots[0] ?? '')).catch(() => undefined);
    this.#release(origin.roots);
  };
}

function watching(key: SourceKey, watcher: FolderWatcher): Disposable {
  const all = watchers.get(key) ?? new Set();
  watchers.set(key, all.add(watcher));
  return { [Symbol.dispose]: () => { if (all.delete(watcher) && all.size === 0 && watchers.get(key) === all) watchers.delete(key); } };
}

/** Whether its originals were kept with a reason beside them. */
const hasReason = ({ outcome }: Job): boolean => outcome === 'failed' || outcome === 'with-exceptions';

/** Whether every delivery was proved by more than a response. Of a duplicate the ledger cannot say, so its originals are moved. */
function isProved({ outcome }: Job, { byResponse, entries }: Reason): boolean {
  return outcome === 'complete' && byResponse === 0 && entries.instance > 0;
}
