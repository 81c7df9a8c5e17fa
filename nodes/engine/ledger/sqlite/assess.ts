/** What a job adds up to. */
import type { EntryKind, JobId } from '../../model';
import type { Assessment, DestinationCounts } from '../store';
import type { Database } from './database';
import { number } from './job-table';
import type { JobTable } from './job-table';

function countEntries(database: Database, job: number): Assessment['entries'] {
  const counts: Record<EntryKind, number> = { instance: 0, index: 0, 'not-dicom': 0, duplicate: 0, conflict: 0, unreadable: 0 };
  for (const row of database.all('SELECT kind, count(*) AS n FROM entry WHERE job = ? GROUP BY kind', job)) counts[row['kind'] as EntryKind] = Number(row['n']);
  return { ...counts, total: Number(database.get('SELECT entries FROM job WHERE n = ?', job)?.['entries']) };
}

/**
 * The account of one destination: each instance is in exactly one of its columns. Files that a flow added count where
 * they were sent; instances of the archive count everywhere.
 */
function countDestination(database: Database, job: number, id: JobId, attempt: number, address: string, label: string, required: boolean): DestinationCounts {
  const row = database.get(
    `SELECT count(*) AS instances, sum(d.state IS 'verified') AS verified, sum(d.state IS 'failed') AS failed, sum(d.state IN ('pending', 'sent', 'waiting')) AS pending,
       sum(d.state IS NULL AND q.instance IS NOT NULL) AS quarantined, sum(d.state IS NULL AND q.instance IS NULL) AS left_out,
       sum(d.warned IS 1 AND d.state IS 'verified') AS warned, sum(d.state IN ('pending', 'sent', 'waiting') AND d.attempt < ?4) AS abandoned
     FROM instance AS i
     LEFT JOIN delivery AS d ON d.job = i.job AND d.instance = i.n AND d.destination = (SELECT id FROM destination WHERE address = ?3)
     LEFT JOIN quarantine AS q ON q.job = ?2 AND q.instance = i.n AND q.stage <> 'deliver'
     WHERE i.job = ?1 AND (i.kind = 'instance' OR i.kind = 'added' AND d.state IS NOT NULL)`, job, id, address, attempt,
  );
  const count = (name: string): number => number(row?.[name]) ?? 0;
  return {
    address, label, required,
    instances: count('instances'), verified: count('verified'), quarantined: count('quarantined'), failed: count('failed'), pending: count('pending'),
    leftOut: count('left_out'), warned: count('warned'), abandoned: count('abandoned'),
  };
}

export function assess(database: Database, table: JobTable, id: JobId, required: readonly string[]): Assessment {
  const job = table.n(id);
  const { attempt } = table.read(id);
  const begun = database.all(
    `SELECT address, label, max(delivery.attempt) AS attempt FROM delivery JOIN destination ON destination.id = delivery.destination
     WHERE job = ? GROUP BY destination.id ORDER BY destination.id`, job,
  ).map((row) => ({ address: String(row['address']), label: String(row['label']), touched: row['attempt'] === attempt }));
  const destinations = begun.map(({ address, label, touched }) => countDestination(
    database, job, id, attempt, address, label, required.length === 0 ? touched : required.includes(address) || required.includes(label),
  ));
  for (const name of required) {
    if (!begun.some(({ address, label }) => address === name || label === name)) destinations.push(countDestination(database, job, id, attempt, name, name, true));
  }
  const one = (sql: string, ...values: (number | string)[]): number => Number(database.get(sql, ...values)?.['n']);
  return {
    entries: countEntries(database, job),
    instances: one("SELECT count(*) AS n FROM instance WHERE job = ? AND kind <> 'conflict'", job),
    quarantined: one('SELECT count(*) AS n FROM quarantine WHERE job = ?', id),
    undelivered: one(
      `SELECT count(*) AS n FROM instance AS i WHERE i.job = ?1 AND i.kind <> 'conflict'
        AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.job = ?1 AND d.instance = i.n) AND NOT EXISTS (SELECT 1 FROM quarantine AS q WHERE q.job = ?2 AND q.instance = i.n)`, job, id,
    ),
    destinations,
  };
}
