/**
 * What the ledger asks of the durable store beneath it. Every call is one atomic change that is on disk when its promise
 * resolves; nothing here knows of messages, timers or nodes, so that a distributed engine can stand in for SQLite.
 */
import type { ErrorCode, Stage } from '../errors';
import type { DeliveryState, DicomFile, EntryKind, Extracted, JobId, Outcome, OwnPath, Sha256, SourceKey, VerificationLevel } from '../model';
import type {
  DeliveryResult, FoundEntry, Hold, HoldMode, HoldTarget, Job, JobEvent, JobFilter, JobKind, LedgerCounts, Marks, Preparation, PreparedFile, Reason, Receipt, RetryPolicy, Shown, SpooledItem,
} from './ledger-types';

/** Crashes of one stage of one job after which it is not tried again. */
export const CONDEMNED_AT = 3;

/** A job with what the ledger needs to drive it. */
export interface JobRow extends Job {
  /** Serial number; jobs are sent in its order. */
  readonly n: number;
  /** The spooled file, or the folder of several. */
  readonly path?: OwnPath;
  readonly study?: string;
  /** Failures in a row without progress, and since when. */
  readonly failures: number;
  readonly failingSince?: number;
  /** That of a retry node; absent: the ledger's own. */
  readonly policy?: RetryPolicy;
  /** The destination asked not to be tried before; milliseconds since 1970. */
  readonly notBefore?: number;
  /** Addresses of the destinations that a parked job waits for. */
  readonly waitsFor: readonly string[];
  /** A terminal error was recorded; the job closes as failed when it is quiet. */
  readonly doomed: boolean;
  /** Most crashes of any of its stages. */
  readonly crashes: number;
  /** The finish node that a message of the current attempt has visited first. */
  readonly finishNode?: string;
  /** The source node that took it in, where it is one whose jobs stay its own. */
  readonly node?: string;
}

export interface NewJob {
  readonly id: JobId;
  readonly prefix: string;
  readonly sourceKey: SourceKey;
  readonly kind: JobKind;
  readonly issuer?: string;
  readonly topic?: string;
  readonly study?: string;
  readonly node?: string;
  /** JSON. */
  readonly origin?: string;
  /** The job from whose quarantine its files are. */
  readonly releaseOf?: JobId;
}

export interface StoredItem extends SpooledItem {
  readonly sha256: Sha256;
}

export interface ErrorFacts {
  readonly code: ErrorCode;
  readonly stage: Stage;
  readonly message: string;
}

export interface Parking {
  /** Absent: not by the clock, but when what it waits for lets it. */
  readonly nextAt?: number;
  readonly notBefore?: number;
  readonly failures: number;
  readonly failingSince?: number;
  readonly waitsFor: readonly string[];
  readonly error: ErrorFacts;
}

export interface Opening {
  /** Every job that is not closed, in order of age. */
  readonly jobs: readonly JobRow[];
  /** Jobs whose three crashes were counted at this start. */
  readonly condemned: readonly JobId[];
}

/** How an entry was numbered and judged. */
export interface JudgedEntry {
  readonly entry: number;
  readonly kind: EntryKind;
  readonly code?: ErrorCode;
  readonly instance?: number;
  /** The file of an entry that is a duplicate, of no further use. */
  readonly remove?: OwnPath;
}

/** A file that the ledger knows, as it was recorded. */
export interface FileRow {
  readonly path: OwnPath;
  readonly instance: number;
  readonly from?: OwnPath;
  readonly sha256: Sha256;
  readonly bytes: number;
  readonly mtimeMs?: number;
  /** Recorded or checked by this process. */
  readonly trusted: boolean;
  /** Name of the profile that de-identified it or what it was made from. */
  readonly profile?: string;
  readonly facts: Omit<DicomFile, 'instance' | 'path' | 'bytes'>;
}

export interface InstanceRow extends FileRow {
  readonly patient: string;
  readonly quarantined: boolean;
}

export type NewFile = PreparedFile;

export interface QuarantineRequest {
  readonly instance: number;
  readonly code: ErrorCode;
  readonly stage: Stage;
  readonly path: OwnPath;
  readonly detail?: string;
}

/** How a file leaves the quarantine. `removed`: by hand. */
export type Departure = 'released' | 'discarded' | 'expired' | 'removed';

