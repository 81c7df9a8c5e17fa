/** Which instance goes to which destination, and what became of it there. */
import { ERRORS } from '../../errors';
import type { ErrorCode } from '../../errors';
import type { DeliveryState, JobId, VerificationLevel } from '../../model';
import type { DeliveryResult, Shown } from '../ledger-types';
import type { DeliveryRequest, DeliveryRow, JobStore, Synchronous } from '../store';
import type { Database, Row } from './database';
import { nextInstance } from './extraction';
import { number, present, text } from './job-table';
import type { JobTable } from './job-table';

type DeliveryCalls = Pick<JobStore, 'numberFiles' | 'planDeliveries' | 'recordDeliveries' | 'begun' | 'shown' | 'rememberShown'>;

interface Plan {
  readonly state: DeliveryState;
  readonly level?: VerificationLevel;
  readonly code?: ErrorCode;
  readonly status?: string;
  readonly warned?: boolean;
  readonly conflict?: boolean;
}

const planOf = (row: Row): Plan => ({
  state: row['state'] === 'waiting' ? 'pending' : row['state'] as DeliveryState,
  warned: row['warned'] === 1,
  ...present({ level: text(row['level']) as VerificationLevel | undefined, code: text(row['code']) as ErrorCode | undefined, status: text(row['status']) }),
});

