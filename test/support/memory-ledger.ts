/** The few methods of the ledger that `extract` calls, in memory. It judges nothing: what was found is what it answers. */
import { mkdirSync, mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Extraction, FoundEntry, Job, Ledger, SpooledItem } from '../../nodes/engine/ledger/ledger-types';
import type { JobId, JobToken, OwnPath, SourceKey } from '../../nodes/engine/model';

export interface MemoryLedger {
  readonly ledger: Ledger;
  readonly token: JobToken;
  /** Removed by the test. */
  readonly root: string;
  readonly stage: string;
  /** What was recorded last. */
  readonly entries: () => readonly FoundEntry[];
  readonly calls: string[];
}

/** @param files that the job took in: paths, or paths with the foreign name that they came under. */
export function memoryLedger(files: ReadonlyArray<string | { readonly path: string; readonly name: string }>, issuer?: string): MemoryLedger {
  const root = mkdtempSync(join(tmpdir(), 'exdicom-extract-'));
  const stage = join(root, 'extract');
  const id = 'job-1' as JobId;
  const calls: string[] = [];
  const recorded = new Map<string, Extraction>();
  let last: readonly FoundEntry[] = [];
  const spool = files.map((file, i): SpooledItem => {
    const { path, name } = typeof file === 'string' ? { path: file, name: basename(file) } : file;
    return { n: i + 1, path: path as OwnPath, name, bytes: statSync(path).size };
  });
  const job: Job = {
    id, name: 'test 0001', sourceKey: 'test:' as SourceKey, kind: 'archive', state: 'open', attempt: 1, createdAt: 0, updatedAt: 0, bytes: 0,
    ...(issuer === undefined ? {} : { issuer }),
  };
  const part: Partial<Ledger> = {
    job: () => Promise.resolve(job),
    spool: () => Promise.resolve(spool),
    passwords: () => [],
    stageFolder: (_, name) => {
      mkdirSync(join(root, name), { recursive: true, mode: 0o700 });
      return Promise.resolve(join(root, name) as OwnPath);
    },
    attempting: (_, at) => { calls.push(`attempting ${at}`); return Promise.resolve(false); },
    progressed: (_, at) => { calls.push(`progressed ${at}`); return Promise.resolve(); },
    extraction: (_, settings) => Promise.resolve(recorded.get(settings)),
    recordExtraction: (_, settings, entries) => {
      calls.push('recorded');
      last = entries;
      const instances = entries.flatMap(({ file }) => (file === undefined ? [] : [file]));
      const extraction: Extraction = {
        summary: {
          entries: entries.length, instances: instances.length,
          patients: new Set(instances.map(({ patient }) => patient)).size,
          studies: new Set(instances.map(({ studyInstanceUID }) => studyInstanceUID)).size,
          skipped: entries.flatMap(({ kind, code }, i) => (kind === 'instance' ? [] : [{ entry: i + 1, code: code ?? (kind === 'index' ? 'INDEX' as const : 'NOT_DICOM' as const) }])),
          bytes: instances.reduce((sum, { bytes }) => sum + bytes, 0),
        },
        files: instances.map(({ sha256: _sha, dataSetSha256: _set, patient: _who, ...file }, i) => ({ ...file, instance: i + 1 })),
        groups: instances.map(({ patient }, i) => ({ instance: i + 1, patient })),
      };
      recorded.set(settings, extraction);
      return Promise.resolve(extraction);
    },
  };
  // Whatever else is called fails as not being a function: `extract` has no business there.
  return { ledger: part as Ledger, token: { id, name: job.name, ledger: 'memory', attempt: 1 }, root, stage, entries: () => last, calls };
}