export interface QuarantineRow {
  readonly job: JobId;
  /** The job's name. */
  readonly name: string;
  /** Name of the job's folder in the quarantine folder. */
  readonly folder: string;
  readonly instance: number;
  readonly code: ErrorCode;
  readonly stage: Stage;
  readonly detail?: string;
  readonly at: number;
  /** It lies in the quarantine folder, or has lain there. */
  readonly moved: boolean;
  /** Name of the profile that had de-identified it before it was set aside. */
  readonly profile?: string;
  /** The job that it is released into. */
  readonly releasedTo?: JobId;
  /** Who released or discarded it, and when. */
  readonly who?: string;
  readonly decidedAt?: number;
  /** `elsewhere`: the released file of another job, in whose folder it stays. */
  readonly gone?: Departure | 'elsewhere';
  readonly goneAt?: number;
}

/** What a release needs of the job that its files come from, which may be purged by then. */
export interface QuarantineSource {
  readonly name: string;
  readonly sourceKey: SourceKey;
  readonly node?: string;
  readonly issuer?: string;
  readonly topic?: string;
}

/** A job of released files: where they come from, and for each item of the job the instance that it was there. */
export interface Release {
  readonly of: JobId;
  readonly who: string;
  readonly profile: string;
  readonly instances: readonly number[];
}

/** What planning needs to know of each file; the ledger has looked at the disk already. */
export interface DeliveryRequest {
  readonly instance?: number;
  readonly sopInstanceUID: string;
  readonly sha256: Sha256;
  /** De-identified by a profile of this ledger. */
  readonly deidentified: boolean;
}

export interface DeliveryRow {
  readonly instance: number;
  readonly state: DeliveryState;
  readonly level?: VerificationLevel;
  readonly code?: ErrorCode;
  readonly warned: boolean;
  /** The failure was found by this very plan, so its file is to be set aside. */
  readonly conflict: boolean;
}

export interface DestinationCounts {
  readonly address: string;
  readonly label: string;
  readonly instances: number;
  readonly verified: number;
  readonly quarantined: number;
  readonly failed: number;
  readonly pending: number;
  readonly leftOut: number;
  readonly warned: number;
  /** Of `pending`: begun by an earlier attempt and not touched since. */
  readonly abandoned: number;
  readonly required: boolean;
}

export interface Assessment {
  readonly entries: Readonly<Record<EntryKind, number>> & { readonly total: number };
  /** Instances of the extraction, and those that a flow added. */
  readonly instances: number;
  readonly quarantined: number;
  /** Instances that no destination was asked to take. */
  readonly undelivered: number;
  readonly destinations: readonly DestinationCounts[];
}

export interface Step {
  readonly step: string;
  readonly at: number;
  readonly code?: ErrorCode;
}

/** A job repeats a closed one: no duplicate of anything, and not sent yet. */
export interface Again {
  readonly of: JobId;
  readonly who: string;
}

export type CountsRow = Pick<LedgerCounts, 'states' | 'outcomes' | 'destinations'>;

export interface DetailsRow {
  readonly row: JobRow;
  readonly assessment: Assessment;
  readonly sentAgainAs: readonly JobId[];
  readonly events: readonly JobEvent[];
}

export interface Announcement {
  readonly id: JobId;
  readonly name: string;
  readonly attempt: number;
  readonly node: string;
  /** JSON. */
  readonly receipt: string;
}

export interface JobStore {
  /** Counts the crashes of the process before, drops what was never taken in whole. */
  start(): Promise<Opening>;
  /** An orderly end: what is under way now is no crash. */
  stop(): Promise<void>;

  createJob(job: NewJob): Promise<JobRow>;
  /** Forgets a job whose intake failed; its source was not touched. */
  discardJob(id: JobId): Promise<void>;
  /** An item numbered 0 gets the next number. */
  addItems(id: JobId, items: readonly StoredItem[]): Promise<void>;
  /** Judges duplicates: a duplicate comes back `closing`, anything else `open`. */
  completeIntake(id: JobId, path: OwnPath, digest: Sha256, bytes: number, configuration: string, again?: Again | Release): Promise<JobRow>;
  items(id: JobId): Promise<readonly StoredItem[]>;
  origin(id: JobId): Promise<string | undefined>;
  /** Origins, as JSON, of the jobs of a source that are not closed. */
  origins(sourceKey: SourceKey): Promise<ReadonlyArray<{ readonly job: JobId; readonly origin: string }>>;
  /** The job that is not closed yet and came from the very same original. */
  sameOrigin(sourceKey: SourceKey, origin: string): Promise<JobRow | undefined>;
  job(id: JobId): Promise<JobRow | undefined>;
  jobNamed(name: string): Promise<JobId | undefined>;

