/** What a status says of an error in at most twelve characters: beside `failed: ` no more than that fits. */
import type { ErrorCode, ExdicomError } from '../engine/errors';

const SHORT_TEXTS: Partial<Record<ErrorCode, string>> = {
  CONFIG_INVALID: 'settings', PROFILE_MISSING: 'no profile', LEDGER_MISSING: 'no ledger', KEY_MISSING: 'key missing', KEY_CHANGED: 'key changed', KEY_TOO_SHORT: 'short key',
  LEDGER_LOCKED: 'ledger used', LEDGER_NEWER: 'newer ledger', LEDGER_DAMAGED: 'ledger', LEDGER_CLOSED: 'closing', DISK_FULL: 'disk full',
  STORAGE_FAILED: 'disk', INTERRUPTED: 'interrupted', JOB_UNKNOWN: 'unknown job', JOB_STATE: 'state', NOT_IN_QUARANTINE: 'not there', RELEASE_REFUSED: 'refused', REQUEST_INVALID: 'bad request', REQUEST_REFUSED: 'bad request', JOB_CANCELLED: 'cancelled', WORKER_CRASHED: 'worker', WORKER_TIMEOUT: 'time limit',
  CONDEMNED: 'set aside', INTERNAL: 'internal',
  SOURCE_GONE: 'source gone', SOURCE_UNREADABLE: 'unreadable', SOURCE_CHANGED: 'changing', NOTHING_TO_DO: 'no input',
  UNSUPPORTED_ARCHIVE: 'archive kind', ARCHIVE_DAMAGED: 'damaged', ARCHIVE_EMPTY: 'empty', NO_DICOM: 'no DICOM', MISSING_VOLUME: 'volume',
  NEEDS_PASSWORD: 'password', LIMIT_BYTES: 'too large', LIMIT_ENTRIES: 'many entries', LIMIT_RATIO: 'zip bomb', LIMIT_DEPTH: 'too deep',
  LIMIT_OVERLAP: 'zip bomb', LIMIT_NAME: 'long name', LIMIT_TIME: 'too slow', SEVERAL_PATIENTS: 'patients',
  PROFILE_CHANGED: 'profile', NOT_DEIDENTIFIED: 'identified',
  PEER_UNREACHABLE: 'no peer', PEER_TIMEOUT: 'no answer', PEER_CLOSED: 'peer closed', PEER_ABORTED: 'peer aborted', PEER_PROTOCOL: 'not DICOM',
  ASSOCIATION_REJECTED: 'AET refused', ASSOCIATION_BUSY: 'PACS busy', TLS_FAILED: 'TLS', NO_CONTEXT: 'not accepted', STORE_BUSY: 'PACS full',
  STORE_REFUSED: 'PACS refused', STORE_MISMATCH: 'mismatch', NOT_FOUND: 'not found', UNVERIFIABLE: 'unverifiable', QUERY_FAILED: 'query',
  VERIFY_DIGEST: 'digest', LEFT_OUT: 'left out', ACCOUNTING: 'accounting', GAVE_UP: 'gave up', LISTEN_FAILED: 'port in use', INTAKE_CLOSED: 'no room',
};

export function shortText({ code, stage }: Pick<ExdicomError, 'code' | 'stage'>): string {
  return SHORT_TEXTS[code] ?? stage;
}
