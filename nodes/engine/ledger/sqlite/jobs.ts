/** Taking in, sending, parking and crash counting. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Stage } from '../../errors';
import type { JobId, OwnPath, Sha256, SourceKey } from '../../model';
import type { RetryPolicy } from '../ledger-types';
import { CONDEMNED_AT } from '../store';
import type { Again, ErrorFacts, JobRow, JobStore, NewJob, Parking, Release, StoredItem, Synchronous } from '../store';
import type { Database } from './database';
import { text } from './job-table';
import type { JobTable } from './job-table';
import { beginRelease } from './quarantine';

const CHILDREN = ['item', 'entry', 'instance', 'file', 'delivery', 'step', 'crash', 'subject'] as const;

/** The highest number of a job that has a folder of its own already: a new ledger in an old directory must not write into it. */
function highestNumber(directory: string): number {
  const folders = ['quarantine', 'failed', 'done'].map((name) => join(directory, name)).filter((folder) => existsSync(folder));
  const numbers = folders.flatMap((folder) => readdirSync(folder).map((name) => Number(/[ -](\d{4,9})$/.exec(name)?.[1] ?? 0)));
  return numbers.reduce((highest, number) => Math.max(highest, number), 0);
}

/** Removes a job with all that hangs on it, but for its events and what lies in quarantine. */
export function removeJob(database: Database, table: JobTable, id: string): void {
  const n = table.n(id);
  for (const child of CHILDREN) database.run(`DELETE FROM ${child} WHERE job = ?`, n);
  database.run('DELETE FROM job WHERE n = ?', n);
  database.dropKey(n);
  table.lose(id);
}

type JobCalls = Pick<JobStore,
  | 'start' | 'stop' | 'createJob' | 'discardJob' | 'addItems' | 'completeIntake' | 'items' | 'origin' | 'origins' | 'sameOrigin' | 'job' | 'jobNamed' | 'sent' | 'parked'
  | 'setPolicy' | 'postponed' | 'forgiven' | 'needsPassword' | 'doomed' | 'attempting' | 'progressed' | 'crashed' | 'settled'>;

/** Its source has not disposed of its original yet: what lies in that place later is another. */
const HAS_ORIGINAL = "NOT EXISTS (SELECT 1 FROM step WHERE step.job = job.n AND step.step = 'source')";

