/**
 * The ledger's contract: what sources, stages, out nodes and `finish` may ask of it. The ledger is the only place where
 * the truth about a job is kept; everything here is asynchronous but presence (`enter`, `leave`), which must never be
 * late.
 */
import type { ErrorCode, ExdicomError, Stage } from '../errors';
import type {
  DeliveryState, DicomFile, EntryKind, Extracted, JobId, JobToken, Outcome, OwnPath, Sha256, SourceKey, VerificationLevel,
} from '../model';
import type { ActiveHours } from './active-hours';

// ------------------------------------------------------------------------------------------------ jobs

export type JobKind = 'archive' | 'folder' | 'file' | 'received' | 'message';

/**
 * `receiving`: its bytes are on their way in. `open`: in the flow, or due to be sent again. `parked`: waits for `nextAt`
 * or for its destination. `needs-password`, `closing` (outcome decided, steps under way), `closed`.
 */
export type JobState = 'receiving' | 'open' | 'parked' | 'needs-password' | 'closing' | 'closed';

export interface Job {
  readonly id: JobId;
  readonly name: string;
  readonly sourceKey: SourceKey;
  readonly kind: JobKind;
  readonly state: JobState;
  readonly outcome?: Outcome;
  readonly attempt: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly nextAt?: number;
  readonly error?: { readonly code: ErrorCode; readonly stage: Stage; readonly message: string };
  /** Default Issuer of Patient ID of the source; separates two hospitals that share a PatientID. */
  readonly issuer?: string;
  /** Over the spooled items, in order; identifies the content. */
  readonly digest?: Sha256;
  readonly bytes: number;
  readonly topic?: string;
  readonly duplicateOf?: JobId;
  /** The closed job that this one repeats, because a person sent it again. */
  readonly againOf?: JobId;
  /** The job from whose quarantine a person released this one's files. */
  readonly releaseOf?: JobId;
  /** Name of the deid-profile that its files are released under: `anonymize` uses it instead of its own. */
  readonly profile?: string;
}

/** A file of the job's source, copied into the work folder. `name` is the foreign name: for reports and volume order, never for a path. */
export interface SpooledItem {
  readonly n: number;
  readonly path: OwnPath;
  readonly bytes: number;
  readonly name: string;
}

// ------------------------------------------------------------------------------------------------ sources

/** What is taken in: foreign files (read, never written) or a Buffer. */
export type IntakeItem =
  | { readonly path: string; readonly name: string; readonly bytes: number; readonly mtimeMs: number }
  | { readonly content: Uint8Array; readonly name: string };

export interface Intake {
  readonly sourceKey: SourceKey;
  readonly kind: JobKind;
  /** Prefix of the job's neutral name, by default the source's node type: `folder-in`. */
  readonly prefix: string;
  readonly items: readonly IntakeItem[];
  readonly issuer?: string;
  readonly topic?: string;
  /** Id of the source node, where its jobs stay its own under another source key: see `JobSource`. */
  readonly node?: string;
  /** What the source needs to find its original again when the job closes. Plain JSON; nulled with the job. */
  readonly origin?: unknown;
}

export type Taken =
  | { readonly kind: 'job'; readonly token: JobToken; readonly path: OwnPath }
  | { readonly kind: 'duplicate'; readonly job: Job; readonly of: JobId }
  /** A person cancelled its job and left the original where it is: not to be taken before it changes. */
  | { readonly kind: 'put-back'; readonly of: JobId }
  | { readonly kind: 'refused'; readonly reason: Exclude<Room, 'free'> };

/** Whether a source may take something in. `held`: a person paused or drains this source. */
export type Room = 'free' | 'slots' | 'parked' | 'space' | 'held' | 'closed';

/** What a source is told to do with its original when a job closes. */
export type Disposition = 'done' | 'failed' | 'put-back';

