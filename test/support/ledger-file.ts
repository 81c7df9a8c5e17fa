/** What a ledger's file says, read from outside when nobody holds it. */
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';

/** Receipts of all closed jobs, by the job's name. */
export function receiptsIn(directory: string): Map<string, Receipt> {
  const database = new DatabaseSync(join(directory, 'ledger.sqlite'), { readOnly: true });
  try {
    const rows = database.prepare('SELECT name, receipt FROM job WHERE receipt IS NOT NULL').all() as Array<{ name: string; receipt: string }>;
    return new Map(rows.map(({ name, receipt }) => [name, JSON.parse(receipt) as Receipt]));
  } finally {
    database.close();
  }
}

/** How many jobs are in each state. */
export function jobStates(directory: string): Record<string, number> {
  const database = new DatabaseSync(join(directory, 'ledger.sqlite'), { readOnly: true });
  try {
    const rows = database.prepare('SELECT state, count(*) AS count FROM job GROUP BY state').all() as Array<{ state: string; count: number }>;
    return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
  } finally {
    database.close();
  }
}
