/**
 * Received instances as jobs: one job per study and calling AE title, complete when the study has gone quiet. Each instance
 * is durable and has its row in the ledger before its sender is told success. What comes later is a new job.
 */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import type { Identification } from '../dicom/identity';
import { ExdicomError, toExdicomError } from '../errors';
import type { Ledger } from '../ledger/ledger-types';
import type { JobToken, OwnPath, SourceKey } from '../model';
import { runTask } from '../workers/pool';
import type { WrittenFile } from './incoming-file';
import { StorageListener } from './listen';
import type { ListenerStatus } from './listen';
import type { ListenSettings } from './listen-settings';
import type { IncomingAssociation, IncomingInstance, StorageSink } from './serve';

/** What of the ledger a receiver uses. */
export type ReceivingLedger = Pick<Ledger, 'folders' | 'room' | 'receive' | 'addReceived' | 'completeReceived' | 'receiving'>;

export interface ReceiverOptions {
  readonly ledger: ReceivingLedger;
  readonly settings: ListenSettings;
  /** Milliseconds since the last instance of a study, and no association open that brought some of it. */
  readonly quiet: number;
  /** Prefix of the jobs' neutral names. */
  readonly prefix: string;
  readonly issuer?: string;
  readonly topic?: string;
  /** Id of the node: what it began to receive is its own still when it listens elsewhere. */
  readonly node?: string;
  /** A study is a job now: send its token on. */
  readonly send: (token: JobToken, path: OwnPath) => void;
  /** A study could not be made a job yet; it is tried again. */
  readonly onError?: (error: ExdicomError) => void;
  readonly onStatus?: (status: ListenerStatus & { readonly receiving: number }) => void;
  /** What a file is; for tests without workers. */
  readonly identify?: (path: string, signal: AbortSignal) => Promise<Identification>;
}

/** A study on its way in. */
interface Study {
  readonly token: JobToken;
  readonly folder: OwnPath;
  /** Those that are open and brought some of it. */
  readonly associations: Set<IncomingAssociation>;
  /** Instances that are being recorded. */
  recording: number;
  /** `performance.now()` */
  lastAt: number;
  timer: NodeJS.Timeout | undefined;
  /** Still takes instances; a later one of the same study under the same key is another. */
  live: boolean;
}

/** Milliseconds: an association that is held open without bringing more of a study keeps it no longer than that. */
const LONGEST_HOLD = 5 * 60_000;
/** Milliseconds between attempts to complete a study for which the ledger has no room, or no disk. */
const FIRST_RETRY = 2_000;
const LONGEST_RETRY = 60_000;
const IDENTIFY_LIMIT = 60_000;
/** Milliseconds in which an instance that has arrived may still be kept when the node closes. */
const STOP_GRACE = 2_000;
/** Milliseconds between attempts to listen. */
const LISTEN_AGAIN = 5_000;

const identifyOnWorker = (path: string, signal: AbortSignal): Promise<Identification> => runTask('dimse.identify', { path }, { signal, timeLimit: IDENTIFY_LIMIT });

export class Receiver implements AsyncDisposable {
  readonly sourceKey: SourceKey;

  readonly #options: ReceiverOptions;
  readonly #listener: StorageListener;
  /** Where data sets are written until their study is known; on the disk of the work folder, so that a rename is enough. */
  readonly #incoming: OwnPath;
  /** By calling AE title and Study Instance UID; a promise while the ledger opens the job. */
  readonly #studies = new Map<string, Promise<Study>>();
  readonly #completing = new Set<Promise<void>>();
  readonly #stopped = new AbortController();
  /** Settled when what an earlier process left is taken up; nothing that arrives is kept before. */
  #prepared: PromiseWithResolvers<void> | undefined;
  readonly #stamp = Date.now().toString().padStart(14, '0');
  #number = 0;

