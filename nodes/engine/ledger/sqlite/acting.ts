/** What a person does to jobs, sources and destinations: each act with its event, in one change. */
import type { JobId, SourceKey } from '../../model';
import type { Hold, HoldMode, HoldTarget } from '../ledger-types';
import type { JobRow, JobStore, Synchronous } from '../store';
import type { Database } from './database';
import { text } from './job-table';
import type { JobTable } from './job-table';

type ActingCalls = Pick<JobStore, 'cancel' | 'due' | 'acted' | 'putBack' | 'letGo' | 'hold' | 'unhold' | 'holds'>;

const columnsOf = (target: HoldTarget): [kind: string, name: string] => ('source' in target ? ['source', target.source] : ['destination', target.destination]);

export function actingOperations(database: Database, table: JobTable): Synchronous<ActingCalls> {
  return {
    cancel(id: JobId, who: string): JobRow {
      const { state } = table.read(id);
      if (state === 'closing' || state === 'closed') return table.read(id);
      table.set(id, { state: 'closing', outcome: 'cancelled', required: '[]', next_at: null, waits_for: '[]', doomed: false });
      table.setError(id, undefined);
      // Outlives the job: its original must not come back when the ledger has forgotten it.
      database.run('INSERT OR REPLACE INTO put_back (source_key, mark, job) SELECT source_key, origin_mark, id FROM job WHERE id = ? AND origin_mark IS NOT NULL', id);
      table.event(id, 'cancelled', { who });
      return table.read(id);
    },

    due(id: JobId, who: string): JobRow {
      if (table.read(id).state === 'parked') {
        table.set(id, { next_at: Date.now() });
        table.event(id, 'retry now', { who });
      }
      return table.read(id);
    },

    acted(id: JobId, event: string, who: string) {
      table.event(id, event, { who });
    },

    putBack: (sourceKey: SourceKey, origin: string) =>
      text(database.get('SELECT job FROM put_back WHERE source_key = ? AND mark = ?', sourceKey, database.mark(origin))?.['job']) as JobId | undefined,

    letGo(sourceKey: SourceKey, origin: string) {
      database.run('DELETE FROM put_back WHERE source_key = ? AND mark = ?', sourceKey, database.mark(origin));
    },

    hold(target: HoldTarget, mode: HoldMode, who: string) {
      const [kind, name] = columnsOf(target);
      database.run('INSERT OR REPLACE INTO hold (kind, target, mode, who, at) VALUES (?, ?, ?, ?, ?)', kind, name, mode, who, Date.now());
      table.event(undefined, mode === 'pause' ? `${kind} paused` : `${kind} drains`, { who, other: name });
    },

    unhold(target: HoldTarget, who: string): boolean {
      const [kind, name] = columnsOf(target);
      if (database.run('DELETE FROM hold WHERE kind = ? AND target = ?', kind, name) === 0) return false;
      table.event(undefined, `${kind} resumed`, { who, other: name });
      return true;
    },

    holds: () => database.all('SELECT * FROM hold ORDER BY at, kind, target').map((row): Hold => ({
      target: row['kind'] === 'source' ? { source: String(row['target']) as SourceKey } : { destination: String(row['target']) },
      mode: row['mode'] as HoldMode, who: String(row['who']), at: Number(row['at']),
    })),
  };
}
