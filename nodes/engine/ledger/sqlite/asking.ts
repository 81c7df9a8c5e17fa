/** What the ledger can be asked about its jobs. Reads only, but for the marks by which a job is found again. */
import type { ErrorCode, Stage } from '../../errors';
import type { DeliveryState, JobId, Outcome } from '../../model';
import type { JobEvent, JobFilter, JobState, Marks } from '../ledger-types';
import type { CountsRow, DetailsRow, JobRow, JobStore, Synchronous } from '../store';
import { assess } from './assess';
import type { Database, Row, Value } from './database';
import { present, text } from './job-table';
import type { JobTable } from './job-table';
import { readActs } from './receipt';

type AskingCalls = Pick<JobStore, 'jobs' | 'counts' | 'details' | 'mark' | 'find' | 'addresses' | 'acts'>;

const STATES: readonly JobState[] = ['receiving', 'open', 'parked', 'needs-password', 'closing', 'closed'];
const OUTCOMES: readonly Outcome[] = ['complete', 'with-exceptions', 'failed', 'cancelled', 'duplicate'];
const DELIVERIES: readonly DeliveryState[] = ['pending', 'sent', 'verified', 'waiting', 'failed'];

/** A number for each of the names, 0 where there is none. */
function countsOf<K extends string>(names: readonly K[], rows: readonly Row[], column: string): Record<K, number> {
  const counts = Object.fromEntries(names.map((name) => [name, 0])) as Record<K, number>;
  for (const row of rows) if (names.includes(row[column] as K)) counts[row[column] as K] = Number(row['n']);
  return counts;
}

const readEvent = (row: Row): JobEvent => ({
  seq: Number(row['seq']), at: Number(row['at']), event: String(row['event']), hash: String(row['hash']),
  ...present({
    code: text(row['code']) as ErrorCode | undefined, stage: text(row['stage']) as Stage | undefined, who: text(row['who']),
    instances: text(row['instances']), other: text(row['other']),
  }),
});

export function askingOperations(database: Database, table: JobTable): Synchronous<AskingCalls> {
  /** Addresses of the destinations of this address or label. */
  const addresses = (name: string): string[] => database.all('SELECT address FROM destination WHERE address = ?1 OR label = ?1', name).map((row) => String(row['address']));
  // What a key made of a value and the value itself are kept apart: one never answers for the other.
  const keyedMark = (keyed: string): Uint8Array => database.mark(`keyed ${keyed}`);
  const plainMark = (uid: string): Uint8Array => database.mark(`uid ${uid}`);

  return {
    jobs({ state, outcome, sourceKey, destination, code, since, limit, offset }: JobFilter): JobRow[] {
      const conditions: string[] = ['1'];
      const values: Value[] = [];
      const where = (condition: string, ...given: Value[]): void => { conditions.push(condition); values.push(...given); };
      const states = typeof state === 'string' ? [state] : state;
      if (states !== undefined) where(`state IN (${states.map(() => '?').join(', ')})`, ...states);
      if (outcome !== undefined) where('outcome = ?', outcome);
      if (sourceKey !== undefined) where('source_key = ?', sourceKey);
      if (code !== undefined) where('error_code = ?', code);
      if (since !== undefined) where('updated_at >= ?', since);
      if (destination !== undefined) {
        where(
          `(EXISTS (SELECT 1 FROM delivery WHERE delivery.job = job.n AND delivery.destination IN (SELECT id FROM destination WHERE address = ? OR label = ?))
            OR EXISTS (SELECT 1 FROM json_each(job.waits_for) AS w WHERE w.value = ? OR w.value IN (SELECT address FROM destination WHERE label = ?)))`,
          destination, destination, destination, destination,
        );
      }
      const newest = limit !== undefined;
      const found = table.select(`n IN (SELECT n FROM job WHERE ${conditions.join(' AND ')} ORDER BY n ${newest ? 'DESC' : ''} LIMIT ? OFFSET ?)`, ...values, limit ?? -1, offset ?? 0);
      return newest ? found.toReversed() : found;
    },

    counts(): CountsRow {
      // What a closed job had not ended, nobody will: it is cancelled or given up, not under way.
      const deliveries = database.all(
        `SELECT destination, state, count(*) AS n FROM delivery INDEXED BY delivery_state
         WHERE state IN ('verified', 'failed') OR NOT EXISTS (SELECT 1 FROM job WHERE job.n = delivery.job AND job.state = 'closed') GROUP BY destination, state`,
      );
      return {
        states: countsOf(STATES, database.all('SELECT state, count(*) AS n FROM job GROUP BY state'), 'state'),
        outcomes: countsOf(OUTCOMES, database.all('SELECT outcome, count(*) AS n FROM job WHERE outcome IS NOT NULL GROUP BY outcome'), 'outcome'),
        destinations: database.all('SELECT id, address, label FROM destination ORDER BY id').map((row) => ({
          address: String(row['address']), label: String(row['label']), deliveries: countsOf(DELIVERIES, deliveries.filter(({ destination }) => destination === row['id']), 'state'),
        })),
      };
    },

    details(id: JobId): DetailsRow {
      const row = table.read(id);
      const required = JSON.parse(text(database.get('SELECT required FROM job WHERE id = ?', id)?.['required']) ?? '[]') as string[];
      return {
        row,
        assessment: assess(database, table, id, required),
        sentAgainAs: database.all('SELECT id FROM job WHERE again_of = ? ORDER BY n', id).map((again) => again['id'] as JobId),
        events: database.all('SELECT * FROM event WHERE job = ? ORDER BY seq', id).map(readEvent),
      };
    },

    mark(id: JobId, { keyed, uids }) {
      const job = table.n(id);
      for (const mark of [...keyed.map(keyedMark), ...uids.map(plainMark)]) database.run('INSERT INTO subject (job, mark) VALUES (?, ?) ON CONFLICT DO NOTHING', job, mark);
    },

    find({ keyed, uid }: Marks): JobRow[] {
      const found = new Set<number>();
      const add = (sql: string, ...values: Value[]): void => { for (const row of database.all(sql, ...values)) found.add(Number(row['job'])); };
      const subject = 'SELECT job FROM subject INDEXED BY subject_mark WHERE mark = ?';
      const delivered = 'SELECT job FROM delivery INDEXED BY delivery_mark WHERE destination IN (SELECT id FROM destination) AND mark = ?';
      for (const value of keyed) {
        add(subject, keyedMark(value));
        add(delivered, database.mark(value));
      }
      if (uid !== undefined) {
        add(subject, plainMark(uid));
        add(delivered, database.mark(uid));
        // Of what was de-identified the key alone may tell; what never came so far has no other mark.
        add(
          `SELECT job.n AS job FROM job CROSS JOIN instance INDEXED BY instance_mark ON instance.job = job.n AND instance.mark = ?
           LEFT JOIN quarantine AS q ON q.job = job.id AND q.instance = instance.n WHERE job.profile_name IS NULL OR q.instance IS NOT NULL`, database.mark(uid),
        );
      }
      return found.size === 0 ? [] : table.select(`n IN (${[...found].join(', ')})`);
    },

    addresses,

    acts: (id: JobId) => readActs(database, id),
  };
}