/** Why a job's original goes where it goes: what a source writes beside it as `reason.json`. No value of a patient. */
export interface Reason {
  readonly job: string;
  readonly outcome: Outcome;
  readonly at: string;
  readonly error?: { readonly code: ErrorCode; readonly stage: Stage; readonly message: string };
  readonly quarantined: ReadonlyArray<{ readonly instance: number; readonly code: ErrorCode; readonly stage: Stage }>;
  readonly failed: ReadonlyArray<{ readonly instance: number; readonly destination: string; readonly code: ErrorCode }>;
  /** Counts of the entries by kind. */
  readonly entries: Readonly<Record<EntryKind, number>> & { readonly total: number };
  readonly leftOut: number;
  /** Deliveries that nothing but a response proves: a source that deletes its original must not, while there are any. */
  readonly byResponse: number;
  readonly duplicateOf?: JobId;
}

/** A source node's hand in the ledger. Any source with a job's source key adopts it, unless the node that took it in is there. */
export interface JobSource {
  readonly sourceKey: SourceKey;
  /**
   * Id of the node: what it took in is its own, also under another source key. For sources whose jobs have no original that
   * would lie at the old place.
   */
  readonly node?: string;
  /** Send this job's token (again). `path`: the spooled file, or the folder of several. Must not throw. */
  send(token: JobToken, path: OwnPath, topic: string | undefined): void;
  /**
   * A closing step: move, mark or leave the original. Idempotent: it may run again after a crash. Where the spooled files
   * are the only copy (`received`, `message`), `ledger.spool(job.id)` still has them.
   */
  dispose(job: Job, origin: unknown, disposition: Disposition, reason: Reason): Promise<void>;
  /**
   * A person sends a closed job again: finds its original and calls `take` with it, once. Undefined where the original is no
   * longer there. What `take` throws is thrown on.
   */
  again?(job: Job, take: (original: AgainIntake) => Promise<Job>): Promise<Job | undefined>;
}

/** An original that is taken in again; the rest is as the closed job has it. */
export interface AgainIntake {
  readonly kind: JobKind;
  readonly items: readonly IntakeItem[];
  readonly issuer?: string;
  readonly origin?: unknown;
}

// ------------------------------------------------------------------------------------------------ extraction

/** An entry as `extract` found it, before the ledger has numbered and judged it. */
export interface FoundEntry {
  readonly kind: Extract<EntryKind, 'instance' | 'index' | 'not-dicom' | 'unreadable'>;
  readonly code?: ErrorCode;
  /** The raw entry name, decoded as well as can be; identifies, so it is nulled when the job closes. */
  readonly name: string;
  readonly bytes: number;
  /** For instances only. */
  readonly file?: FoundInstance;
}

export interface FoundInstance extends Omit<DicomFile, 'instance' | 'path'> {
  readonly path: OwnPath;
  readonly sha256: Sha256;
  /**
   * SHA-256 over the data set alone (what follows the File Meta Information): equal means duplicate. Given where files of the
   * job that differ have the same SOP Instance UID; elsewhere the digest of the whole tells enough.
   */
  readonly dataSetSha256?: Sha256;
  /** Opaque label, equal for instances of the same patient within this job. */
  readonly patient: string;
}

export interface Extraction {
  readonly summary: Extracted;
  readonly files: readonly DicomFile[];
  /** By instance number: its patient label and study, for splitting messages. */
  readonly groups: ReadonlyArray<{ readonly instance: number; readonly patient: string }>;
}

// ------------------------------------------------------------------------------------------------ preparing

export interface PreparedFile {
  readonly instance: number;
  /** Path of the file this was made from; the next stage's input. */
  readonly from: OwnPath;
  readonly path: OwnPath;
  readonly sha256: Sha256;
  readonly bytes: number;
  /** Time of change, where whoever wrote the file has looked: saves the ledger a look of its own. */
  readonly mtimeMs?: number;
  readonly file: DicomFile;
  /** What the profile's key makes of its patient, study and series, by which the job is found again. */
  readonly marks?: readonly string[];
}

export interface Quarantined {
  readonly instance: number;
  readonly code: ErrorCode;
  /** The file to set aside; moved into the quarantine folder by the ledger. */
  readonly path: OwnPath;
  /** Offset in the file where reading ended, tag, or the like; no values. */
  readonly detail?: string;
  /** As of a prepared file, and of the instance itself; as far as could be read. */
  readonly marks?: readonly string[];
}

