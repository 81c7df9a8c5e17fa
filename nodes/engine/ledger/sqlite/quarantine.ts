/** What is noted of files that are set aside, until they leave: released, discarded, expired, or removed by hand. */
import { randomBytes } from 'node:crypto';
import { ExdicomError } from '../../errors';
import type { ErrorCode, Stage } from '../../errors';
import type { JobId, OwnPath, SourceKey } from '../../model';
import { rangesOf } from '../journal-line';
import type { Departure, JobStore, QuarantineRequest, QuarantineRow, QuarantineSource, Release, Synchronous } from '../store';
import { assess } from './assess';
import { sealWith, unsealWith } from './database';
import type { Database, Row } from './database';
import { number, present, text } from './job-table';
import type { JobTable } from './job-table';

type QuarantineCalls = Pick<JobStore,
  | 'quarantine' | 'quarantinedOf' | 'unmoved' | 'moved' | 'quarantined' | 'expired' | 'departed' | 'unremoved' | 'removed' | 'quarantineCount' | 'quarantineSource' | 'releasedInto'
  | 'unreleased'>;

const COLUMNS = 'q.*, coalesce(s.name, j.name, q.folder) AS name FROM quarantine AS q LEFT JOIN quarantine_source AS s ON s.job = q.job LEFT JOIN job AS j ON j.id = q.job';

/** What a file's lot is called in the chain of events. */
const EVENTS: Readonly<Record<Departure, string>> = { released: 'released', discarded: 'quarantine discarded', expired: 'quarantine expired', removed: 'quarantine removed' };

/** A job's name as the name of a folder; prefixes may be names that a person gave to a node. */
export const folderName = (name: string): string => name.replace(/[^\p{L}\p{N}_-]+/gu, '-').slice(-60);

const readRow = (row: Row): QuarantineRow => ({
  job: row['job'] as JobId,
  name: String(row['name']),
  folder: String(row['folder']),
  instance: Number(row['instance']),
  code: row['code'] as ErrorCode,
  stage: row['stage'] as Stage,
  at: Number(row['at']),
  moved: row['moved'] !== 0,
  ...present({
    detail: text(row['detail']), profile: text(row['profile']), releasedTo: text(row['released_to']) as JobId | undefined, who: text(row['who']),
    decidedAt: number(row['decided_at']), gone: text(row['gone']) as QuarantineRow['gone'], goneAt: number(row['gone_at']),
  }),
});

export const selectQuarantine = (database: Database, rest: string, ...values: Array<string | number | undefined>): QuarantineRow[] =>
  database.all(`SELECT ${COLUMNS} WHERE ${rest}`, ...values).map(readRow);

/** Notes one file; false where its instance is noted already. */
export function noteQuarantine(database: Database, table: JobTable, id: JobId, { instance, code, stage, path, detail }: QuarantineRequest): boolean {
  const { n, name, sourceKey, node, issuer, topic, releaseOf } = table.read(id);
  const profile = text(database.get('SELECT profile FROM file WHERE job = ? AND path = ?', n, path)?.['profile']);
  // The original of a released file lies in quarantine as it is; it stays there, under the job that it came from.
  const elsewhere = releaseOf !== undefined && profile === undefined;
  const noted = database.run(
    `INSERT INTO quarantine (job, instance, folder, code, stage, detail, path, at, profile, gone, gone_at, moved) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (job, instance) DO NOTHING`,
    id, instance, folderName(name), code, stage, detail, elsewhere ? undefined : path, Date.now(), profile, elsewhere ? 'elsewhere' : undefined, elsewhere ? Date.now() : undefined,
    elsewhere ? 2 : 0,
  ) > 0;
  if (!elsewhere && database.get('SELECT 1 FROM quarantine_source WHERE job = ?', id) === undefined) {
    const key = randomBytes(32);
    database.run('INSERT INTO quarantine_source (job, name, source_key, node, key, sealed) VALUES (?, ?, ?, ?, ?, ?)', id, name, sourceKey, node, key, sealWith(key, { issuer, topic }));
  }
  return noted;
}

/** The events of several files at once: one for each job and code. */
function tell(
  table: JobTable, event: string, rows: ReadonlyArray<{ readonly job: JobId; readonly instance: number; readonly code: ErrorCode; readonly stage?: Stage }>,
  facts: { readonly who?: string | undefined; readonly other?: string | undefined } = {},
): void {
  for (const of of Map.groupBy(rows, ({ job, code, stage }) => `${job} ${code} ${stage ?? ''}`).values()) {
    const { job, code, stage } = of[0]!;
    table.event(job, event, { code, stage, instances: of.map(({ instance }) => instance), ...facts });
  }
}

/** Forgets what a release needed, where the last file of a job has left. */
function dropSources(database: Database): void {
  const over = "FROM quarantine_source WHERE NOT EXISTS (SELECT 1 FROM quarantine AS q WHERE q.job = quarantine_source.job AND q.gone IS NULL)";
  if (database.get(`SELECT 1 ${over}`) === undefined) return;
  database.run(`UPDATE quarantine_source SET key = zeroblob(32), sealed = zeroblob(length(sealed)) WHERE job IN (SELECT job ${over})`);
  database.run(`DELETE ${over}`);
  database.checkpoint();
}

/**
 * A release becomes a job: its files are spoken for, by the order of its items.
 * @throws {ExdicomError} NOT_IN_QUARANTINE where somebody was quicker.
 */
