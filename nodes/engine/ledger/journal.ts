/** The proof that a ledger's journal is whole, for programs. */
import { runTask } from '../workers/pool';
import type { Anchor, JournalReport } from './verify-journal';

/** Milliseconds: some gigabytes. */
const TIME_LIMIT = 600_000;

/**
 * Verifies the journal in a ledger's folder `journal`: every line has the hash of its own text, and names that of the line
 * before. With `anchors`, the `journal` of receipts, these lines must be there with their hashes (those before the first line that
 * is left are not looked for).
 * @throws {ExdicomError} STORAGE_FAILED where a file cannot be read.
 */
export function verifyJournal(folder: string, anchors: readonly Anchor[] = [], signal: AbortSignal = new AbortController().signal): Promise<JournalReport> {
  return runTask('ledger.verify', { folder, anchors: anchors.map(({ seq, hash }) => ({ seq, hash })) }, { signal, timeLimit: TIME_LIMIT });
}
