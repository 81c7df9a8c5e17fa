/** The words of the pack as types: what travels on a wire, and what the engine's parts hand to each other. */
import type { ErrorCode } from './errors';

declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** A DICOM unique identifier as written in a data set, trailing NUL removed (PS3.5, 9). */
export type Uid = Branded<string, 'Uid'>;
/** An absolute path that this pack made itself, below a ledger's folders. No foreign string ever becomes one. */
export type OwnPath = Branded<string, 'OwnPath'>;
export type JobId = Branded<string, 'JobId'>;
/** Kind and normalised location of what jobs come from: `folder:/data/inbox`, `dicom:11112`. */
export type SourceKey = Branded<string, 'SourceKey'>;
/** SHA-256, lower-case hexadecimal, 64 characters. */
export type Sha256 = Branded<string, 'Sha256'>;

/** The token on every message; everything else about the job is in the ledger. */
export interface JobToken {
  readonly id: JobId;
  /** Neutral: the source's node name and a number, `folder-in 0042`. */
  readonly name: string;
  /** The ledger's id, by which a stage finds it without naming it in its own dialog. */
  readonly ledger: string;
  /** 1 for the first time through the flow. */
  readonly attempt: number;
}

/** One DICOM instance on disk, as it travels in `msg.payload` after `extract`. Plain JSON. */
export interface DicomFile {
  /** The ledger's number within the job; absent on files that a flow added by itself. */
  readonly instance?: number;
  readonly path: string;
  readonly bytes: number;
  readonly sopClassUID: string;
  readonly sopInstanceUID: string;
  readonly seriesInstanceUID: string;
  readonly studyInstanceUID: string;
  readonly transferSyntaxUID: string;
  readonly modality: string;
}

/** What a file inside an archive turned out to be. */
export type EntryKind = 'instance' | 'index' | 'not-dicom' | 'duplicate' | 'conflict' | 'unreadable';

/** `msg.extracted` */
export interface Extracted {
  readonly entries: number;
  readonly instances: number;
  readonly patients: number;
  readonly studies: number;
  readonly skipped: ReadonlyArray<{ readonly entry: number; readonly code: ErrorCode | 'INDEX' | 'NOT_DICOM' }>;
  /** Bytes of the instances on disk. */
  readonly bytes: number;
}

/** `msg.anonymized` */
export interface Anonymized {
  readonly profile: string;
  readonly files: number;
  readonly quarantined: ReadonlyArray<{ readonly instance: number; readonly code: ErrorCode }>;
  /** True where this attempt found the results of an earlier one on disk. */
  readonly resumed: number;
}

export type VerificationLevel = 'response' | 'C-FIND' | 'C-FIND study' | 'C-FIND count' | 'digest';

/** One destination in `msg.delivered`. */
export interface Delivered {
  /** Instances that reached the wanted level, in this job, at this destination. */
  readonly verified: number;
  /** The weakest level among them; `none` where nothing was verified. */
  readonly level: VerificationLevel | 'none';
  /** Instances that the destination took with a warning status. */
  readonly warned: number;
  readonly failed: ReadonlyArray<{ readonly instance: number; readonly code: ErrorCode; readonly status?: string }>;
  readonly bytes: number;
  readonly milliseconds: number;
}

/** The state of one delivery. */
export type DeliveryState = 'pending' | 'sent' | 'verified' | 'waiting' | 'failed';

export type Outcome = 'complete' | 'with-exceptions' | 'failed' | 'cancelled' | 'duplicate';
