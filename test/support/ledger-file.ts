/** What a ledger's file says, read from outside when nobody holds it. */
import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';

/** The rows of a query; none before the ledger has made its file and tables. */
function rows<T>(directory: string, query: string): T[] {
  const file = join(directory, 'ledger.sqlite');
  if (!existsSync(file)) return [];
  // While the ledger opens or closes it has the file for itself.
  const database = new DatabaseSync(file, { readOnly: true, timeout: 60_000 });
  try {
    if (database.prepare("SELECT name FROM sqlite_master WHERE name = 'job'").get() === undefined) return [];
    return database.prepare(query).all() as T[]; // the caller names the columns of its own query
  } finally {
    database.close();
  }
}

/** Receipts of all closed jobs, by the job's name. */
export function receiptsIn(directory: string): Map<string, Receipt> {
  return new Map(rows<{ name: string; receipt: string }>(directory, 'SELECT name, receipt FROM job WHERE receipt IS NOT NULL').map(({ name, receipt }) => [name, JSON.parse(receipt) as Receipt]));
}

export interface JobLine {
  readonly n: number;
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly sourceKey: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly attempt: number;
  readonly code: string | null;
  readonly receipt: string | null;
}

/** All jobs, in order of age. */
export function jobsIn(directory: string): JobLine[] {
  return rows<JobLine>(directory, 'SELECT n, id, name, kind, source_key AS sourceKey, state, outcome, attempt, error_code AS code, receipt FROM job ORDER BY n');
}

/** How many jobs are in each state. */
export function jobStates(directory: string): Record<string, number> {
  return Object.fromEntries(rows<{ state: string; count: number }>(directory, 'SELECT state, count(*) AS count FROM job GROUP BY state').map(({ state, count }) => [state, count]));
}
