/** What `extract` found, numbered and judged; and found again when the job comes a second time. */
import type { ErrorCode } from '../errors';
import type { DicomFile, Extracted, JobId } from '../model';
import { recordProgress } from './core';
import type { LedgerCore } from './core';
import { intact, lookAt } from './known-files';
import type { Extraction, FoundEntry } from './ledger-types';
import type { Quarantine } from './quarantine';
import type { InstanceRow, JudgedEntry } from './store';

/** Entries that cross to the store's thread at once, so that no turn of the event loop is long. */
const GROUP = 250;

const fileOf = ({ instance, path, bytes, facts }: InstanceRow): DicomFile => ({ instance, path, bytes, ...facts });

function skippedCode({ kind, code }: JudgedEntry): ErrorCode | 'INDEX' | 'NOT_DICOM' {
  if (code !== undefined) return code;
  if (kind === 'index') return 'INDEX';
  return kind === 'not-dicom' ? 'NOT_DICOM' : 'DICOM_UNREADABLE';
}

export class ExtractionRecords {
  readonly #core: LedgerCore;
  readonly #quarantine: Quarantine;

  constructor(core: LedgerCore, quarantine: Quarantine) {
    this.#core = core;
    this.#quarantine = quarantine;
  }

  /** The earlier result under the same settings, if all of it is still on disk. */
  async find(id: JobId, settings: string): Promise<Extraction | undefined> {
    const { store } = this.#core;
    this.#core.live(id);
    const known = await store.extraction(id);
    if (known === undefined || known.settings !== settings) return undefined;
    const rows: InstanceRow[] = [];
    for (let after = 0; ;) {
      const group = await store.instances(id, after, GROUP);
      rows.push(...group);
      if (group.length < GROUP) break;
      after = group.at(-1)!.instance;
    }
    if (rows.length !== known.summary.instances || (await intact(this.#core, id, rows)).includes(false)) return undefined;
    return { summary: known.summary, files: rows.map(fileOf), groups: rows.map(({ instance, patient }) => ({ instance, patient })) };
  }

  async record(id: JobId, settings: string, entries: readonly FoundEntry[]): Promise<Extraction> {
    const { store } = this.#core;
    this.#core.live(id);
    await store.beginExtraction(id);
    const files: DicomFile[] = [];
    const groups: Array<Extraction['groups'][number]> = [];
    const skipped: Array<Extracted['skipped'][number]> = [];
    const useless: string[] = [];
    const studies = new Set<string>(), patients = new Set<string>();
    let bytes = 0;
    for (let at = 0; at < entries.length; at += GROUP) {
      const group = entries.slice(at, at + GROUP);
      const paths = group.flatMap(({ file }) => (file === undefined ? [] : [file.path]));
      const looks = await lookAt(this.#core, paths);
      const times = new Map(paths.map((path, index) => [path, looks[index]?.mtimeMs]));
      const judged = await store.addEntries(id, group, group.map(({ file }) => (file === undefined ? undefined : times.get(file.path))));
      for (const [index, verdict] of judged.entries()) {
        const found = group[index]!.file;
        if (verdict.remove !== undefined) useless.push(verdict.remove);
        if (verdict.kind !== 'instance' || found === undefined || verdict.instance === undefined) {
          skipped.push({ entry: verdict.entry, code: skippedCode(verdict) });
          continue;
        }
        const { sha256: _sha256, dataSetSha256: _dataSet, patient, ...facts } = found;
        files.push({ instance: verdict.instance, ...facts });
        groups.push({ instance: verdict.instance, patient });
        studies.add(found.studyInstanceUID);
        patients.add(patient);
        bytes += found.bytes;
      }
    }
    const summary: Extracted = { entries: entries.length, instances: files.length, patients: patients.size, studies: studies.size, skipped, bytes };
    await store.completeExtraction(id, settings, summary);
    await recordProgress(this.#core, this.#core.live(id), 'extract');
    await this.#quarantine.flush(id);
    if (useless.length > 0) await this.#core.task('ledger.remove', { files: useless, folders: [] });
    return { summary, files, groups };
  }
}