export interface Preparation {
  /** `anonymize` or `transcode`. */
  readonly stage: 'anonymize' | 'transcode';
  /** Digest of the settings that change output bytes (profile fingerprint, engine version). */
  readonly settings: string;
  /** Name of the profile where the result is de-identified; absent where the stage does not de-identify. */
  readonly profile?: string;
  readonly files: readonly PreparedFile[];
  readonly quarantined: readonly Quarantined[];
}

export interface Prepared {
  readonly files: readonly PreparedFile[];
  readonly quarantined: ReadonlyArray<{ readonly instance: number; readonly code: ErrorCode }>;
}

// ------------------------------------------------------------------------------------------------ delivering

export interface DestinationInfo {
  /** What makes it the same destination after any redeploy: `dicom:AET@host:port`, `folder:/path`, `orthanc:https://…`. */
  readonly address: string;
  /** Key in `msg.delivered` and in receipts: the node's name, or the address. */
  readonly label: string;
  readonly identifiedAllowed: boolean;
}

export interface PlannedDelivery {
  /** Always numbered: files that a flow added are given a number here. */
  readonly file: DicomFile & { readonly instance: number };
  readonly sha256: Sha256;
  readonly state: DeliveryState;
  readonly level?: VerificationLevel;
  readonly code?: ErrorCode;
  readonly warned: boolean;
}

export interface DeliveryResult {
  readonly instance: number;
  readonly state: DeliveryState;
  readonly level?: VerificationLevel;
  readonly code?: ErrorCode;
  /** DIMSE or HTTP status as text, `0xB000`. */
  readonly status?: string;
  readonly warned?: boolean;
}

// ------------------------------------------------------------------------------------------------ finishing

export interface FinishRule {
  /** Labels or addresses that must have every instance; empty: every destination begun. */
  readonly required: readonly string[];
  readonly allowLeftOut: boolean;
}

export interface Receipt {
  readonly receipt: 1;
  readonly job: { readonly id: JobId; readonly name: string; readonly kind: JobKind; readonly outcome: Outcome; readonly attempts: number; readonly duplicateOf?: JobId; readonly againOf?: JobId; readonly releaseOf?: JobId };
  readonly source: { readonly key: SourceKey; readonly sha256?: Sha256; readonly bytes: number };
  readonly profile?: { readonly name: string; readonly settings: string };
  readonly entries: Readonly<Record<EntryKind, number>> & { readonly total: number };
  readonly destinations: ReadonlyArray<{
    readonly label: string; readonly address: string; readonly instances: number; readonly verified: number; readonly quarantined: number;
    readonly failed: number; readonly pending: number; readonly leftOut: number; readonly warned: number;
    /** Whether `finish` asked for it; the others are told for completeness. */
    readonly required: boolean; readonly levels: Readonly<Record<string, number>>;
  }>;
  readonly quarantined: ReadonlyArray<{ readonly instance: number; readonly code: ErrorCode }>;
  readonly failed: ReadonlyArray<{ readonly instance: number; readonly destination: string; readonly code: ErrorCode; readonly status?: string }>;
  /** What was verified at one destination at least. The UID is absent where the instance was sent identified: it would be the patient's. */
  readonly instances: ReadonlyArray<{ readonly instance: number; readonly sopInstanceUID?: string; readonly sha256: Sha256 }>;
  readonly error?: { readonly code: ErrorCode; readonly stage: Stage; readonly message: string };
  /** The event that closed the job: the journal's line with this number has this hash. */
  readonly journal: { readonly seq: number; readonly hash: string };
  /** What persons did to the job, also since it closed. */
  readonly acts: ReadonlyArray<{ readonly at: string; readonly event: string; readonly who: string; readonly instances?: string; readonly other?: string }>;
  readonly steps: ReadonlyArray<{ readonly step: string; readonly at: string; readonly code?: ErrorCode }>;
  readonly openedAt: string;
  readonly closedAt: string;
  readonly balanced: boolean;
}

/** Handed a job's receipt once, when the job has closed; by a `finish` node that a message of the job has visited. */
export type Finisher = (receipt: Receipt, token: JobToken) => void;

// ------------------------------------------------------------------------------------------------ asking