  jobs(filter: JobFilter): Promise<readonly JobRow[]>;
  counts(): Promise<CountsRow>;
  details(id: JobId): Promise<DetailsRow>;
  /** Notes by what a job is found again: what a key made of a value, and original UIDs of a job that is not de-identified. Only digests are kept. */
  mark(id: JobId, marks: { readonly keyed: readonly string[]; readonly uids: readonly string[] }): Promise<void>;
  find(marks: Marks): Promise<readonly JobRow[]>;
  /** What persons did to a job. */
  acts(id: JobId): Promise<Receipt['acts']>;
  /** Of the destinations of this address or label. */
  addresses(name: string): Promise<readonly string[]>;

  /** Decides the outcome `cancelled`, unless one is decided already. */
  cancel(id: JobId, who: string): Promise<JobRow>;
  /** Due now, where it is parked. */
  due(id: JobId, who: string): Promise<JobRow>;
  /** A person's act that changes nothing in the store. */
  acted(id: JobId, event: string, who: string): Promise<void>;
  /** The cancelled job that this very original was put back for. */
  putBack(sourceKey: SourceKey, origin: string): Promise<JobId | undefined>;
  letGo(sourceKey: SourceKey, origin: string): Promise<void>;
  hold(target: HoldTarget, mode: HoldMode, who: string): Promise<void>;
  /** False where it was not held. */
  unhold(target: HoldTarget, who: string): Promise<boolean>;
  holds(): Promise<readonly Hold[]>;

  /** Where the outcome of a job is decided, this and the next three change nothing. */
  sent(id: JobId): Promise<JobRow>;
  parked(id: JobId, parking: Parking): Promise<JobRow>;
  /** A retry node's policy; with a time, the parked job is due then. */
  setPolicy(id: JobId, policy: RetryPolicy, nextAt: number | undefined): Promise<JobRow>;
  /** A parked job was due, and what it waits for would have refused it. */
  postponed(id: JobId, nextAt: number, failures: number, failingSince: number): Promise<JobRow>;
  /** Failures in a row count from nothing for these parked jobs. */
  forgiven(ids: readonly JobId[]): Promise<readonly JobRow[]>;
  needsPassword(id: JobId, error: ErrorFacts): Promise<JobRow>;
  doomed(id: JobId, error: ErrorFacts): Promise<JobRow>;
  attempting(id: JobId, stage: Stage): Promise<void>;
  /** A piece of the work is done. Forgets crashes if it is more than was ever done; resolves with the crashes that still count. */
  progressed(id: JobId, stage: Stage): Promise<number>;
  /** Counts a crash of a worker thread; resolves with the number so far. */
  crashed(id: JobId, stage: Stage): Promise<number>;
  /** The stage has ended, so a crash from here on is not of its doing. */
  settled(id: JobId, stage: Stage): Promise<void>;

  beginExtraction(id: JobId): Promise<void>;
  addEntries(id: JobId, entries: readonly FoundEntry[], mtimes: readonly (number | undefined)[]): Promise<readonly JudgedEntry[]>;
  completeExtraction(id: JobId, settings: string, summary: Extracted): Promise<void>;
  extraction(id: JobId): Promise<{ readonly settings: string; readonly summary: Extracted } | undefined>;
  instances(id: JobId, after: number, limit: number): Promise<readonly InstanceRow[]>;

  /** False where the job was begun under another profile. */
  pinProfile(id: JobId, profile: { readonly name: string; readonly fingerprint: string }): Promise<boolean>;
  preparedFiles(id: JobId, stage: Preparation['stage'], settings: string, from: readonly string[]): Promise<readonly FileRow[]>;
  recordFiles(id: JobId, stage: Preparation['stage'], settings: string, profile: string | undefined, files: readonly NewFile[]): Promise<void>;
  files(id: JobId, paths: readonly string[]): Promise<readonly FileRow[]>;
  /** The instance that each of these is of; undefined for what is no file of the job. */
  numbersOf(id: JobId, paths: readonly string[]): Promise<ReadonlyArray<number | undefined>>;
  /** The digests of these files were computed anew and are as recorded. */
  trust(id: JobId, files: ReadonlyArray<{ readonly path: string; readonly mtimeMs: number }>): Promise<void>;
  /** Instances that are neither de-identified nor delivered yet, with their extracted files. */
  unprepared(id: JobId): Promise<ReadonlyArray<{ readonly instance: number; readonly path: OwnPath }>>;

