/** What a `jobs` node answers with: plain JSON, times in ISO 8601, no value of a patient. */
import type { ErrorCode, Stage } from '../engine/errors';
import type { Hold, HoldMode, Job, JobDetails, JobEvent, JobKind, JobState, LedgerCounts, QuarantinedFile, Receipt } from '../engine/ledger/ledger-types';
import type { JobId, Outcome, SourceKey } from '../engine/model';

export interface JobSummary {
  readonly id: JobId;
  /** Neutral: `folder-in 0042`. */
  readonly name: string;
  readonly source: SourceKey;
  readonly kind: JobKind;
  readonly state: JobState;
  readonly outcome?: Outcome;
  readonly attempt: number;
  readonly bytes: number;
  readonly created: string;
  readonly updated: string;
  /** When a parked job is sent again. */
  readonly next?: string;
  readonly error?: { readonly code: ErrorCode; readonly stage: Stage; readonly message: string };
  readonly duplicateOf?: JobId;
  readonly againOf?: JobId;
  readonly releaseOf?: JobId;
  /** Name of the profile that its files were released under. */
  readonly profile?: string;
}

export type QuarantinedSummary = QuarantinedFile<string>;

/** To `list`. */
export interface JobList {
  readonly jobs: readonly JobSummary[];
  readonly offset: number;
  /** There are more behind these. */
  readonly more: boolean;
}

/** To `job`. */
export interface JobReport extends Omit<JobDetails, 'job' | 'quarantined' | 'failingSince' | 'events'> {
  readonly job: JobSummary;
  readonly quarantined: readonly QuarantinedSummary[];
  readonly failingSince?: string;
  readonly events: ReadonlyArray<Omit<JobEvent, 'at'> & { readonly at: string }>;
}

export interface HoldSummary {
  readonly source?: SourceKey;
  readonly destination?: string;
  readonly mode: HoldMode;
  readonly who: string;
  readonly at: string;
}

/** To `counts`. */
export interface JobCounts extends Omit<LedgerCounts, 'holds'> {
  readonly holds: readonly HoldSummary[];
}

/** To what could not be done; `msg.statusCode` fits it. */
export interface JobsError {
  readonly error: { readonly code: ErrorCode; readonly message: string };
}

/** What a `jobs` node puts into `msg.payload`, by action. */
export interface JobsAnswers {
  readonly list: JobList;
  readonly job: JobReport;
  readonly receipt: Receipt;
  readonly counts: JobCounts;
  readonly find: { readonly jobs: readonly JobSummary[] };
  readonly quarantine: { readonly files: readonly QuarantinedSummary[] };
  /** The new job. */
  readonly 'send-again': { readonly job: JobSummary };
  readonly cancel: { readonly job: JobSummary };
  /** How many jobs are due now. */
  readonly 'retry-now': { readonly due: number };
  readonly password: { readonly job: JobSummary };
  /** The new job. */
  readonly release: { readonly job: JobSummary };
  readonly discard: { readonly discarded: number };
  readonly pause: { readonly holds: readonly HoldSummary[] };
  readonly drain: { readonly holds: readonly HoldSummary[] };
  readonly resume: { readonly holds: readonly HoldSummary[] };
}

const iso = (milliseconds: number): string => new Date(milliseconds).toISOString();

/** Without what identifies: the topic and the issuer of a job are its sender's. */
export function summary({ id, name, sourceKey, kind, state, outcome, attempt, bytes, createdAt, updatedAt, nextAt, error, duplicateOf, againOf, releaseOf, profile }: Job): JobSummary {
  return {
    id, name, source: sourceKey, kind, state, attempt, bytes, created: iso(createdAt), updated: iso(updatedAt),
    ...(outcome === undefined ? {} : { outcome }),
    ...(nextAt === undefined || state !== 'parked' ? {} : { next: iso(nextAt) }),
    ...(error === undefined ? {} : { error }),
    ...(duplicateOf === undefined ? {} : { duplicateOf }),
    ...(againOf === undefined ? {} : { againOf }),
    ...(releaseOf === undefined ? {} : { releaseOf }),
    ...(profile === undefined ? {} : { profile }),
  };
}

export function report({ job, quarantined, failingSince, events, ...rest }: JobDetails): JobReport {
  return {
    job: summary(job), ...rest,
    quarantined: quarantined.map(quarantinedSummary),
    ...(failingSince === undefined ? {} : { failingSince: iso(failingSince) }),
    events: events.map(({ at, ...event }) => ({ ...event, at: iso(at) })),
  };
}

export function quarantinedSummary({ at, released, discarded, gone, ...file }: QuarantinedFile): QuarantinedSummary {
  return {
    ...file, at: iso(at),
    ...(released === undefined ? {} : { released: { ...released, at: iso(released.at) } }),
    ...(discarded === undefined ? {} : { discarded: { ...discarded, at: iso(discarded.at) } }),
    ...(gone === undefined ? {} : { gone: { ...gone, at: iso(gone.at) } }),
  };
}

export function holdSummary({ target, mode, who, at }: Hold): HoldSummary {
  return { ...('source' in target ? { source: target.source } : { destination: target.destination }), mode, who, at: iso(at) };
}

export function counts({ holds, ...rest }: LedgerCounts): JobCounts {
  return { ...rest, holds: holds.map(holdSummary) };
}
