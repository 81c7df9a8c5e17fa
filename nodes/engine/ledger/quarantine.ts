/** Setting files aside where a person can look at them: `quarantine/<job>/<instance>.dcm` with a `reason.json`. */
import { join } from 'node:path';
import type { JobId } from '../model';
import type { LedgerCore } from './core';
import type { QuarantineRequest, QuarantineRow } from './store';

/** Notes and files handled at once, so that the event loop never sees thousands in one turn. */
const GROUP = 500;

export const quarantinedName = (instance: number): string => `${String(instance).padStart(6, '0')}.dcm`;

/** No name, no value: what a person needs to find the rule and the place. */
const reasonText = (rows: readonly QuarantineRow[]): string => JSON.stringify({
  files: rows.map(({ instance, code, stage, detail, at }) => ({
    file: quarantinedName(instance), instance, code, stage, at: new Date(at).toISOString(), ...(detail === undefined ? {} : { detail }),
  })),
}, undefined, 2);

export class Quarantine {
  readonly #core: LedgerCore;

  constructor(core: LedgerCore) {
    this.#core = core;
  }

  /** Noted first, then linked: a crash in between is made good at the next start. */
  async add(id: JobId, requests: readonly QuarantineRequest[]): Promise<void> {
    if (requests.length === 0) return;
    for (let at = 0; at < requests.length; at += GROUP) await this.#core.store.quarantine(id, requests.slice(at, at + GROUP));
    await this.flush(id);
  }

  /** Brings what is noted into the quarantine folder; of one job or of all. */
  async flush(id?: JobId): Promise<void> {
    const { store, folders } = this.#core;
    const byJob = Map.groupBy(await store.unmoved(id), ({ job }) => job);
    for (const [job, rows] of byJob) {
      const all = await store.quarantinedOf(job);
      const files = rows.map(({ path, instance }) => ({ path, name: quarantinedName(instance) }));
      await this.#core.task('ledger.aside', { folder: join(folders.quarantine, rows[0]!.folder), files, reason: reasonText(all) });
      for (let at = 0; at < rows.length; at += GROUP) await store.moved(job, rows.slice(at, at + GROUP).map(({ instance }) => instance));
    }
    this.#core.quarantined = await store.quarantineCount();
    this.#core.changed();
  }

  /** Notes of closed jobs whose file is no longer there: a person has decided. */
  async reconcile(): Promise<void> {
    const { store, folders } = this.#core;
    const rows = await store.quarantined();
    for (let at = 0; at < rows.length; at += GROUP) {
      const group = rows.slice(at, at + GROUP);
      const looks = await this.#core.task('ledger.look', { paths: group.map(({ folder, instance }) => join(folders.quarantine, folder, quarantinedName(instance))), digest: false });
      await store.unquarantine(group.filter((_, index) => looks[index] === undefined));
    }
    this.#core.quarantined = await store.quarantineCount();
    this.#core.changed();
  }

  /** The end of their retention. */
  async remove(rows: readonly QuarantineRow[]): Promise<void> {
    if (rows.length === 0) return;
    const { store, folders } = this.#core;
    await this.#core.task('ledger.remove', { files: rows.map(({ folder, instance }) => join(folders.quarantine, folder, quarantinedName(instance))), folders: [] });
    await store.unquarantine(rows);
    const left = new Set((await store.quarantined()).map(({ folder }) => folder));
    const emptied = [...new Set(rows.map(({ folder }) => folder))].filter((folder) => !left.has(folder));
    await this.#core.task('ledger.remove', { files: [], folders: emptied.map((folder) => join(folders.quarantine, folder)) });
    this.#core.quarantined = await store.quarantineCount();
    this.#core.changed();
  }
}
