/** Numbering and judging what an archive held. */
import type { Extracted, JobId, OwnPath } from '../../model';
import type { FoundEntry, FoundInstance } from '../ledger-types';
import type { InstanceRow, JobStore, JudgedEntry, Synchronous } from '../store';
import type { Database } from './database';
import { readFile } from './files';
import { number, text } from './job-table';
import type { JobTable } from './job-table';
import { noteQuarantine } from './quarantine';

type ExtractionCalls = Pick<JobStore, 'beginExtraction' | 'addEntries' | 'completeExtraction' | 'extraction' | 'instances'>;

/** The next free instance number of a job. */
export function nextInstance(database: Database, job: number): number {
  return Number(database.get('SELECT coalesce(max(n), 0) + 1 AS n FROM instance WHERE job = ?', job)?.['n']);
}

export function extractionOperations(database: Database, table: JobTable): Synchronous<ExtractionCalls> {
  const generationOf = (job: number): { generation: number; entries: number } => {
    const row = database.get('SELECT generation, entries FROM job WHERE n = ?', job);
    return { generation: number(row?.['generation']) ?? 0, entries: number(row?.['entries']) ?? 0 };
  };

  /** Same UID and same data set: duplicate, or the instance of an extraction before this one. Same UID, other content: conflict. */
  const judge = (id: JobId, job: number, generation: number, entry: number, found: FoundInstance, mtime: number | undefined, sealedPatient: (patient: string) => Uint8Array | undefined): JudgedEntry => {
    // Two that lack their UID are not the same instance for it.
    const mark = database.mark(found.sopInstanceUID === '' ? found.sha256 : found.sopInstanceUID);
    const known = database.all('SELECT n, kind, data_set, sha256, generation FROM instance INDEXED BY instance_mark WHERE job = ? AND mark = ? AND kind <> ?', job, mark, 'added');
    const same = known.find((row) => row['sha256'] === found.sha256 || (found.dataSetSha256 !== undefined && row['data_set'] === found.dataSetSha256));
    if (same !== undefined && same['generation'] === generation) return { entry, kind: 'duplicate', code: 'DUPLICATE', instance: Number(same['n']), remove: found.path };

    const conflict = same === undefined ? known.length > 0 : same['kind'] === 'conflict';
    const instance = same === undefined ? nextInstance(database, job) : Number(same['n']);
    database.run(
      'INSERT OR REPLACE INTO instance (job, n, kind, mark, data_set, sha256, generation, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      job, instance, conflict ? 'conflict' : 'instance', mark, found.dataSetSha256 ?? same?.['data_set'] ?? '', found.sha256, generation, sealedPatient(found.patient),
    );
    if (conflict) {
      if (noteQuarantine(database, table, id, { instance, code: 'UID_CONFLICT', stage: 'extract', path: found.path })) table.event(id, 'quarantined', { code: 'UID_CONFLICT', stage: 'extract', instances: [instance] });
      return { entry, kind: 'conflict', code: 'UID_CONFLICT', instance };
    }
    const { path, bytes, sha256, patient: _patient, dataSetSha256: _dataSet, ...facts } = found;
    database.run(
      `INSERT OR REPLACE INTO file (job, path, instance, stage, settings, sha256, bytes, mtime, run, sealed) VALUES (?, ?, ?, 'extract', '', ?, ?, ?, ?, ?)`,
      job, path, instance, sha256, bytes, mtime, table.run, database.seal(job, facts),
    );
    return { entry, kind: 'instance', instance };
  };

  return {
    beginExtraction(id: JobId) {
      const job = table.n(id);
      database.run('UPDATE job SET generation = generation + 1, entries = 0, extraction_settings = NULL, extraction_summary = NULL WHERE n = ?', job);
      database.run('DELETE FROM entry WHERE job = ?', job);
      database.run("DELETE FROM file WHERE job = ? AND stage = 'extract'", job);
      database.run("DELETE FROM quarantine WHERE job = ? AND stage = 'extract' AND (moved = 0 OR gone = 'elsewhere')", id);
    },

    addEntries(id: JobId, entries: readonly FoundEntry[], mtimes: readonly (number | undefined)[]): JudgedEntry[] {
      const job = table.n(id);
      const { generation, entries: before } = generationOf(job);
      const patients = new Map<string, Uint8Array | undefined>();
      const sealedPatient = (patient: string): Uint8Array | undefined => {
        // Most files of a job have one patient, and sealing is half of what a file costs.
        if (!patients.has(patient)) patients.set(patient, database.seal(job, { patient }));
        return patients.get(patient);
      };
      const judged = entries.map((found, index): JudgedEntry => {
        const entry = before + index + 1;
        const verdict: JudgedEntry = found.file === undefined
          ? { entry, kind: found.kind, ...(found.code === undefined ? {} : { code: found.code }) }
          : judge(id, job, generation, entry, found.file, mtimes[index], sealedPatient);
        database.run(
          'INSERT INTO entry (job, n, kind, code, bytes, instance, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)',
          job, entry, verdict.kind, verdict.code, found.bytes, verdict.instance, database.seal(job, found.name),
        );
        return verdict;
      });
      database.run('UPDATE job SET entries = ? WHERE n = ?', before + entries.length, job);
      return judged;
    },

    completeExtraction(id: JobId, settings: string, summary: Extracted) {
      const job = table.n(id);
      const { generation } = generationOf(job);
      // What an extraction under other settings had found and this one has not, unless a destination has it.
      database.run(
        `DELETE FROM instance WHERE job = ?1 AND generation < ?2 AND kind <> 'added'
          AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.job = ?1 AND delivery.instance = instance.n)`, job, generation,
      );
      table.set(id, { extraction_settings: settings, extraction_summary: JSON.stringify(summary), failures: 0, failing_since: null });
      table.event(id, 'extracted');
    },

    extraction(id: JobId) {
      const row = database.get('SELECT extraction_settings, extraction_summary FROM job WHERE n = ?', table.n(id));
      const settings = text(row?.['extraction_settings']);
      return settings === undefined ? undefined : { settings, summary: JSON.parse(String(row?.['extraction_summary'])) as Extracted };
    },

    instances(id: JobId, after: number, limit: number): InstanceRow[] {
      const job = table.n(id);
      return database.all(
        `SELECT file.*, instance.sealed AS about, q.instance AS aside FROM instance
         JOIN file INDEXED BY file_instance ON file.job = instance.job AND file.instance = instance.n AND file.stage = 'extract'
         LEFT JOIN quarantine AS q ON q.job = ?1 AND q.instance = instance.n
         WHERE instance.job = ?2 AND instance.n > ?3 AND instance.kind = 'instance' ORDER BY instance.n LIMIT ?4`, id, job, after, limit,
      ).map((row) => ({
        ...readFile(database, table, job, row),
        path: row['path'] as OwnPath,
        patient: (database.unseal(job, row['about']) as { patient: string }).patient,
        quarantined: row['aside'] !== null,
      }));
    },
  };
}
