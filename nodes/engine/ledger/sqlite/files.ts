/** Which files the ledger knows, and what made them. */
import type { DicomFile, JobId, OwnPath, Sha256 } from '../../model';
import type { Preparation } from '../ledger-types';
import type { FileRow, JobStore, NewFile, Synchronous } from '../store';
import type { Database, Row } from './database';
import { number, present, text } from './job-table';
import type { JobTable } from './job-table';

export function readFile(database: Database, table: JobTable, job: number, row: Row): FileRow {
  return {
    path: row['path'] as OwnPath,
    instance: Number(row['instance']),
    sha256: row['sha256'] as Sha256,
    bytes: Number(row['bytes']),
    trusted: row['run'] === table.run,
    facts: database.unseal(job, row['sealed']) as FileRow['facts'],
    ...present({ from: text(row['source']) as OwnPath | undefined, mtimeMs: number(row['mtime']), profile: text(row['profile']) }),
  };
}

type FileCalls = Pick<JobStore,
  | 'pinProfile' | 'preparedFiles' | 'recordFiles' | 'files' | 'numbersOf' | 'trust' | 'unprepared' | 'rememberKey' | 'knowsKey'>;

export function fileOperations(database: Database, table: JobTable): Synchronous<FileCalls> {
  return {
    pinProfile(id: JobId, { name, fingerprint }) {
      const n = table.n(id);
      database.run('UPDATE job SET profile_name = ?2, profile_fingerprint = ?3 WHERE n = ?1 AND profile_name IS NULL', n, name, fingerprint);
      const row = database.get('SELECT profile_name, profile_fingerprint FROM job WHERE n = ?', n);
      return row?.['profile_name'] === name && row['profile_fingerprint'] === fingerprint;
    },

    preparedFiles(id: JobId, stage: Preparation['stage'], settings: string, from: readonly string[]): FileRow[] {
      const job = table.n(id);
      return from.flatMap((path) => {
        const made = database.all('SELECT * FROM file INDEXED BY file_source WHERE job = ? AND stage = ? AND source = ? AND settings = ?', job, stage, path, settings);
        // What the stage has made itself may come by once more: a second node of the kind, a wire back.
        const rows = made.length > 0 ? made : database.all('SELECT * FROM file WHERE job = ? AND path = ? AND stage = ? AND settings = ?', job, path, stage, settings);
        return rows.map((row) => readFile(database, table, job, row));
      });
    },

    recordFiles(id: JobId, stage: Preparation['stage'], settings: string, profile: string | undefined, files: readonly NewFile[]) {
      const job = table.n(id);
      for (const made of files) {
        const { instance: _instance, path: _path, bytes: _bytes, ...facts } = made.file satisfies DicomFile;
        const inherited = text(database.get('SELECT profile FROM file WHERE job = ? AND path = ?', job, made.from)?.['profile']);
        database.run(
          `INSERT OR REPLACE INTO file (job, path, instance, stage, settings, source, sha256, bytes, mtime, run, profile, sealed)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          job, made.path, made.instance, stage, settings, made.from, made.sha256, made.bytes, made.mtimeMs, table.run, profile ?? inherited, database.seal(job, facts),
        );
      }
      if (files.length > 0) table.set(id, { failures: 0, failing_since: null });
    },

    files(id: JobId, paths: readonly string[]): FileRow[] {
      const job = table.n(id);
      return paths.flatMap((path) => database.all('SELECT * FROM file WHERE job = ? AND path = ?', job, path).map((row) => readFile(database, table, job, row)));
    },

    numbersOf(id: JobId, paths: readonly string[]) {
      const job = table.n(id);
      return paths.map((path) => number(database.get('SELECT instance FROM file WHERE job = ? AND path = ?', job, path)?.['instance']));
    },

    trust(id: JobId, files) {
      const job = table.n(id);
      for (const { path, mtimeMs } of files) database.run('UPDATE file SET run = ?, mtime = ? WHERE job = ? AND path = ?', table.run, mtimeMs, job, path);
    },

    unprepared(id: JobId) {
      const job = table.n(id);
      return database.all(
        `SELECT file.instance, file.path FROM file WHERE file.job = ?1 AND file.stage = 'extract'
          AND NOT EXISTS (SELECT 1 FROM file AS later INDEXED BY file_instance WHERE later.job = ?1 AND later.instance = file.instance AND later.profile IS NOT NULL)
          AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.job = ?1 AND delivery.instance = file.instance AND delivery.state IN ('sent', 'verified'))
          AND NOT EXISTS (SELECT 1 FROM quarantine AS q WHERE q.job = ?2 AND q.instance = file.instance)`, job, id,
      ).map((row) => ({ instance: Number(row['instance']), path: row['path'] as OwnPath }));
    },

    rememberKey(name: string, fingerprint: string) {
      database.run('INSERT INTO remembered_key (name, fingerprint) VALUES (?, ?) ON CONFLICT (name) DO NOTHING', name, fingerprint);
      return database.get('SELECT fingerprint FROM remembered_key WHERE name = ?', name)?.['fingerprint'] === fingerprint;
    },

    knowsKey: (name: string) => database.get('SELECT 1 FROM remembered_key WHERE name = ?', name) !== undefined,
  };
}