/** All conditions must hold; an absent one holds for every job. */
export interface JobFilter {
  readonly state?: JobState | readonly JobState[];
  readonly outcome?: Outcome;
  readonly sourceKey?: SourceKey;
  /** Address or label of a destination that the job has deliveries to, or waits for. */
  readonly destination?: string;
  /** Of the job's last error. */
  readonly code?: ErrorCode;
  /** Changed since then; milliseconds since 1970. */
  readonly since?: number;
  /** With a limit the newest come first, else the oldest. */
  readonly limit?: number;
  readonly offset?: number;
}

export interface LedgerCounts {
  readonly states: Readonly<Record<JobState, number>>;
  /** Of closing and closed jobs, as long as the ledger keeps them. */
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Instances in quarantine. */
  readonly quarantined: number;
  readonly destinations: ReadonlyArray<{ readonly address: string; readonly label: string; readonly deliveries: Readonly<Record<DeliveryState, number>> }>;
  readonly holds: readonly Hold[];
  /** Addresses of destinations whose circuit is open. */
  readonly circuits: readonly string[];
}

/** A change of state, as the chain of events has it. */
export interface JobEvent {
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly event: string;
  readonly code?: ErrorCode;
  readonly stage?: Stage;
  /** Where a person did it. */
  readonly who?: string;
  /** Numbers of the instances that it concerns: `1-3,7`. */
  readonly instances?: string;
  /** What else it concerns: another job's id, the address of a destination, the name of a profile. */
  readonly other?: string;
  readonly hash: string;
}

/** An instance that was set aside, and what a person decided about it. Times are milliseconds since 1970, or ISO 8601 where they are told. */
export interface QuarantinedFile<Time = number> {
  readonly job: JobId;
  /** Name of the job. */
  readonly name: string;
  readonly instance: number;
  readonly code: ErrorCode;
  readonly stage: Stage;
  readonly detail?: string;
  readonly at: Time;
  /** Released into this job, whose end decides whether it leaves the quarantine. */
  readonly released?: { readonly to: JobId; readonly who: string; readonly at: Time };
  readonly discarded?: { readonly who: string; readonly at: Time };
  /** Absent while it lies in quarantine. `removed`: by hand. */
  readonly gone?: { readonly why: 'released' | 'discarded' | 'expired' | 'removed'; readonly at: Time };
}

export interface JobDetails {
  readonly job: Job;
  readonly entries: Receipt['entries'];
  readonly destinations: ReadonlyArray<Omit<Receipt['destinations'][number], 'levels'>>;
  readonly quarantined: readonly QuarantinedFile[];
  /** By which the job is parked, or would be. */
  readonly policy: RetryPolicy;
  /** Failures in a row without progress, and since when (milliseconds since 1970). */
  readonly failures: number;
  readonly failingSince?: number;
  /** Addresses of the destinations that a parked job waits for; `CONFIGURATION` where a person must mend a setting. */
  readonly waitsFor: readonly string[];
  /** Jobs that a person made of this one by sending it again. */
  readonly sentAgainAs: readonly JobId[];
  readonly events: readonly JobEvent[];
}

/** What is looked for. Nothing of it is stored, logged or told. */
export interface Marks {
  /**
   * What the profile's key makes of the value looked for, under every scope and issuer that comes into question: the mapped
   * UID of an instance, series or study (`mapUid`), or the patient's pseudonym (`pseudonym` of kind `patient`).
   */
  readonly keyed: readonly string[];
  /** The original UID itself, for jobs that were not de-identified: hashed at once with the ledger's own key. */
  readonly uid?: string;
}

// ------------------------------------------------------------------------------------------------ acting

export type HoldTarget = { readonly source: SourceKey } | { /** Address or label. */ readonly destination: string };

/**
 * Of a source, `pause`: nothing new is taken, and its open jobs are not sent again; `drain`: nothing new is taken, what is in
 * goes on to its end. Of a destination, `pause`: deliveries under way stop at the next instance, and jobs wait; `drain`: jobs
 * that have begun there go on, no other begins.
 */
export type HoldMode = 'pause' | 'drain';

