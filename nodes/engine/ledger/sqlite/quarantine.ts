/** What is noted of files that are set aside. It outlives the job, until the retention ends or a person decides. */
import type { ErrorCode, Stage } from '../../errors';
import type { JobId, OwnPath } from '../../model';
import type { QuarantineRequest, QuarantineRow } from '../store';
import type { Database, Row } from './database';
import { present, text } from './job-table';
import type { JobTable } from './job-table';

/** A job's name as the name of a folder; prefixes may be names that a person gave to a node. */
export const folderName = (name: string): string => name.replace(/[^\p{L}\p{N}_-]+/gu, '-').slice(-60);

export function noteQuarantine(database: Database, table: JobTable, id: JobId, { instance, code, stage, path, detail }: QuarantineRequest): void {
  database.run(
    `INSERT INTO quarantine (job, instance, folder, code, stage, detail, path, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job, instance) DO NOTHING`,
    id, instance, folderName(table.read(id).name), code, stage, detail, path, Date.now(),
  );
}

export const readQuarantine = (row: Row): QuarantineRow => ({
  job: row['job'] as JobId,
  folder: String(row['folder']),
  instance: Number(row['instance']),
  code: row['code'] as ErrorCode,
  stage: row['stage'] as Stage,
  at: Number(row['at']),
  ...present({ detail: text(row['detail']) }),
});

export const readUnmoved = (row: Row): QuarantineRow & { readonly path: OwnPath } => ({ ...readQuarantine(row), path: row['path'] as OwnPath });
