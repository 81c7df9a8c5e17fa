/** Rows of the job table, the chain of events, and what counts as progress. */
import { randomUUID } from 'node:crypto';
import { ExdicomError } from '../../errors';
import type { ErrorCode, Stage } from '../../errors';
import type { JobId, Outcome, OwnPath, Sha256, SourceKey } from '../../model';
import { rangesOf, sealLine } from '../journal-line';
import type { EventFacts } from '../journal-line';
import type { JobKind, JobState, RetryPolicy } from '../ledger-types';
import type { ErrorFacts, JobRow } from '../store';
import type { Database, Row, Value } from './database';

export const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
export const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
/** The fields that have a value; absent ones must be absent, not undefined. */
export function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

const COLUMNS = `job.*, (SELECT coalesce(max(crashes), 0) FROM crash WHERE crash.job = job.n) AS crashes`;

export class JobTable {
  /** Identifies this process's turn with the ledger: what was recorded in an earlier one is checked before it is believed. */
  readonly run = randomUUID();
  readonly #database: Database;
  readonly #numbers = new Map<string, number>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** @throws {ExdicomError} JOB_UNKNOWN */
  n(id: string): number {
    let n = this.#numbers.get(id);
    if (n === undefined) {
      n = number(this.#database.get('SELECT n FROM job WHERE id = ?', id)?.['n']);
      if (n === undefined) throw new ExdicomError('JOB_UNKNOWN');
      if (this.#numbers.size > 10_000) this.#numbers.clear();
      this.#numbers.set(id, n);
    }
    return n;
  }

  /** For a job whose creation may be undone, or that is removed. */
  lose(id: string): void {
    this.#numbers.delete(id);
  }

  find(id: string): JobRow | undefined {
    const row = this.#database.get(`SELECT ${COLUMNS} FROM job WHERE id = ?`, id);
    return row === undefined ? undefined : this.#read(row);
  }

  /** @throws {ExdicomError} JOB_UNKNOWN */
  read(id: string): JobRow {
    const row = this.find(id);
    if (row === undefined) throw new ExdicomError('JOB_UNKNOWN');
    return row;
  }

  select(where: string, ...values: Value[]): JobRow[] {
    return this.#database.all(`SELECT ${COLUMNS} FROM job WHERE ${where} ORDER BY n`, ...values).map((row) => this.#read(row));
  }

  /** Whether its outcome is decided: what was under way then must not open it again. */
  decided(id: string): boolean {
    const state = this.#database.get('SELECT state FROM job WHERE id = ?', id)?.['state'];
    return state === 'closing' || state === 'closed';
  }

  /** Sets columns by name; names come from this package only. */
  set(id: string, changes: Readonly<Record<string, Value>>): void {
    const names = Object.keys(changes);
    const changed = this.#database.run(
      `UPDATE job SET ${names.map((name) => `${name} = ?, `).join('')}updated_at = ? WHERE id = ?`, ...Object.values(changes), Date.now(), id,
    );
    if (changed === 0) throw new ExdicomError('JOB_UNKNOWN');
  }

  setError(id: string, error: ErrorFacts | undefined): void {
    this.set(id, { error_code: error?.code, error_stage: error?.stage, error_message: error?.message });
  }

  /** The newest event of the chain. */
  head(): { readonly seq: number; readonly hash: string } {
    const [seq = '0', hash = ''] = (text(this.#database.get("SELECT value FROM meta WHERE name = 'head'")?.['value']) ?? '0 ').split(' ');
    return { seq: Number(seq), hash };
  }

  /** One link of the chain: each event's hash covers the one before it. `id` is undefined where it concerns no job. */
  event(id: string | undefined, event: string, { code, stage, who, instances, other }: EventFacts = {}): void {
    const database = this.#database;
    const now = Date.now();
    const name = id === undefined ? undefined : text(database.get('SELECT name FROM job WHERE id = ?', id)?.['name']);
    const before = this.head();
    const seq = before.seq + 1;
    const ranges = instances === undefined ? undefined : rangesOf(instances);
    const { line, hash } = sealLine({
      seq, at: new Date(now).toISOString(), event, prev: before.hash, ...present({ job: id, name, code, stage, who, instances: ranges, other }),
    });
    database.run("INSERT INTO meta (name, value) VALUES ('head', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", `${seq} ${hash}`);
    database.run(
      'INSERT INTO event (seq, job, name, at, event, code, stage, who, instances, other, line, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      seq, id, name, now, event, code, stage, who, ranges, other, line, hash,
    );
  }

  /** What a job has to show on disk; only more of it is progress. */
  durable(job: number): number {
    return Number(this.#database.get(
      `SELECT (SELECT count(*) FROM file WHERE job = ?1) + (SELECT count(*) FROM quarantine WHERE job = (SELECT id FROM job WHERE n = ?1))
        + (SELECT count(*) FROM delivery WHERE job = ?1 AND state IN ('sent', 'verified'))
        + (SELECT count(*) FROM delivery WHERE job = ?1 AND state = 'verified') AS n`, job,
    )?.['n'] ?? 0);
  }

  #read(row: Row): JobRow {
    const n = Number(row['n']);
    const sealed = this.#database.unseal(n, row['sealed']) as { issuer?: string; topic?: string; study?: string } | undefined;
    const code = text(row['error_code']) as ErrorCode | undefined;
    return {
      n,
      id: row['id'] as JobId,
      name: String(row['name']),
      sourceKey: row['source_key'] as SourceKey,
      kind: row['kind'] as JobKind,
      state: row['state'] as JobState,
      attempt: Number(row['attempt']),
      createdAt: Number(row['created_at']),
      updatedAt: Number(row['updated_at']),
      bytes: Number(row['bytes']),
      failures: Number(row['failures']),
      waitsFor: JSON.parse(String(row['waits_for'])) as string[],
      doomed: row['doomed'] === 1,
      crashes: Number(row['crashes']),
      ...present({
        outcome: text(row['outcome']) as Outcome | undefined,
        nextAt: number(row['next_at']),
        error: code === undefined ? undefined : { code, stage: row['error_stage'] as Stage, message: String(row['error_message']) },
        issuer: sealed?.issuer,
        topic: sealed?.topic,
        study: sealed?.study,
        digest: text(row['digest']) as Sha256 | undefined,
        duplicateOf: text(row['duplicate_of']) as JobId | undefined,
        releaseOf: text(row['release_of']) as JobId | undefined,
        profile: text(row['release_profile']),
        againOf: text(row['again_of']) as JobId | undefined,
        path: text(row['path']) as OwnPath | undefined,
        failingSince: number(row['failing_since']),
        policy: row['policy'] === null ? undefined : JSON.parse(String(row['policy'])) as RetryPolicy,
        notBefore: number(row['not_before']),
        finishNode: text(row['finish_node']),
        node: text(row['node']),
      }),
    };
  }
}