/** Kept until `resume`, also over restarts. */
export interface Hold {
  readonly target: HoldTarget;
  readonly mode: HoldMode;
  readonly who: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** The name that an act is recorded under where none is given. */
export const NOBODY = 'jobs node';

// ------------------------------------------------------------------------------------------------ the ledger

export interface Visit {
  readonly job: Job['id'];
  /** Aborts with JOB_CANCELLED when a person cancels the job: stop soon, send nothing more. */
  readonly signal: AbortSignal;
  /** The message has ended here: done, or failed and told. */
  leave(): void;
  /** The node closes with the message inside: the source will send the job again. */
  interrupt(): void;
}

export type Failure =
  | { readonly kind: 'parked'; readonly until: number }
  | { readonly kind: 'needs-password' }
  | { readonly kind: 'terminal' };

/** What jobs wait for whose error a person must mend in a setting. */
export const CONFIGURATION = 'configuration';

/** `image`: a single instance, at IMAGE level. `any`: that, or the count of a study. */
export interface Shown { readonly any: boolean; readonly image: boolean }

export interface RetryPolicy {
  /** Milliseconds. */
  readonly delay: number;
  readonly factor: number;
  readonly cap: number;
  /** 0 to 1: the share of a delay that is left to chance. */
  readonly jitter: number;
  /** Milliseconds since the first failure in a row. */
  readonly maximumAge: number;
  /** Retries in a row without progress; absent or 0: no limit. */
  readonly attempts?: number;
  /** When jobs may be sent again; absent: at any time. */
  readonly hours?: ActiveHours;
}

/** What became of a job that a retry node parks by its own policy. */
export type Parked =
  /** `attempt`: which retry in a row it waits for. Without a time: until what it waits for is let go. */
  | { readonly kind: 'parked'; readonly until?: number; readonly attempt: number }
  /** `gave-up`: by this policy, or by the one it was parked by. `job-failed`: closed, or about to, for another reason. `not-parked`: nothing has failed that could be tried again. */
  | { readonly kind: 'gave-up' | 'job-failed' | 'not-parked' | 'unknown-job'; readonly attempt?: number };

export interface LedgerSettings {
  readonly directory: string;
  readonly slots: number;
  readonly maxParked: number;
  /** Bytes that stay free on the disk of the work folder. */
  readonly reserve: number;
  /** Milliseconds. */
  readonly quiet: number;
  readonly policy: RetryPolicy;
  /** Days that closed jobs, their receipts and `done/` are kept. */
  readonly retention: number;
  /** Days that quarantined files are kept; 0: until a person removes them. */
  readonly quarantineRetention: number;
  readonly journal: JournalSettings;
}

/** When the files of the journal change, and how long they are kept. */
export interface JournalSettings {
  /** Bytes above which the next line begins a new file. */
  readonly bytes: number;
  /** Days after its first line at which a file is followed by a new one. */
  readonly days: number;
  /** Days that a file is kept after its last line; 0: for ever. */
  readonly retention: number;
}

export interface LedgerFolders {
  readonly root: string;
  readonly work: string;
  readonly quarantine: string;
  readonly done: string;
  readonly failed: string;
  readonly journal: string;
}

export interface LedgerStatus {
  readonly state: 'opening' | 'ready' | 'paused' | 'failed' | 'closed';
  readonly open: number;
  readonly parked: number;
  /** Jobs, open or parked, whose source is in no flow now. */
  readonly orphaned: number;
  readonly quarantined: number;
  readonly reason?: string;
  /** Why the journal is behind; its lines wait in the ledger and are written as soon as they can be. */
  readonly journal?: ErrorCode;
}

export interface Ledger {
  /** Id that tokens carry. */
  readonly id: string;
  readonly folders: LedgerFolders;
  readonly settings: LedgerSettings;

  open(): Promise<void>;
  /** Interrupts nothing by itself: stages do that in their own close. Resolves within 3 s. */
  close(): Promise<void>;
  status(): LedgerStatus;
  onStatus(listener: (status: LedgerStatus) => void): Disposable;