export function beginRelease(database: Database, table: JobTable, id: JobId, { of, who, profile, instances }: Release): void {
  const gone = instances.filter((instance, index) => database.run(
    'UPDATE quarantine SET released_to = ?, released_item = ?, who = ?, decided_at = ? WHERE job = ? AND instance = ? AND moved = 1 AND gone IS NULL AND released_to IS NULL',
    id, index + 1, who, Date.now(), of, instance,
  ) === 0);
  if (gone.length > 0) throw new ExdicomError('NOT_IN_QUARANTINE', { detail: rangesOf(gone) });
  tell(table, 'release begun', selectQuarantine(database, 'q.released_to = ? ORDER BY q.instance', id).map(({ stage: _stage, ...row }) => row), { who, other: id });
  table.event(id, 'released from', { who, instances, other: of });
  table.event(id, 'open', { who, other: profile });
}

export function quarantineOperations(database: Database, table: JobTable): Synchronous<QuarantineCalls> {
  const held = 'q.moved = 1 AND q.gone IS NULL';

  return {
    quarantine(id: JobId, requests: readonly QuarantineRequest[]) {
      tell(table, 'quarantined', requests.filter((request) => noteQuarantine(database, table, id, request)).map((request) => ({ ...request, job: id })));
    },

    quarantinedOf: (id: JobId) => selectQuarantine(database, 'q.job = ? ORDER BY q.instance', id),

    unmoved: (id: JobId | undefined) => database.all(`SELECT ${COLUMNS} WHERE q.moved = 0${id === undefined ? '' : ' AND q.job = ?'}`, ...id === undefined ? [] : [id])
      .map((row) => ({ ...readRow(row), path: row['path'] as OwnPath })),

    moved(job: JobId, instances: readonly number[]) {
      for (const instance of instances) database.run('UPDATE quarantine SET moved = 1, path = NULL WHERE job = ? AND instance = ? AND moved = 0', job, instance);
    },

    quarantined: (job: JobId | undefined) => selectQuarantine(database, `${held} AND (?1 IS NULL OR q.job = ?1) ORDER BY q.folder, q.instance`, job),

    expired: (before: number) => selectQuarantine(
      database, `${held} AND q.at < ? AND q.released_to IS NULL AND (j.state IS NULL OR j.state = 'closed') ORDER BY q.folder, q.instance`, before,
    ),

    departed(rows, why: Departure, who: string | undefined) {
      const now = Date.now();
      // Somebody may have released it since these rows were read; then it is that job's.
      const left = rows.filter(({ job, instance }) => database.run(
        `UPDATE quarantine SET gone = ?1, gone_at = ?2, who = coalesce(?3, who), decided_at = CASE WHEN ?3 IS NULL THEN decided_at ELSE ?2 END
         WHERE job = ?4 AND instance = ?5 AND moved = 1 AND gone IS NULL AND (released_to IS NULL OR ?1 IN ('released', 'removed'))`, why, now, who, job, instance,
      ) > 0);
      for (const [other, some] of Map.groupBy(left, ({ releasedTo }) => releasedTo)) tell(table, EVENTS[why], some.map(({ stage: _stage, ...row }) => row), { who, other });
      dropSources(database);
      return left.length;
    },

    unremoved: () => selectQuarantine(database, 'q.moved = 1 AND q.gone IS NOT NULL ORDER BY q.folder, q.instance'),

    removed(rows) {
      for (const { job, instance } of rows) database.run('UPDATE quarantine SET moved = 2 WHERE job = ? AND instance = ? AND gone IS NOT NULL', job, instance);
    },

    quarantineCount: () => Number(database.get('SELECT count(*) AS n FROM quarantine WHERE gone IS NULL')?.['n']),

    quarantineSource(job: JobId): QuarantineSource | undefined {
      const row = database.get('SELECT * FROM quarantine_source WHERE job = ?', job);
      if (row === undefined) return undefined;
      const { key, sealed } = row;
      const about = key instanceof Uint8Array && sealed instanceof Uint8Array ? unsealWith(key, sealed) as { issuer?: string; topic?: string } : {};
      return { name: String(row['name']), sourceKey: row['source_key'] as SourceKey, ...present({ node: text(row['node']), ...about }) };
    },

    releasedInto(id: JobId) {
      const { n, outcome } = table.read(id);
      const required = JSON.parse(text(database.get('SELECT required FROM job WHERE id = ?', id)?.['required']) ?? '[]') as string[];
      const addresses = assess(database, table, id, required).destinations.filter((to) => to.required).map(({ address }) => address);
      const isVerified = (instance: number): boolean => addresses.length > 0 && addresses.every((address) => database.get(
        `SELECT 1 FROM delivery JOIN destination ON destination.id = delivery.destination WHERE job = ? AND instance = ? AND address = ? AND state = 'verified'`, n, instance, address,
      ) !== undefined);
      return database.all(`SELECT q.released_item AS item, ${COLUMNS} WHERE q.released_to = ? AND q.gone IS NULL ORDER BY q.instance`, id).map((row) => {
        const file = database.get(
          "SELECT file.instance FROM item JOIN file ON file.job = item.job AND file.stage = 'extract' AND file.sha256 = item.sha256 WHERE item.job = ? AND item.n = ?", n, Number(row['item']),
        );
        const verified = file !== undefined && (outcome === 'complete' || outcome === 'with-exceptions') && isVerified(Number(file['instance']));
        return { ...readRow(row), verified };
      });
    },

    unreleased(rows) {
      const { releasedTo } = rows[0] ?? {};
      tell(table, 'release undone', rows.filter(({ job, instance }) => database.run(
        'UPDATE quarantine SET released_to = NULL, released_item = NULL, who = NULL, decided_at = NULL WHERE job = ? AND instance = ? AND gone IS NULL AND released_to IS NOT NULL', job, instance,
      ) > 0).map(({ stage: _stage, ...row }) => row), { other: releasedTo });
    },
  };
}
