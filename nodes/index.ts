/**
 * The types of what travels on a wire, for function nodes and for packs that build on this one, and the table of errors by
 * whose codes flows are routed; and the proof that a ledger's journal is whole.
 */
import type { Anonymized, Delivered, DicomFile, Extracted, JobToken } from './engine/model';
import type { Receipt } from './engine/ledger/ledger-types';
import type { ErrorCode } from './engine/errors';

export type { Anonymized, Delivered, DicomFile, Extracted, JobToken, Outcome, VerificationLevel } from './engine/model';
export type { Receipt } from './engine/ledger/ledger-types';
export type { HoldSummary, JobCounts, JobList, JobReport, JobsAnswers, JobsError, JobSummary, QuarantinedSummary } from './jobs/answers';
export type { ErrorCode, ErrorEntry, Stage } from './engine/errors';
export { ERRORS } from './engine/errors';
export { verifyJournal } from './engine/ledger/journal';
export type { JournalProblem, JournalReport } from './engine/ledger/verify-journal';

/** A message as the nodes of this pack set it; every other property is passed on as it came. */
export interface ExdicomMessage {
  /** The token; everything else about the job is in its ledger. */
  job: JobToken;
  topic?: string;
  /**
   * Out of a source: the path of what was taken in. After `extract`: the DICOM files. Out of `anonymize`'s second output: what
   * was quarantined. Out of `finish`: the receipt; null with an error.
   */
  payload: string | DicomFile | readonly DicomFile[] | ReadonlyArray<{ readonly instance: number; readonly code: ErrorCode }> | Receipt | null;
  extracted?: Extracted;
  anonymized?: Anonymized;
  /** By the destination's name, or its address where it has none. */
  delivered?: Readonly<Record<string, Delivered>>;
  /** Which of several messages of one job this is; core's `join` puts them together. */
  parts?: { readonly id: string; readonly index: number; readonly count: number; readonly type: 'array'; readonly len: number };
  /** Out of `retry`: until when the job is parked (milliseconds since 1970), or why it is not. */
  retry?: { readonly until?: number; readonly attempt?: number; readonly attempts?: number; readonly code?: ErrorCode; readonly reason?: string };
  /** On messages of Catch nodes, and out of `finish`, which alone says remedy and retryable: Node-RED hands on no more. */
  error?: { readonly code: ErrorCode; readonly cause: string; readonly remedy?: string; readonly retryable?: boolean; readonly message: string };
}