  // sources
  /** From now on this source owns every job with its key; nothing is sent before `started()`. */
  attachSource(source: JobSource): Disposable;
  /** Node-RED's `flows:started`: interrupted and forgotten jobs are sent again, in order of age. */
  started(): void;
  /** The origins of this source's jobs that are not closed, so that after a restart it takes none of them again. */
  origins(sourceKey: SourceKey): Promise<ReadonlyArray<{ readonly job: JobId; readonly origin: unknown }>>;
  /** The cancelled job that this very original was put back for, if any; it is not taken in until it changes or is sent again. */
  putBack(sourceKey: SourceKey, origin: unknown): Promise<JobId | undefined>;
  /** What was put back is gone, or another now: should it come again, it is new. */
  letGo(sourceKey: SourceKey, origin: unknown): Promise<void>;
  /** Whether `take` would be refused, without asking the disk twice in a second. */
  room(sourceKey?: SourceKey): Promise<Room>;
  /** Copies, digests, judges and numbers; resolves when the job is on disk. The caller sends the token. */
  take(intake: Intake, signal: AbortSignal): Promise<Taken>;
  /** Receiving over time (a DICOM association): open a job, add files that lie in its folder already, complete it. */
  receive(intake: Omit<Intake, 'items'> & { readonly study: string }): Promise<{ readonly token: JobToken; readonly folder: OwnPath }>;
  addReceived(job: JobId, item: { readonly path: OwnPath; readonly name: string; readonly bytes: number; readonly sha256: Sha256 }): Promise<void>;
  completeReceived(job: JobId): Promise<Taken>;
  /** Jobs of this source that are still receiving, for after a restart; `node` as in `JobSource`. */
  receiving(sourceKey: SourceKey, node?: string): Promise<ReadonlyArray<{ readonly token: JobToken; readonly folder: OwnPath; readonly study: string; readonly updatedAt: number }>>;

  // stages
  enter(token: JobToken, node: string): Visit;
  job(id: JobId): Promise<Job>;
  /** The id of the job of this neutral name; undefined where there is none. */
  jobNamed(name: string): Promise<JobId | undefined>;
  spool(id: JobId): Promise<readonly SpooledItem[]>;
  /** A folder of the job's own for a stage, made 0700. */
  stageFolder(id: JobId, stage: string): Promise<OwnPath>;
  /** The files with the ledger's own numbers; what a flow brought along is copied into the job and numbered by its content. */
  numberFiles(id: JobId, files: readonly DicomFile[]): Promise<ReadonlyArray<DicomFile & { readonly instance: number }>>;
  /** Decides, by the error table and the policy, what becomes of a job whose stage failed. Records it. */
  fail(token: JobToken, error: ExdicomError, policy?: RetryPolicy): Promise<Failure>;
  /** From now on the job is parked by this policy, which stays with it: for a retry node, after `fail` has parked it. */
  park(token: JobToken, policy: RetryPolicy): Promise<Parked>;
  /**
   * Crash counting: call before work that could kill the process, `progressed` after any piece of it. True where the job is
   * suspected of a crash: then the work is to be done in a process apart, so that its end says something.
   */
  attempting(id: JobId, stage: Stage): Promise<boolean>;
  progressed(id: JobId, stage: Stage): Promise<void>;

  extraction(id: JobId, settings: string): Promise<Extraction | undefined>;
  recordExtraction(id: JobId, settings: string, entries: readonly FoundEntry[]): Promise<Extraction>;

  /** Throws PROFILE_CHANGED when the job's first instance was prepared otherwise. */
  pinProfile(id: JobId, profile: { readonly name: string; readonly fingerprint: string }): Promise<void>;
  prepared(id: JobId, stage: Preparation['stage'], settings: string, files: readonly DicomFile[]): Promise<Prepared>;
  recordPreparation(id: JobId, preparation: Preparation): Promise<void>;
  /** Remember a fingerprint under a name; throws KEY_CHANGED when another was remembered before. */
  rememberKey(name: string, fingerprint: string): Promise<void>;
  knowsKey(name: string): Promise<boolean>;
  /** What flows on this ledger do now; a completed job with another configuration is no duplicate. */
  configure(node: string, configuration: string): Disposable;

