/** The steps of a job's closing, and what is kept of it afterwards. */
import type { ErrorCode } from '../../errors';
import type { JobId, Outcome } from '../../model';
import type { Announcement, ErrorFacts, JobStore, Step, Synchronous } from '../store';
import { assess } from './assess';
import type { Database } from './database';
import { present, text } from './job-table';
import type { JobTable } from './job-table';
import { removeJob } from './jobs';
import { buildReason, buildReceipt } from './receipt';

type ClosingCalls = Pick<JobStore,
  | 'visited' | 'assess' | 'beginClosing' | 'reason' | 'steps' | 'step' | 'forget' | 'close' | 'receipt' | 'unannounced' | 'announced' | 'purge'>;

/** Jobs that one call removes at most, so that it holds up nobody. */
const PURGE_GROUP = 50;

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
      return table.read(id).finishNode ?? node;
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
      const over = database.all("SELECT id FROM job WHERE state = 'closed' AND closed_at < ? LIMIT ?", closedBefore, PURGE_GROUP);
      for (const { id } of over) {
        table.event(String(id), 'purged');
        removeJob(database, table, String(id));
      }
      if (over.length === PURGE_GROUP) return true;
      database.run(
        'DELETE FROM event WHERE at < ? AND (job IS NULL OR job NOT IN (SELECT id FROM job)) AND (line IS NULL OR seq <= ?)', closedBefore, database.journaled,
      );
      // What became of quarantined files is told as long as their job is.
      database.run('DELETE FROM quarantine WHERE gone IS NOT NULL AND moved = 2 AND job NOT IN (SELECT id FROM job)');
      return false;
    },
  };
}
