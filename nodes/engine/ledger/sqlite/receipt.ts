/** The receipt: what the ledger says of a closed job. Numbers, codes and digests; no value of a patient. */
import type { ErrorCode, Stage } from '../../errors';
import type { Sha256 } from '../../model';
import { balances } from '../accounting';
import type { Reason, Receipt } from '../ledger-types';
import type { Assessment, JobRow, Step } from '../store';
import type { Database } from './database';
import { present, text } from './job-table';
import type { JobTable } from './job-table';

const time = (at: number): string => new Date(at).toISOString();

/** What persons did to a job. */
export function readActs(database: Database, id: string): Receipt['acts'] {
  return database.all('SELECT at, event, who, instances, other FROM event WHERE job = ? AND who IS NOT NULL ORDER BY seq', id).map((row) => ({
    at: time(Number(row['at'])), event: String(row['event']), who: String(row['who']), ...present({ instances: text(row['instances']), other: text(row['other']) }),
  }));
}

/** Failed deliveries of a job, in order of destinations and instances. */
function failures(database: Database, job: number): Receipt['failed'] {
  return database.all(
    `SELECT instance, label, code, status FROM delivery JOIN destination ON destination.id = delivery.destination
     WHERE job = ? AND state = 'failed' ORDER BY destination.id, instance`, job,
  ).map((row) => ({
    instance: Number(row['instance']), destination: String(row['label']), code: (text(row['code']) ?? 'INTERNAL') as ErrorCode, ...present({ status: text(row['status']) }),
  }));
}

export function buildReason(database: Database, job: JobRow, assessment: Assessment): Reason {
  return {
    job: job.name,
    outcome: job.outcome ?? 'failed',
    at: new Date().toISOString(),
    ...present({ error: job.error, duplicateOf: job.duplicateOf }),
    quarantined: database.all('SELECT instance, code, stage FROM quarantine WHERE job = ? ORDER BY instance', job.id).map((row) => ({
      instance: Number(row['instance']), code: row['code'] as ErrorCode, stage: row['stage'] as Stage,
    })),
    failed: failures(database, job.n).map(({ instance, destination, code }) => ({ instance, destination, code })),
    entries: assessment.entries,
    leftOut: assessment.destinations.filter(({ required }) => required).reduce((sum, { leftOut }) => sum + leftOut, 0),
    byResponse: Number(database.get("SELECT count(*) AS n FROM delivery WHERE job = ? AND state = 'verified' AND level = 'response'", job.n)?.['n'] ?? 0),
  };
}

export function buildReceipt(database: Database, table: JobTable, job: JobRow, assessment: Assessment, steps: readonly Step[]): Receipt {
  const n = table.n(job.id);
  const levels = new Map<string, Record<string, number>>();
  for (const row of database.all(
    `SELECT address, level, count(*) AS n FROM delivery JOIN destination ON destination.id = delivery.destination
     WHERE job = ? AND state = 'verified' AND level IS NOT NULL GROUP BY address, level`, n,
  )) {
    const of = levels.get(String(row['address'])) ?? {};
    of[String(row['level'])] = Number(row['n']);
    levels.set(String(row['address']), of);
  }
  const profile = database.get('SELECT profile_name, profile_fingerprint FROM job WHERE n = ?', n);
  const name = text(profile?.['profile_name']);
  return {
    receipt: 1,
    job: { id: job.id, name: job.name, kind: job.kind, outcome: job.outcome ?? 'failed', attempts: job.attempt, ...present({ duplicateOf: job.duplicateOf, againOf: job.againOf, releaseOf: job.releaseOf }) },
    source: { key: job.sourceKey, bytes: job.bytes, ...present({ sha256: job.digest }) },
    ...(name === undefined ? {} : { profile: { name, settings: String(profile?.['profile_fingerprint']) } }),
    entries: assessment.entries,
    destinations: assessment.destinations.map(({ abandoned: _abandoned, ...counts }) => ({ ...counts, levels: levels.get(counts.address) ?? {} })),
    quarantined: database.all('SELECT instance, code FROM quarantine WHERE job = ? ORDER BY instance', job.id).map((row) => ({
      instance: Number(row['instance']), code: row['code'] as ErrorCode,
    })),
    failed: failures(database, n),
    instances: database.all("SELECT instance, min(uid) AS uid, min(sha256) AS sha256 FROM delivery WHERE job = ? AND state = 'verified' GROUP BY instance", n).map((row) => ({
      instance: Number(row['instance']), sha256: row['sha256'] as Sha256, ...present({ sopInstanceUID: text(row['uid']) }),
    })),
    ...present({ error: job.error }),
    journal: table.head(),
    acts: readActs(database, job.id),
    steps: steps.map(({ step, at, code }) => ({ step, at: time(at), ...present({ code }) })),
    openedAt: time(job.createdAt),
    closedAt: time(Date.now()),
    balanced: balances(assessment),
  };
}