export function deliveryOperations(database: Database, table: JobTable): Synchronous<DeliveryCalls> {
  const destinationId = (address: string): number | undefined => number(database.get('SELECT id FROM destination WHERE address = ?', address)?.['id']);

  /** The number of a file: the ledger's own, or one for a file that the flow added. */
  const numbered = (job: number, { instance, sopInstanceUID, sha256 }: Omit<DeliveryRequest, 'deidentified'>): number => {
    if (instance !== undefined && database.get('SELECT 1 FROM instance WHERE job = ? AND n = ?', job, instance) !== undefined) return instance;
    const mark = database.mark(sopInstanceUID);
    const known = number(database.get("SELECT n FROM instance INDEXED BY instance_mark WHERE job = ? AND mark = ? AND kind = 'added' AND data_set = ?", job, mark, sha256)?.['n']);
    if (known !== undefined) return known;
    const made = nextInstance(database, job);
    database.run("INSERT INTO instance (job, n, kind, mark, data_set, generation) VALUES (?, ?, 'added', ?, ?, 0)", job, made, mark, sha256);
    return made;
  };

  /** The job that this one repeats, and all that repeat it: what they delivered is what a person wants to be sent anew. */
  const familyOf = (job: number): ReadonlySet<number> => new Set(database.all(
    'SELECT n FROM job WHERE family = (SELECT family FROM job WHERE n = ?1) OR id = (SELECT family FROM job WHERE n = ?1)', job,
  ).map((row) => Number(row['n'])));

  /** What is known of the same SOP Instance at this destination from elsewhere; a job that is under way has a claim to its UIDs. */
  const elsewhere = (job: number, instance: number, destination: number, mark: Uint8Array, sha256: string, family: ReadonlySet<number>): Plan => {
    const all = database.all(
      `SELECT * FROM delivery WHERE destination = ?1 AND mark = ?2 AND NOT (job = ?3 AND instance = ?4)
        AND (state IN ('sent', 'verified') OR state IN ('pending', 'waiting')
          AND (job = ?3 OR (SELECT j.state FROM job AS j WHERE j.n = delivery.job) <> 'closed'))`, destination, mark, job, instance,
    );
    const rows = all.filter((row) => row['job'] === job || !family.has(Number(row['job'])));
    const same = rows.filter((row) => row['sha256'] === sha256);
    // Sent again is sent anew, whoever had sent the same.
    const known = family.size === 0 ? same : same.filter((row) => row['job'] === job);
    const best = known.find((row) => row['state'] === 'verified') ?? known.find((row) => row['state'] === 'sent');
    if (best !== undefined) return planOf(best);
    if (rows.length > same.length) return { state: 'failed', code: 'UID_CONFLICT', conflict: true };
    return { state: 'pending' };
  };

  /** Whether a success brings the job on: sending again what the destination does not show brings nobody anywhere. */
  const isNews = (job: number, destination: number | undefined, instance: number, state: 'verified' | 'sent'): boolean => {
    const before = database.get('SELECT state, code FROM delivery WHERE job = ? AND destination = ? AND instance = ?', job, destination, instance);
    return before !== undefined && before['state'] !== 'verified' && (state === 'verified' || before['code'] !== 'NOT_FOUND');
  };

  return {
    numberFiles(id: JobId, files) {
      const job = table.n(id);
      return files.map((file) => numbered(job, file));
    },

    planDeliveries(id: JobId, { address, label, identifiedAllowed }, files: readonly DeliveryRequest[]): DeliveryRow[] {
      const job = table.n(id);
      const { attempt } = table.read(id);
      database.run('INSERT INTO destination (address, label) VALUES (?, ?) ON CONFLICT (address) DO UPDATE SET label = excluded.label', address, label);
      const destination = destinationId(address)!;
      const family = familyOf(job);

      const plan = (request: DeliveryRequest, instance: number, mark: Uint8Array): Plan => {
        const allowed = request.deidentified || identifiedAllowed;
        if (!allowed) return { state: 'failed', code: 'NOT_DEIDENTIFIED' };
        const row = database.get('SELECT * FROM delivery WHERE job = ? AND destination = ? AND instance = ?', job, destination, instance);
        if (row?.['sha256'] === request.sha256 && row['code'] !== 'NOT_DEIDENTIFIED') return planOf(row);
        return elsewhere(job, instance, destination, mark, request.sha256, family);
      };

      return files.map((request) => {
        const instance = numbered(job, request);
        const mark = database.mark(request.sopInstanceUID);
        const { state, level, code, status, warned = false, conflict = false } = plan(request, instance, mark);
        database.run(
          `INSERT OR REPLACE INTO delivery (job, instance, destination, mark, uid, sha256, state, level, code, status, warned, attempt, updated_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          // The UID of an identified file is the patient's, so it is not written down.
          job, instance, destination, mark, request.deidentified ? request.sopInstanceUID : undefined, request.sha256, state, level, code, status, warned, attempt, Date.now(),
        );
        return { instance, state, warned, conflict, ...present({ level, code }) };
      });
    },

    recordDeliveries(id: JobId, address: string, results: readonly DeliveryResult[]): boolean {
      const job = table.n(id);
      const destination = destinationId(address);
      let progress = false;
      for (const { instance, state, level, code, status, warned } of results) {
        const lasting = state === 'failed' && code !== undefined && ERRORS[code].retryable ? 'waiting' : state;
        progress ||= (lasting === 'verified' || lasting === 'sent') && isNews(job, destination, instance, lasting);
        database.run(
          `UPDATE delivery SET state = ?, level = ?, code = ?, status = ?, warned = ?, updated_at = ?
           WHERE job = ? AND destination = ? AND instance = ? AND (state <> 'verified' OR ? = 'verified')`,
          lasting, level, code, status, warned ?? false, Date.now(), job, destination, instance, lasting,
        );
      }
      if (progress) table.set(id, { failures: 0, failing_since: null });
      return progress;
    },

    begun(id: JobId, address: string): boolean {
      return database.get("SELECT 1 FROM delivery WHERE job = ? AND destination = ? AND (state IN ('sent', 'verified', 'waiting') OR code IS NOT NULL) LIMIT 1", table.n(id), destinationId(address)) !== undefined;
    },

    shown(query: string): Shown {
      const row = database.get('SELECT image FROM shown WHERE query = ?', query);
      return { any: row !== undefined, image: row?.['image'] === 1 };
    },

    rememberShown(query: string, { any, image }: Shown) {
      if (any) database.run('INSERT INTO shown (query, image) VALUES (?1, ?2) ON CONFLICT (query) DO UPDATE SET image = max(image, ?2)', query, image);
    },
  };
}