export function jobOperations(database: Database, table: JobTable): Synchronous<JobCalls> {
  const crashes = (job: number): number => Number(database.get('SELECT coalesce(max(crashes), 0) AS n FROM crash WHERE job = ?', job)?.['n'] ?? 0);
  const originOf = (job: number): string | undefined => text(database.unseal(job, database.get('SELECT sealed_origin FROM job WHERE n = ?', job)?.['sealed_origin']));

  return {
    start() {
      if (database.get("SELECT 1 FROM meta WHERE name = 'jobs'") === undefined) {
        database.run("INSERT INTO meta (name, value) VALUES ('jobs', ?)", highestNumber(database.directory));
      }
      // An intake that a process did not live to complete: its source is untouched and is found again.
      for (const { id } of table.select("state = 'receiving' AND kind <> 'received'")) removeJob(database, table, id);
      // Nobody knows who killed the process: that makes suspects of all that were at work, and no more however often it
      // happens. A suspect works in a process apart, and the deaths of that one are counted.
      database.run('UPDATE crash SET crashes = max(crashes, 1), open = 0 WHERE open = 1');
      const jobs = table.select("state <> 'closed'");
      const condemned = jobs.filter((job) => job.crashes >= CONDEMNED_AT && job.state === 'open' && !job.doomed).map(({ id }) => id);
      return { jobs, condemned };
    },

    stop() {
      database.run('UPDATE crash SET open = 0');
    },

    createJob(job: NewJob): JobRow {
      const n = Number(database.get("INSERT INTO meta (name, value) VALUES ('jobs', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value")?.['value']);
      database.makeKey(n);
      const now = Date.now();
      const { issuer, topic, study, releaseOf, node } = job;
      database.run(
        `INSERT INTO job (n, id, name, source_key, kind, state, attempt, created_at, updated_at, node, release_of, issuer_mark, origin_mark, sealed, sealed_origin)
         VALUES (?, ?, ?, ?, ?, 'receiving', 0, ?, ?, ?, ?, ?, ?, ?, ?)`,
        n, job.id, `${job.prefix} ${String(n).padStart(4, '0')}`, job.sourceKey, job.kind, now, now, node, releaseOf, database.mark(issuer ?? ''),
        job.origin === undefined ? undefined : database.mark(job.origin), database.seal(n, { issuer, topic, study }), database.seal(n, job.origin),
      );
      table.event(job.id, 'receiving');
      return table.read(job.id);
    },

    discardJob(id: JobId) {
      table.event(id, 'discarded');
      removeJob(database, table, id);
    },

    addItems(id: JobId, items: readonly StoredItem[]) {
      const n = table.n(id);
      for (const item of items) {
        const number = item.n > 0 ? item.n : Number(database.get('SELECT coalesce(max(n), 0) + 1 AS n FROM item WHERE job = ?', n)?.['n']);
        database.run('INSERT OR REPLACE INTO item (job, n, path, bytes, sha256, sealed) VALUES (?, ?, ?, ?, ?, ?)', n, number, item.path, item.bytes, item.sha256, database.seal(n, item.name));
      }
      table.set(id, {});
    },

    completeIntake(id: JobId, path: OwnPath, digest: Sha256, bytes: number, configuration: string, again?: Again | Release): JobRow {
      if (table.decided(id)) return table.read(id);
      if (again !== undefined && 'profile' in again) {
        table.set(id, { state: 'open', attempt: 0, path, digest, bytes, release_profile: again.profile });
        beginRelease(database, table, id, again);
        return table.read(id);
      }
      if (again !== undefined) {
        const family = text(database.get('SELECT coalesce(family, id) AS family FROM job WHERE id = ?', again.of)?.['family']);
        database.run('DELETE FROM put_back WHERE (source_key, mark) = (SELECT source_key, origin_mark FROM job WHERE id = ?)', id);
        table.set(id, { state: 'open', attempt: 0, path, digest, bytes, again_of: again.of, family });
        table.event(again.of, 'sent again', { who: again.who, other: id });
        table.event(id, 'open', { who: again.who, other: again.of });
        return table.read(id);
      }
      // Of the same source only: another source leads into another flow, or stands for another hospital.
      const twin = database.get(
        `SELECT other.id FROM job AS other JOIN job AS this ON this.id = ?1
         WHERE other.digest = ?2 AND other.n <> this.n AND other.source_key = this.source_key AND other.release_of IS NULL
           AND (other.state IN ('open', 'parked', 'needs-password') AND other.issuer_mark = this.issuer_mark
             OR other.state = 'closing' AND other.outcome = 'complete' AND other.configuration = ?3 AND other.issuer_mark = this.issuer_mark
             OR other.state = 'closed' AND other.outcome = 'complete' AND other.configuration = ?3 AND other.issuer_mark = this.issuer_mark)
         ORDER BY other.n LIMIT 1`, id, digest, configuration,
      );
      const duplicateOf = text(twin?.['id']);
      table.set(id, duplicateOf === undefined
        ? { state: 'open', attempt: 1, path, digest, bytes }
        : { state: 'closing', outcome: 'duplicate', duplicate_of: duplicateOf, attempt: 1, path, digest, bytes, configuration });
      table.event(id, duplicateOf === undefined ? 'open' : 'duplicate');
      return table.read(id);
    },

    items(id: JobId): StoredItem[] {
      const n = table.n(id);
      return database.all('SELECT * FROM item WHERE job = ? ORDER BY n', n).map((row) => ({
        n: Number(row['n']), path: row['path'] as OwnPath, bytes: Number(row['bytes']), sha256: row['sha256'] as Sha256,
        name: text(database.unseal(n, row['sealed'])) ?? '',
      }));
    },

    origin: (id: JobId) => originOf(table.n(id)),

    origins(sourceKey: SourceKey) {
      return database.all(`SELECT n, id FROM job WHERE state <> 'closed' AND source_key = ? AND ${HAS_ORIGINAL} ORDER BY n`, sourceKey).flatMap((row) => {
        const origin = originOf(Number(row['n']));
        return origin === undefined ? [] : [{ job: row['id'] as JobId, origin }];
      });
    },

    sameOrigin(sourceKey: SourceKey, origin: string): JobRow | undefined {
      return table.select(`state <> 'closed' AND state <> 'receiving' AND source_key = ? AND origin_mark = ? AND ${HAS_ORIGINAL}`, sourceKey, database.mark(origin))[0];
    },

    job: (id: JobId) => table.find(id),

    // A name ends in the job's number, under which it is found at once.
    jobNamed(name: string): JobId | undefined {
      const number = / (\d{1,15})$/.exec(name)?.[1];
      const found = number === undefined ? undefined : database.get('SELECT id, name FROM job WHERE n = ?', Number(number));
      return found?.['name'] === name ? text(found['id']) as JobId : undefined;
    },

    sent(id: JobId): JobRow {
      if (table.decided(id)) return table.read(id);
      table.set(id, { state: 'open', attempt: table.read(id).attempt + 1, next_at: null, waits_for: '[]', finish_node: null });
      table.event(id, 'sent');
      return table.read(id);
    },

    parked(id: JobId, { nextAt, notBefore, failures, failingSince, waitsFor, error }: Parking): JobRow {
      if (table.decided(id)) return table.read(id);
      table.set(id, { state: 'parked', next_at: nextAt, not_before: notBefore, failures, failing_since: failingSince, waits_for: JSON.stringify(waitsFor) });
      table.setError(id, error);
      table.event(id, 'parked', error);
      return table.read(id);
    },

    setPolicy(id: JobId, policy: RetryPolicy, nextAt: number | undefined): JobRow {
      table.set(id, { policy: JSON.stringify(policy), ...(nextAt === undefined ? {} : { next_at: nextAt }) });
      return table.read(id);
    },

    postponed(id: JobId, nextAt: number, failures: number, failingSince: number): JobRow {
      table.set(id, { next_at: nextAt, failures, failing_since: failingSince });
      return table.read(id);
    },

    forgiven(ids: readonly JobId[]): JobRow[] {
      return ids.map((id) => {
        table.set(id, { failures: 0, failing_since: null });
        return table.read(id);
      });
    },

    needsPassword(id: JobId, error: ErrorFacts): JobRow {
      if (table.decided(id)) return table.read(id);
      table.set(id, { state: 'needs-password', next_at: null, waits_for: '[]' });
      table.setError(id, error);
      table.event(id, 'needs-password', error);
      return table.read(id);
    },

    doomed(id: JobId, error: ErrorFacts): JobRow {
      if (table.decided(id)) return table.read(id);
      table.set(id, { state: 'open', doomed: true, next_at: null, waits_for: '[]' });
      table.setError(id, error);
      table.event(id, 'doomed', error);
      return table.read(id);
    },

    attempting(id: JobId, stage: Stage) {
      const n = table.n(id);
      database.run(
        `INSERT INTO crash (job, stage, open, crashes, done) VALUES (?1, ?2, 1, 0, ?3)
         ON CONFLICT (job, stage) DO UPDATE SET pieces = CASE WHEN open THEN pieces ELSE 0 END, open = 1`, n, stage, table.durable(n),
      );
    },

    progressed(id: JobId, stage: Stage): number {
      const n = table.n(id);
      // To do again what was done before the crash is no progress, or an archive that kills its process at entry 5,000 would
      // never be found out: either more is on disk than ever, or this attempt has come further than any before it.
      database.run('UPDATE crash SET pieces = pieces + 1 WHERE job = ? AND stage = ?', n, stage);
      database.run(
        'UPDATE crash SET crashes = 0, done = ?3, best = max(best, pieces) WHERE job = ?1 AND (done < ?3 OR stage = ?2 AND pieces > best)', n, stage, table.durable(n),
      );
      return crashes(n);
    },

    crashed(id: JobId, stage: Stage): number {
      const n = table.n(id);
      database.run(
        `INSERT INTO crash (job, stage, open, crashes, done) VALUES (?1, ?2, 0, 1, ?3)
         ON CONFLICT (job, stage) DO UPDATE SET open = 0, crashes = crashes + 1`, n, stage, table.durable(n),
      );
      table.event(id, 'crashed', { stage });
      return crashes(n);
    },

    settled(id: JobId, stage: Stage) {
      database.run('UPDATE crash SET open = 0 WHERE job = ? AND stage = ?', table.n(id), stage);
    },
  };
}