  /** Notes files that are to be set aside; an instance that is noted already stays as it is. */
  quarantine(id: JobId, requests: readonly QuarantineRequest[]): Promise<void>;
  quarantinedOf(id: JobId): Promise<readonly QuarantineRow[]>;
  /** Noted, but not yet known to lie in the quarantine folder; of one job or of all. */
  unmoved(id: JobId | undefined): Promise<ReadonlyArray<QuarantineRow & { readonly path: OwnPath }>>;
  moved(job: JobId, instances: readonly number[]): Promise<void>;
  /** What should lie in the quarantine folder; of one job or of all. */
  quarantined(job: JobId | undefined): Promise<readonly QuarantineRow[]>;
  /** Of these what is older and nobody works on. */
  expired(before: number): Promise<readonly QuarantineRow[]>;
  /** They leave; `who`, where a person decided it now. Resolves with how many had not left before. */
  departed(rows: readonly QuarantineRow[], why: Departure, who: string | undefined): Promise<number>;
  /** They have left, and their files may still be there. */
  unremoved(): Promise<readonly QuarantineRow[]>;
  removed(rows: readonly QuarantineRow[]): Promise<void>;
  quarantineCount(): Promise<number>;
  quarantineSource(job: JobId): Promise<QuarantineSource | undefined>;
  /** The quarantined files that this job, which is closing, was made of: whether each was verified at every required destination. */
  releasedInto(id: JobId): Promise<ReadonlyArray<QuarantineRow & { readonly verified: boolean }>>;
  /** They stay, and may be released again. */
  unreleased(rows: readonly QuarantineRow[]): Promise<void>;

  /** False where another fingerprint was remembered before. */
  rememberKey(name: string, fingerprint: string): Promise<boolean>;
  knowsKey(name: string): Promise<boolean>;
  shown(query: string): Promise<Shown>;
  rememberShown(query: string, shown: Shown): Promise<void>;

  /** The numbers of files that a flow added: of the same content the same. */
  numberFiles(id: JobId, files: ReadonlyArray<Omit<DeliveryRequest, 'deidentified'>>): Promise<readonly number[]>;

  planDeliveries(
    id: JobId, destination: { readonly address: string; readonly label: string; readonly identifiedAllowed: boolean }, files: readonly DeliveryRequest[],
  ): Promise<readonly DeliveryRow[]>;
  /** Resolves with true where anything became verified or sent. */
  recordDeliveries(id: JobId, address: string, results: readonly DeliveryResult[]): Promise<boolean>;

  /** Whether an instance of the job was ever tried there. */
  begun(id: JobId, address: string): Promise<boolean>;

  /** Which finish node the job has now: that of the first visit. */
  visited(id: JobId, node: string): Promise<string>;
  assess(id: JobId, required: readonly string[]): Promise<Assessment>;
  /** The outcome is decided; `configuration` is what flows did when it was. */
  beginClosing(id: JobId, outcome: Outcome, required: readonly string[], error: ErrorFacts | undefined, configuration: string): Promise<JobRow>;
  /** What the source writes beside its original; after `beginClosing`. */
  reason(id: JobId): Promise<Reason>;
  steps(id: JobId): Promise<readonly Step[]>;
  step(id: JobId, step: string, code: ErrorCode | undefined): Promise<void>;
  /** Forgets what identifies, all but what the source needs to find its original. */
  forget(id: JobId): Promise<void>;
  /** Closes the job and forgets the rest; resolves with the receipt as JSON, which is quicker to pass between threads. */
  close(id: JobId): Promise<string>;
  receipt(id: JobId): Promise<string | undefined>;
  unannounced(): Promise<readonly Announcement[]>;
  announced(id: JobId): Promise<void>;
  /** Removes some of the closed jobs older than that; true where there may be more, else events that the journal has go as well. */
  purge(closedBefore: number): Promise<boolean>;
}

/** The same calls as the thread that holds the database does them. */
export type Synchronous<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => Promise<infer R> ? (...args: A) => R : never;
};