  constructor(options: ReceiverOptions) {
    const { settings, ledger } = options;
    this.#options = options;
    this.sourceKey = settings.sourceKey;
    const folder = `incoming-${createHash('sha256').update(settings.sourceKey).digest('hex').slice(0, 16)}`;
    // Below the ledger's own folder, under a name of ours.
    this.#incoming = join(ledger.folders.work, folder) as OwnPath;
    const sink: StorageSink = {
      gate: async () => {
        await this.#prepared?.promise;
        return this.#gate();
      },
      begin: async () => this.#begin(),
      commit: async (instance, file) => { await this.#commit(instance, file); },
      ended: (association) => { this.#ended(association); },
    };
    this.#listener = new StorageListener(settings, sink);
    this.#listener.onStatus = () => { this.#tell(); };
  }

  get status(): ListenerStatus & { readonly receiving: number } {
    return { ...this.#listener.status, receiving: this.#studies.size };
  }

  /**
   * Listens, then takes up what was on its way in when the process ended; resolves with the port. In this order, since the
   * port may be taken by another of the same source key, whose files and studies these are.
   * @throws {ExdicomError} LISTEN_FAILED, TLS_FAILED; or what the ledger or the disk says. It may be tried again then.
   */
  async start(): Promise<number> {
    const prepared = this.#prepared = Promise.withResolvers<void>();
    prepared.promise.catch(() => { /* thrown below; whoever sends meanwhile is told A700 */ });
    const port = await this.#listener.start();
    try {
      await this.#prepare();
      prepared.resolve();
      return port;
    } catch (thrown) {
      prepared.reject(thrown);
      await this.#listener.stop();
      throw toExdicomError(thrown, { stage: 'receive' });
    }
  }

  async #prepare(): Promise<void> {
    // Whatever lies there was never answered for.
    await rm(this.#incoming, { recursive: true, force: true });
    await mkdir(this.#incoming, { recursive: true, mode: 0o700 });
    const { ledger, node } = this.#options;
    for (const { token, folder, study } of await ledger.receiving(this.sourceKey, node)) {
      const taken: Study = { token, folder, associations: new Set(), recording: 0, lastAt: performance.now(), timer: undefined, live: true };
      // Who sent it is not known any more: the next sender of the study joins it.
      const key = keyOf('', study);
      if (this.#studies.has(key)) {
        this.#complete(taken);
      } else {
        this.#studies.set(key, Promise.resolve(taken));
        this.#arm(key, taken);
      }
    }
  }

  /** Starts as soon as it can: the port may be held by a process that is ending, the address not be there yet, the disk be full. */
  async startWhenPossible(signal: AbortSignal, onFailure: (error: ExdicomError) => void, again = LISTEN_AGAIN): Promise<number> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await this.start();
      } catch (thrown) {
        const error = toExdicomError(thrown);
        if (!error.retryable || error.stage !== 'receive') throw error;
        onFailure(error);
      }
      await sleep(again, signal);
    }
  }

  /** Stops listening. Studies that are on their way in stay so in the ledger; the next start completes them. */
  async stop(): Promise<void> {
    // The listener waits for what is being kept, and that may wait for a worker that has other things to do.
    const timer = setTimeout(() => { this.#stopped.abort(); }, STOP_GRACE);
    try {
      await this.#listener.stop();
    } finally {
      clearTimeout(timer);
      this.#stopped.abort();
    }
    for (const opening of this.#studies.values()) {
      const [study] = await Promise.allSettled([opening]);
      if (study.status === 'fulfilled') clearTimeout(study.value.timer);
    }
    this.#studies.clear();
    await Promise.all(this.#completing);
    await Promise.allSettled([rm(this.#incoming, { recursive: true, force: true })]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Running jobs keep nobody from sending: what comes in meanwhile waits as received. */
  async #gate(): Promise<boolean> {
    const room = await this.#options.ledger.room(this.sourceKey);
    return room === 'free' || room === 'slots';
  }

  #begin(): OwnPath {
    this.#number += 1;
    // Ours alone: the time of the start and a number.
    return join(this.#incoming, `${this.#stamp}-${this.#number.toString().padStart(8, '0')}.dcm`) as OwnPath;
  }

  async #commit(instance: IncomingInstance, file: WrittenFile): Promise<void> {
    const identify = this.#options.identify ?? identifyOnWorker;
    const found = await identify(file.path, this.#stopped.signal);
    if (found.kind === 'unreadable') throw new ExdicomError(found.code, { stage: 'receive', detail: `at ${found.offset}` });
    if (found.kind !== 'instance') throw new ExdicomError('DICOM_UNREADABLE', { stage: 'receive' });
    const { identity } = found;
    // Its UIDs are those that we wrote into its head.
    if (identity.dataSetOffset >= file.bytes) throw new ExdicomError('DICOM_UNREADABLE', { stage: 'receive', detail: 'no data set' });
    if (identity.sopClassUID !== instance.sopClassUID || identity.sopInstanceUID !== instance.sopInstanceUID) throw new ExdicomError('STORE_MISMATCH', { stage: 'receive' });
    const { callingAET } = instance.association;
    try {
      await this.#record(callingAET, identity.studyInstanceUID, instance.association, file);
    } catch (thrown) {
      // Somebody cancelled the study while it came in: what comes now is another job.
      if (!(thrown instanceof ExdicomError) || (thrown.code !== 'JOB_UNKNOWN' && thrown.code !== 'JOB_CANCELLED')) throw thrown;
      await this.#record(callingAET, identity.studyInstanceUID, instance.association, file);
    }
  }

  /** Moves the file into its study's job and records it there. On failure the file is back where it was. */
  async #record(callingAET: string, studyInstanceUID: string, association: IncomingAssociation, file: WrittenFile): Promise<void> {
    const [key, study] = await this.#studyOf(callingAET, studyInstanceUID);
    const name = basename(file.path);
    // The job's own folder and our own name.
    const path = join(study.folder, name) as OwnPath;
    study.associations.add(association);
    try {
      await rename(file.path, path);
      try {
        await syncFolder(study.folder);
        await this.#options.ledger.addReceived(study.token.id, { path, name, bytes: file.bytes, sha256: file.sha256 });
      } catch (thrown) {
        await rename(path, file.path);
        throw thrown;
      }
    } catch (thrown) {
      if (thrown instanceof ExdicomError && (thrown.code === 'JOB_UNKNOWN' || thrown.code === 'JOB_CANCELLED')) this.#forget(key, study);
      throw toExdicomError(thrown, { stage: 'receive' });
    } finally {
      study.recording -= 1;
      study.lastAt = performance.now();
      this.#arm(key, study);
    }
  }

  /** The study's job, opened if need be, with one more instance counted as being recorded so that it is not completed meanwhile. */
  async #studyOf(callingAET: string, studyInstanceUID: string): Promise<readonly [string, Study]> {
    const adopted = keyOf('', studyInstanceUID);
    const key = this.#studies.has(adopted) ? adopted : keyOf(callingAET, studyInstanceUID);
    let opening = this.#studies.get(key);
    if (opening === undefined) {
      opening = this.#openJob(studyInstanceUID);
      this.#studies.set(key, opening);
      this.#tell();
    }
    let study: Study;
    try {
      study = await opening;
    } catch (thrown) {
      if (this.#studies.get(key) === opening) this.#studies.delete(key);
      throw thrown;
    }
    // Completed while we waited: this one is late.
    if (this.#studies.get(key) !== opening) return this.#studyOf(callingAET, studyInstanceUID);
    study.recording += 1;
    return [key, study];
  }

  async #openJob(study: string): Promise<Study> {
    const { ledger, prefix, issuer, topic, node } = this.#options;
    const { token, folder } = await ledger.receive({
      sourceKey: this.sourceKey, kind: 'received', prefix, study,
      ...(issuer === undefined ? {} : { issuer }), ...(topic === undefined ? {} : { topic }), ...(node === undefined ? {} : { node }),
    });
    return { token, folder, associations: new Set(), recording: 0, lastAt: performance.now(), timer: undefined, live: true };
  }

  #ended(association: IncomingAssociation): void {
    for (const [key, opening] of this.#studies) {
      void (async () => {
        const [study] = await Promise.allSettled([opening]);
        if (study.status === 'fulfilled' && study.value.associations.delete(association)) this.#arm(key, study.value);
      })();
    }
  }

  /** Sets the timer for the moment at which the study will have been quiet, as things stand. */
  #arm(key: string, study: Study): void {
    clearTimeout(study.timer);
    if (this.#stopped.signal.aborted || !study.live) return;
    const since = performance.now() - study.lastAt;
    const limit = study.associations.size > 0 ? Math.max(LONGEST_HOLD, this.#options.quiet) : this.#options.quiet;
    study.timer = setTimeout(() => {
      // One more is being recorded; it sets the timer again.
      if (study.recording > 0) return;
      this.#forget(key, study);
      this.#complete(study);
    }, Math.max(0, limit - since));
  }

  #forget(key: string, study: Study): void {
    if (!study.live) return;
    study.live = false;
    clearTimeout(study.timer);
    this.#studies.delete(key);
    this.#tell();
  }

  /** Makes a job of it, as soon as the ledger lets it. */
  #complete(study: Study): void {
    const completing = this.#completeWhenPossible(study.token);
    this.#completing.add(completing);
    void (async () => {
      await completing;
      this.#completing.delete(completing);
    })();
  }

  async #completeWhenPossible(token: JobToken): Promise<void> {
    const { signal } = this.#stopped;
    for (let wait = FIRST_RETRY; !signal.aborted; wait = Math.min(2 * wait, LONGEST_RETRY)) {
      try {
        const taken = await this.#options.ledger.completeReceived(token.id);
        if (taken.kind === 'job') this.#options.send(taken.token, taken.path);
        if (taken.kind !== 'refused') return;
      } catch (thrown) {
        const error = toExdicomError(thrown, { stage: 'receive', job: token.name });
        // None of its instances could be recorded, and each sender was told so; or a person cancelled it; or another node
        // that had it as well was first.
        if (error.code === 'NOTHING_TO_DO' || error.code === 'JOB_CANCELLED' || error.code === 'JOB_UNKNOWN') return;
        this.#options.onError?.(error);
        if (!error.retryable) return;
      }
      await sleep(wait, signal);
    }
  }

  #tell(): void {
    this.#options.onStatus?.(this.status);
  }
}

/** AE titles hold no line feed. */
const keyOf = (callingAET: string, study: string): string => `${callingAET}\n${study}`;

/** Resolves after so many milliseconds, or when the signal fires. */
function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener('abort', end, { once: true });
  });
}

/** Makes a rename durable. Where folders cannot be opened (Windows) the file system does it by itself. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  await using handle = await open(folder, 'r');
  await handle.sync();
}
