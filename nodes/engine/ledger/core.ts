/** What the parts of a ledger share: its settings, its store, the jobs that are not closed, and its state. */
import { join, resolve } from 'node:path';
import { ExdicomError } from '../errors';
import type { ErrorCode, Stage } from '../errors';
import type { JobId, JobToken, OwnPath } from '../model';
import { runTask } from '../workers/pool';
import type { TaskInput, TaskName, TaskOutput } from '../workers/tasks';
import { Holds } from './holds';
import type { Job, LedgerFolders, LedgerSettings, LedgerStatus } from './ledger-types';
import type { JobRow, JobStore } from './store';
import type { StoreClient } from './store-client';

/** Milliseconds that a task on a handful of files may take; what grows with bytes adds to it. */
const TASK_TIME = 120_000;

/** A job that is not closed, as this process sees it. Times are of the monotonic clock: the other one jumps. */
export interface LiveJob {
  row: JobRow;
  /** Messages of the job inside our nodes: which node each is in. */
  readonly visits: Map<symbol, string>;
  /** A node closed with a message of it inside. */
  interrupted: boolean;
  /** When flows were deployed since it was sent, which may have taken a message of it away unseen. */
  deployedAt: number | undefined;
  /** It was sent by this process at least once. */
  sentHere: boolean;
  /** It is to be sent as soon as it may. */
  wantsSend: boolean;
  /** Not to be sent before, though it wants to: what stopped it could not be written down. */
  notBefore: number;
  /** When a parked job is due. */
  dueAt: number | undefined;
  /** The first failure in a row. */
  failingAt: number | undefined;
  /** Last sign of life. */
  activeAt: number;
  /** Stages that have begun work that may crash, and the messages of which one does it. */
  readonly attempts: Map<Stage, Set<symbol>>;
  /** Closing steps are running. */
  closing: boolean;
  /** A password came while it was under way, which its extraction may have begun without. */
  newPassword: boolean;
  /** It is being taken in. */
  taking: boolean;
  /** Aborts when a person cancels it. */
  readonly stop: AbortController;
}

export const tokenOf = (ledger: string, { id, name, attempt }: JobRow): JobToken => ({ id, name, ledger, attempt });

/** What the outside may know of a job. */
export function jobOf(row: JobRow): Job {
  const { n: _n, path: _path, study: _study, failures: _failures, failingSince: _since, waitsFor: _waitsFor, doomed: _doomed, crashes: _crashes, finishNode: _node, policy: _policy, notBefore: _notBefore, node: _taker, ...job } = row;
  return job;
}

export const clock = (): number => performance.now();

/** A time in the future is one of a clock that was wrong then, or is now. */
const failingAt = ({ failingSince }: JobRow): number | undefined => (failingSince === undefined ? undefined : clock() - Math.max(0, Date.now() - failingSince));

type Phase = 'opening' | 'ready' | 'failed' | 'closed';

type DiskFault = Extract<ErrorCode, 'DISK_FULL' | 'STORAGE_FAILED'>;

export class LedgerCore {
  readonly folders: LedgerFolders;
  readonly jobs = new Map<JobId, LiveJob>();
  quarantined = 0;
  /** Whether a source node is there for this job. */
  hasSource: (row: JobRow) => boolean = () => true;
  #client: StoreClient | undefined;
  #phase: Phase = 'opening';
  #failure: string | undefined;
  #paused: DiskFault | undefined;
  #journal: ErrorCode | undefined;
  #telling = false;
  readonly #listeners = new Set<(status: LedgerStatus) => void>();
  readonly #ending = new AbortController();
  /** Jobs that closed lately, and whether by cancelling: what still comes of them is late, not unknown. */
  readonly #closedLately = new Map<JobId, { readonly cancelled: boolean }>();
  readonly holds = new Holds();
  /** Given by hand: in memory only. */
  readonly passwords = new Map<JobId, readonly string[]>();
  /** Addresses of destinations whose circuit is open. */
  circuits: () => readonly string[] = () => [];

  constructor(readonly id: string, readonly settings: LedgerSettings) {
    const root = resolve(settings.directory);
    this.folders = { root, work: join(root, 'work'), quarantine: join(root, 'quarantine'), done: join(root, 'done'), failed: join(root, 'failed'), journal: join(root, 'journal') };
  }

  /** Aborts when the ledger closes. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  get ready(): boolean {
    return this.#phase === 'ready';
  }

  get closed(): boolean {
    return this.#phase === 'closed';
  }

  /** @throws {ExdicomError} LEDGER_CLOSED */
  get store(): JobStore {
    if (this.#client === undefined || this.#phase !== 'ready') throw new ExdicomError('LEDGER_CLOSED');
    return this.#client.store;
  }

  opened(client: StoreClient): void {
    this.#client = client;
    this.#phase = 'ready';
    this.#failure = undefined;
    client.onFailure((error) => { this.failed(error); });
    client.onJournal((failure) => {
      this.#journal = failure;
      if (failure === 'DISK_FULL') this.paused = 'DISK_FULL';
      this.changed();
    });
    this.changed();
  }

  failed(error: ExdicomError): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'failed';
    this.#failure = error.code;
    this.changed();
  }

