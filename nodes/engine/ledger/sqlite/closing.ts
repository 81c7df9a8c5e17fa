/** What a job adds up to, the steps of its closing, and what is kept of it afterwards. */
import type { ErrorCode } from '../../errors';
import type { EntryKind, JobId, Outcome } from '../../model';
import type { Announcement, Assessment, DestinationCounts, ErrorFacts, JobStore, Step, Synchronous } from '../store';
import type { Database } from './database';
import { number, present, text } from './job-table';
import type { JobTable } from './job-table';
import { removeJob } from './jobs';
import { buildReason, buildReceipt } from './receipt';

type ClosingCalls = Pick<JobStore,
  | 'visited' | 'assess' | 'beginClosing' | 'reason' | 'steps' | 'step' | 'forget' | 'close' | 'receipt' | 'unannounced' | 'announced' | 'purge'>;

/** Jobs that one purge removes at most, so that it holds up nobody. */
const PURGE_GROUP = 200;

export function countEntries(database: Database, job: number): Assessment['entries'] {
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

export function closingOperations(database: Database, table: JobTable): Synchronous<ClosingCalls> {
  const steps = (id: JobId): Step[] => database.all('SELECT * FROM step WHERE job = ? ORDER BY position', table.n(id)).map((row) => ({
    step: String(row['step']), at: Number(row['at']), ...present({ code: text(row['code']) as ErrorCode | undefined }),
  }));
  const note = (id: JobId, step: string, code: ErrorCode | undefined): void => {
    database.run(
      'INSERT INTO step (job, step, at, code, position) VALUES (?1, ?2, ?3, ?4, (SELECT count(*) FROM step WHERE job = ?1)) ON CONFLICT (job, step) DO NOTHING',
      table.n(id), step, Date.now(), code,
    );
    table.event(id, step, { code });
  };
  const requiredOf = (id: JobId): string[] => JSON.parse(text(database.get('SELECT required FROM job WHERE id = ?', id)?.['required']) ?? '[]') as string[];
  const forget = (id: JobId): void => {
    const job = table.n(id);
    for (const name of ['file', 'item']) database.run(`DELETE FROM ${name} WHERE job = ?`, job);
    for (const name of ['entry', 'instance']) database.run(`UPDATE ${name} SET sealed = NULL WHERE job = ?`, job);
    database.checkpoint();
  };

  return {
    visited(id: JobId, node: string) {
      database.run('UPDATE job SET finish_node = ? WHERE id = ? AND finish_node IS NULL', node, id);
    },

    assess: (id: JobId, required: readonly string[]) => assess(database, table, id, required),

    beginClosing(id: JobId, outcome: Outcome, required: readonly string[], error: ErrorFacts | undefined, configuration: string) {
      const { state } = table.read(id);
      if (state !== 'closing' && state !== 'closed') {
        table.set(id, { state: 'closing', outcome, required: JSON.stringify(required), configuration, next_at: null, waits_for: '[]' });
        table.setError(id, error);
        table.event(id, outcome, error);
      }
      return table.read(id);
    },

    reason: (id: JobId) => buildReason(database, table.read(id), assess(database, table, id, requiredOf(id))),

    steps,

    step: note,

    forget,

    close(id: JobId): string {
      const before = table.read(id);
      if (before.state === 'closed') return String(database.get('SELECT receipt FROM job WHERE id = ?', id)?.['receipt']);
      const job = table.n(id);
      note(id, 'receipt', undefined);
      table.event(id, 'closed');
      // With the hash of its last event a receipt vouches for the chain up to there.
      const receipt = JSON.stringify(buildReceipt(database, table, before, assess(database, table, id, requiredOf(id)), steps(id)));
      forget(id);
      table.set(id, { state: 'closed', closed_at: Date.now(), receipt, sealed: null, sealed_origin: null, origin_mark: null, path: null, doomed: false });
      database.run('DELETE FROM crash WHERE job = ?', job);
      database.dropKey(job);
      return receipt;
    },

    receipt: (id: JobId) => text(database.get('SELECT receipt FROM job WHERE id = ?', id)?.['receipt']),

    unannounced: () => database.all("SELECT id, name, attempt, finish_node, receipt FROM job WHERE state = 'closed' AND announced = 0 AND finish_node IS NOT NULL ORDER BY n").map(
      (row): Announcement => ({
        id: row['id'] as JobId, name: String(row['name']), attempt: Number(row['attempt']), node: String(row['finish_node']), receipt: String(row['receipt']),
      }),
    ),

    announced(id: JobId) {
      database.run('UPDATE job SET announced = 1 WHERE id = ?', id);
    },

    purge(closedBefore: number) {
      for (const { id } of database.all("SELECT id FROM job WHERE state = 'closed' AND closed_at < ? LIMIT ?", closedBefore, PURGE_GROUP)) {
        table.event(String(id), 'purged');
        removeJob(database, table, String(id));
      }
      database.run(
        'DELETE FROM event WHERE at < ? AND (job IS NULL OR job NOT IN (SELECT id FROM job)) AND (line IS NULL OR seq <= ?)', closedBefore, database.journaled,
      );
      // What became of quarantined files is told as long as their job is.
      database.run('DELETE FROM quarantine WHERE gone IS NOT NULL AND moved = 2 AND job NOT IN (SELECT id FROM job)');
    },
  };
}