  // out nodes
  planDeliveries(id: JobId, destination: DestinationInfo, files: readonly DicomFile[]): Promise<readonly PlannedDelivery[]>;
  recordDeliveries(id: JobId, destination: DestinationInfo, results: readonly DeliveryResult[]): Promise<void>;
  /** The destination answers again: jobs parked for it are due now, in order. `CONFIGURATION`: a deploy may have mended a setting. */
  destinationUp(address: string): void;
  /**
   * The destination does not answer: jobs that wait for such ones alone are not sent, and when they are due that counts as a failure,
   * as trying would have been. Disposed of: they are sent when they are due.
   */
  destinationDown(address: string): Disposable;
  /** The oldest of the jobs parked for a destination is due now, whatever else is known of it; false where none can be sent. */
  destinationTrial(address: string): boolean;
  /** How many jobs are parked for a destination; with `codes`, for one of these reasons. */
  waitingFor(address: string, codes?: ReadonlySet<ErrorCode>): number;
  /** Whether anything of the job was ever tried at a destination. */
  begun(id: JobId, address: string): Promise<boolean>;
  /** What a destination's queries have ever shown, by a name of the caller's; remembered over restarts, never taken back. */
  shown(query: string): Promise<Shown>;
  rememberShown(query: string, shown: Shown): Promise<void>;

  // finish
  attachFinisher(node: string, rule: FinishRule, finisher: Finisher): Disposable;
  /** A message of the job has come to this finish node; closes the job if it is complete. `told`: the receipt went out before, or goes to another node. */
  finish(token: JobToken, node: string): Promise<{ readonly closed: boolean; readonly waitingFor?: string; readonly told?: true }>;
  receipt(id: JobId): Promise<Receipt | undefined>;

  // asking
  jobs(filter?: JobFilter): Promise<readonly Job[]>;
  counts(): Promise<LedgerCounts>;
  /** @throws {ExdicomError} JOB_UNKNOWN */
  details(id: JobId): Promise<JobDetails>;
  /** Open and closed jobs, until these are purged; oldest first. A PatientID is found only where it was de-identified under a key that lasts. */
  find(marks: Marks): Promise<readonly Job[]>;
  /** What this source or destination is held by, at once. */
  held(target: HoldTarget): HoldMode | undefined;
  holds(): Promise<readonly Hold[]>;

  // acting: `who` is an operator's name, of which 64 printable characters are kept with the event
  /** Outcome `cancelled`, in any state before closing; resolves when that is on disk. @throws {ExdicomError} JOB_UNKNOWN, JOB_STATE */
  cancel(id: JobId, who?: string): Promise<void>;
  /**
   * Takes the original of a closed job in again as a new job, which sends all of it anew.
   * @throws {ExdicomError} JOB_UNKNOWN, JOB_STATE, SOURCE_GONE, SOURCE_UNREADABLE where no source node has its source,
   *   INTAKE_CLOSED
   */
  sendAgain(id: JobId, who?: string): Promise<Job>;
  /** A parked job, or all that wait for a destination (address or label), are due now; resolves with their number. @throws {ExdicomError} JOB_UNKNOWN, JOB_STATE */
  retryNow(what: JobId | { readonly destination: string }, who?: string): Promise<number>;
  /** Tried by `extract` besides its list, kept in memory until the job closes or the process ends. @throws {ExdicomError} JOB_UNKNOWN, JOB_STATE */
  password(id: JobId, password: string, who?: string): Promise<void>;
  /** Those given by hand. */
  passwords(id: JobId): readonly string[];
  hold(target: HoldTarget, mode: HoldMode, who?: string): Promise<void>;
  resume(target: HoldTarget, who?: string): Promise<void>;

  // quarantine
  /** What lies in quarantine; of one job whatever was ever set aside, with what became of it. */
  quarantine(filter?: { readonly job?: JobId }): Promise<readonly QuarantinedFile[]>;
  /**
   * A new job of these files, to be de-identified under the named profile; they leave the quarantine when it closes with them
   * verified, else they stay. `all` leaves out what was de-identified before it was set aside.
   * @throws {ExdicomError} JOB_UNKNOWN, NOT_IN_QUARANTINE, RELEASE_REFUSED, CONFIG_INVALID, INTAKE_CLOSED
   */
  release(id: JobId, instances: 'all' | readonly number[], profile: string, who?: string): Promise<JobToken>;
  /** Resolves with how many were removed. @throws {ExdicomError} JOB_UNKNOWN, NOT_IN_QUARANTINE */
  discard(id: JobId, instances: 'all' | readonly number[], who?: string): Promise<number>;
}