  /** Nothing new is begun from here on. */
  end(): StoreClient | undefined {
    this.#phase = 'closed';
    this.#ending.abort(new ExdicomError('LEDGER_CLOSED'));
    this.changed();
    return this.#client;
  }

  // ---------------------------------------------------------------------------------------------- state

  /** Why nothing is taken in: the disk is full, or away, where a person who looks for what fills it finds nothing. */
  get paused(): DiskFault | undefined {
    return this.#paused;
  }

  set paused(fault: DiskFault | undefined) {
    if (this.#paused === fault) return;
    this.#paused = fault;
    this.changed();
  }

  /** Looks whether a failure is one of the disk, which pauses the intake; hands it on. */
  noticed(error: ExdicomError): ExdicomError {
    if (error.code === 'DISK_FULL') this.paused = 'DISK_FULL';
    return error;
  }

  status(): LedgerStatus {
    let open = 0, parked = 0, orphaned = 0;
    for (const { row } of this.jobs.values()) {
      if (!this.hasSource(row)) orphaned += 1;
      if (row.state === 'parked' || row.state === 'needs-password') parked += 1;
      else open += 1;
    }
    const state = this.#phase === 'ready' && this.#paused !== undefined ? 'paused' : this.#phase;
    const reason = state === 'paused' ? this.#paused : this.#failure;
    return { state, open, parked, orphaned, quarantined: this.quarantined, ...(reason === undefined ? {} : { reason }), ...(this.#journal === undefined ? {} : { journal: this.#journal }) };
  }

  onStatus(listener: (status: LedgerStatus) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => { this.#listeners.delete(listener); } };
  }

  /** Tells listeners once per turn of the event loop. */
  changed(): void {
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      for (const listener of this.#listeners) listener(this.status());
    });
  }

  // ---------------------------------------------------------------------------------------------- jobs

  add(row: JobRow): LiveJob {
    const job: LiveJob = {
      row, visits: new Map(), interrupted: false, deployedAt: undefined, sentHere: false, wantsSend: false, notBefore: 0, dueAt: undefined, failingAt: failingAt(row), activeAt: clock(), attempts: new Map(), closing: false, newPassword: false, taking: false,
      stop: new AbortController(),
    };
    this.jobs.set(row.id, job);
    this.changed();
    return job;
  }

  drop(id: JobId): void {
    this.#closedLately.set(id, { cancelled: this.jobs.get(id)?.row.outcome === 'cancelled' });
    this.jobs.delete(id);
    this.passwords.delete(id);
    if (this.#closedLately.size > 1000) {
      for (const oldest of this.#closedLately.keys()) {
        this.#closedLately.delete(oldest);
        break;
      }
    }
    this.changed();
  }

  closedLately(id: JobId): boolean {
    return this.#closedLately.has(id);
  }

  /** Whether a person has cancelled it, as far as this process remembers. */
  cancelled(id: JobId): boolean {
    return this.jobs.get(id)?.row.outcome === 'cancelled' || this.#closedLately.get(id)?.cancelled === true;
  }

  /** @throws {ExdicomError} JOB_UNKNOWN, JOB_CANCELLED, LEDGER_CLOSED */
  live(id: JobId): LiveJob {
    const job = this.jobs.get(id);
    if (this.cancelled(id)) throw new ExdicomError('JOB_CANCELLED', job === undefined ? {} : { job: job.row.name });
    if (job === undefined) throw new ExdicomError(this.#phase === 'closed' ? 'LEDGER_CLOSED' : 'JOB_UNKNOWN');
    return job;
  }

  update(job: LiveJob, row: JobRow): void {
    if (row.failingSince !== job.row.failingSince) job.failingAt = failingAt(row);
    job.row = row;
    job.activeAt = clock();
    this.changed();
  }

  idle(job: LiveJob): number {
    return clock() - job.activeAt;
  }

  workFolder(id: JobId): OwnPath {
    return join(this.folders.work, id) as OwnPath;
  }

  token(row: JobRow): JobToken {
    return tokenOf(this.id, row);
  }

  /** @param bytes that the task has to read or write, for its time limit. */
  task<N extends TaskName>(name: N, input: TaskInput<N>, bytes = 0, signal: AbortSignal = this.signal): Promise<TaskOutput<N>> {
    // A slow network share moves a megabyte a second.
    return runTask(name, input, { signal: AbortSignal.any([signal, this.signal]), timeLimit: TASK_TIME + Math.ceil(bytes / 1000) });
  }
}

/** Something new is on disk: failures in a row and crashes start from nothing, as the store has noted already. */
export async function recordProgress(core: LedgerCore, job: LiveJob, stage: Stage): Promise<void> {
  const crashes = job.row.crashes === 0 ? 0 : await core.store.progressed(job.row.id, stage);
  const { failingSince: _since, ...row } = job.row;
  core.update(job, row.state === 'parked' ? { ...job.row, crashes } : { ...row, failures: 0, crashes });
}
