/** What `transcode` and `anonymize` made of each file, so that it is made once. */
import type { DicomFile, JobId } from '../model';
import { recordProgress } from './core';
import type { LedgerCore } from './core';
import { intact, lookAt } from './known-files';
import type { Preparation, Prepared, PreparedFile } from './ledger-types';
import type { Quarantine } from './quarantine';
import type { FileRow } from './store';

const GROUP = 250;

export class PreparationRecords {
  readonly #core: LedgerCore;
  readonly #quarantine: Quarantine;

  constructor(core: LedgerCore, quarantine: Quarantine) {
    this.#core = core;
    this.#quarantine = quarantine;
  }

  /** Of these files: what the stage made of them before under the same settings and is still on disk, and what it set aside. */
  async find(id: JobId, stage: Preparation['stage'], settings: string, files: readonly DicomFile[]): Promise<Prepared> {
    const { store } = this.#core;
    this.#core.live(id);
    const prepared: PreparedFile[] = [];
    for (let at = 0; at < files.length; at += GROUP) {
      const rows: readonly FileRow[] = await store.preparedFiles(id, stage, settings, files.slice(at, at + GROUP).map(({ path }) => path));
      const sound = await intact(this.#core, id, rows);
      for (const [index, { instance, path, bytes, sha256, from, facts }] of rows.entries()) {
        if (sound[index] === true && from !== undefined) prepared.push({ instance, from, path, sha256, bytes, file: { instance, path, bytes, ...facts } });
      }
    }
    const asked = new Set(files.map(({ instance }) => instance));
    const quarantined = (await store.quarantinedOf(id)).filter((row) => row.stage === stage && asked.has(row.instance)).map(({ instance, code }) => ({ instance, code }));
    return { files: prepared, quarantined };
  }

  async record(id: JobId, { stage, settings, profile, files, quarantined }: Preparation): Promise<void> {
    const { store } = this.#core;
    this.#core.live(id);
    const keyed = new Set([...files, ...quarantined].flatMap(({ marks = [] }) => marks));
    if (keyed.size > 0) await store.mark(id, { keyed: [...keyed], uids: [] });
    for (let at = 0; at < files.length; at += GROUP) {
      const group = files.slice(at, at + GROUP);
      const unknown = group.filter(({ mtimeMs }) => mtimeMs === undefined).map(({ path }) => path);
      const looks = await lookAt(this.#core, unknown);
      const times = new Map(unknown.map((path, index) => [path, looks[index]?.mtimeMs]));
      await store.recordFiles(id, stage, settings, profile, group.map((file) => {
        const mtimeMs = file.mtimeMs ?? times.get(file.path);
        return mtimeMs === undefined ? file : { ...file, mtimeMs };
      }));
    }
    if (files.length > 0) await recordProgress(this.#core, this.#core.live(id), stage);
    await this.#quarantine.add(id, quarantined.map((one) => ({ ...one, stage })));
  }
}
