/** A watched folder as a source of jobs: what is taken from it, and what becomes of the originals. */
import { join } from 'node:path';
import { deleteOriginals, isOriginals, moveOriginals, writeWhole } from '../engine/folder/originals';
import type { Originals } from '../engine/folder/originals';
import type { Candidate } from '../engine/folder/candidates';
import type { FolderWatcher, TakenAs } from '../engine/folder/watch';
import { ExdicomError } from '../engine/errors';
import type { Disposition, Job, JobSource, Ledger, Reason } from '../engine/ledger/ledger-types';
import type { SourceKey } from '../engine/model';
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
const ARCHIVE = /\.(zip|rar|7z|exe|tar|gz|iso|z\d{2,4}|r\d{2}|\d{3})$/i;

/** Who watches a folder now: a disposal may outlive the node that began it. */
const watchers = new Map<SourceKey, FolderWatcher>();

export class FolderSource {
  readonly #options: FolderSourceOptions;
  readonly #sourceKey: SourceKey;
  readonly #closing = new AbortController();
  #attached: Disposable | undefined;

  constructor(options: FolderSourceOptions) {
    this.#options = options;
    this.#sourceKey = `folder:${options.folder}` as SourceKey; // made here, of an absolute path
  }

  get targets(): readonly string[] {
    return [this.#options.done, this.#options.failed];
  }

  /** Adopts the folder's jobs; what belongs to open ones is not taken again. */
  async start(watcher: FolderWatcher, signal: AbortSignal): Promise<void> {
    const { ledger, send } = this.#options;
    watchers.set(this.#sourceKey, watcher);
    for (const { origin } of await ledger.origins(this.#sourceKey)) if (isOriginals(origin)) watcher.hold(origin.roots);
    signal.throwIfAborted();
    this.#attached = ledger.attachSource({ sourceKey: this.#sourceKey, send, dispose: this.dispose });
  }

  close(): void {
    this.#closing.abort(new ExdicomError('INTERRUPTED'));
    this.#attached?.[Symbol.dispose]();
  }

  readonly whole = async ({ kind, roots }: Candidate, signal: AbortSignal): Promise<boolean> =>
    kind === 'folder' || runTask('folder.whole', { paths: roots }, { signal, timeLimit: WHOLE_LIMIT });

  readonly room = async (): Promise<boolean> => (await this.#options.ledger.room()) === 'free';

  readonly take = async ({ kind, roots, files, fingerprint }: Candidate, signal: AbortSignal): Promise<TakenAs> => {
    const { ledger, issuer, status, send } = this.#options;
    const progress = status.begin();
    try {
      const origin: Originals = { kind, roots, fingerprint };
      const taken = await ledger.take({
        sourceKey: this.#sourceKey,
        kind: kind === 'folder' ? 'folder' : ARCHIVE.test(files[0]?.name ?? '') ? 'archive' : 'file',
        prefix: 'folder-in',
        items: files,
        origin,
        ...(issuer === '' ? {} : { issuer }),
      }, signal);
      if (taken.kind === 'refused') return 'no-room';
      if (taken.kind === 'job') send(taken.token, taken.path, undefined);
      return taken.kind;
    } finally {
      progress.end();
    }
  };

  /** Moves, deletes or leaves the originals; again after a crash without harm. */
  readonly dispose = async (job: Job, origin: unknown, disposition: Disposition, reason: Reason): Promise<void> => {
    if (!isOriginals(origin)) return;
    const { signal } = this.#closing;
    const { done, failed, deletes } = this.#options;
    if (disposition === 'put-back') {
      watchers.get(this.#sourceKey)?.release(origin.roots, origin);
      return;
    }
    if (disposition === 'failed') {
      const folder = join(failed, job.name);
      await moveOriginals(origin, folder, signal);
      await writeWhole(join(folder, 'reason.json'), `${JSON.stringify(reason, undefined, 2)}\n`);
    } else if (deletes && isProved(job, reason)) await deleteOriginals(origin, signal);
    else await moveOriginals(origin, join(done, job.name), signal);
    watchers.get(this.#sourceKey)?.release(origin.roots);
  };
}

/** Whether every delivery was proved by more than a response. Of a duplicate the ledger cannot say, so its originals are moved. */
function isProved({ outcome }: Job, { byResponse, entries }: Reason): boolean {
  return outcome === 'complete' && byResponse === 0 && entries.instance > 0;
}
