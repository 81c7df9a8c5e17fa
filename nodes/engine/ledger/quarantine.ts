/**
 * Setting files aside where a person can look at them: `quarantine/<job>/000007.dcm`, with `000007.reason.json` beside it;
 * and how they leave again.
 */
import { join } from 'node:path';
import { ERRORS, ExdicomError } from '../errors';
import type { JobId, OwnPath } from '../model';
import type { LedgerCore } from './core';
import type { QuarantinedFile } from './ledger-types';
import { rangesOf } from './journal-line';
import { operatorOf } from './operator';
import type { Departure, QuarantineRequest, QuarantineRow } from './store';

/** Notes and files handled at once, so that the event loop never sees thousands in one turn. */
const GROUP = 500;

export const quarantinedName = (instance: number): string => `${String(instance).padStart(6, '0')}.dcm`;
export const reasonName = (instance: number): string => quarantinedName(instance).replace('.dcm', '.reason.json');

/** No name, no value: what a person needs to find the rule and the place. */
const reasonText = ({ name, instance, code, stage, detail, at }: QuarantineRow): string => `${JSON.stringify({
  file: quarantinedName(instance), job: name, instance, code, cause: ERRORS[code].cause, remedy: ERRORS[code].remedy, stage, at: new Date(at).toISOString(),
  ...(detail === undefined ? {} : { detail }),
}, undefined, 2)}\n`;

const groupsOf = <T>(rows: readonly T[]): T[][] => Array.from({ length: Math.ceil(rows.length / GROUP) }, (_, i) => rows.slice(i * GROUP, (i + 1) * GROUP));

function fileOf({ job, name, instance, code, stage, detail, at, releasedTo, who, decidedAt, gone, goneAt }: QuarantineRow): QuarantinedFile {
  const decided = who === undefined || decidedAt === undefined ? undefined : { who, at: decidedAt };
  return {
    job, name, instance, code, stage, at,
    ...(detail === undefined ? {} : { detail }),
    ...(decided === undefined || releasedTo === undefined ? {} : { released: { to: releasedTo, ...decided } }),
    ...(decided === undefined || gone !== 'discarded' ? {} : { discarded: decided }),
    ...(gone === undefined || gone === 'elsewhere' || goneAt === undefined ? {} : { gone: { why: gone, at: goneAt } }),
  };
}

export class Quarantine {
  readonly #core: LedgerCore;

  constructor(core: LedgerCore) {
    this.#core = core;
  }

  // ---------------------------------------------------------------------------------------------- setting aside

  /** Noted first, then linked: a crash in between is made good at the next start. */
  async add(id: JobId, requests: readonly QuarantineRequest[]): Promise<void> {
    if (requests.length === 0) return;
    for (const group of groupsOf(requests)) await this.#core.store.quarantine(id, group);
    await this.flush(id);
  }

  /** Brings what is noted into the quarantine folder; of one job or of all. */
  async flush(id?: JobId): Promise<void> {
    const { store, folders } = this.#core;
    const byJob = Map.groupBy(await store.unmoved(id), ({ job }) => job);
    for (const [job, rows] of byJob) {
      for (const group of groupsOf(rows)) {
        const files = group.map((row) => ({ path: row.path, name: quarantinedName(row.instance), reason: { name: reasonName(row.instance), text: reasonText(row) } }));
        await this.#core.task('ledger.aside', { folder: join(folders.quarantine, group[0]!.folder), files });
        await store.moved(job, group.map(({ instance }) => instance));
      }
    }
    if (id === undefined || byJob.size > 0) await this.#count();
  }

  async #count(): Promise<void> {
    this.#core.quarantined = await this.#core.store.quarantineCount();
    this.#core.changed();
  }

  pathOf({ folder, instance }: QuarantineRow): OwnPath {
    return join(this.#core.folders.quarantine, folder, quarantinedName(instance)) as OwnPath;
  }

  // ---------------------------------------------------------------------------------------------- leaving

  /** Notices what a person has taken away by hand. @throws {ExdicomError} STORAGE_FAILED where the quarantine folder itself is away */
  async reconcile(): Promise<void> {
    const { store, folders } = this.#core;
    for (const group of groupsOf(await store.quarantined(undefined))) {
      const gone = await this.#core.task('ledger.missing', { root: folders.quarantine, paths: group.map((row) => this.pathOf(row)) });
      await this.leave(group.filter((_, index) => gone[index] === true), 'removed');
    }
  }

  /** Written down first, then removed: a crash in between is made good at the next start. Resolves with how many left. */
  async leave(rows: readonly QuarantineRow[], why: Departure, who?: string): Promise<number> {
    let left = 0;
    for (const group of groupsOf(rows)) left += await this.#core.store.departed(group, why, who);
    await this.clear();
    return left;
  }

  /** Removes the files of what has left. */
  async clear(): Promise<void> {
    const { store, folders } = this.#core;
    for (const group of groupsOf(await store.unremoved())) {
      // What a person has taken away may be back by now: it is that person's.
      const names = group.flatMap(({ folder, instance, gone }) => [...gone === 'removed' ? [] : [quarantinedName(instance)], reasonName(instance)].map((name) => join(folder, name)));
      await this.#core.task('ledger.unaside', { root: folders.quarantine, names });
      await store.removed(group);
    }
    await this.#count();
  }

  /** The end of their retention. */
  async expire(before: number): Promise<void> {
    const rows = await this.#core.store.expired(before);
    if (rows.length > 0) await this.leave(rows, 'expired');
  }

  // ---------------------------------------------------------------------------------------------- what a person does

  /** Whatever was set aside of one job, also what has left since; of all jobs what lies there. */
  async list(job?: JobId): Promise<QuarantinedFile[]> {
    const { store } = this.#core;
    const rows = job === undefined ? await store.quarantined(undefined) : (await store.quarantinedOf(job)).filter(({ gone }) => gone !== 'elsewhere');
    return rows.map(fileOf);
  }

  /**
   * What lies in quarantine of a job and nobody works on: all, or these.
   * @throws {ExdicomError} JOB_UNKNOWN, NOT_IN_QUARANTINE, STORAGE_FAILED
   */
  async held(id: JobId, instances: 'all' | readonly number[]): Promise<readonly QuarantineRow[]> {
    const { store, jobs } = this.#core;
    await this.reconcile();
    const all = (await store.quarantined(id)).filter(({ releasedTo }) => releasedTo === undefined);
    if (all.length === 0 && !jobs.has(id) && (await store.quarantinedOf(id)).length === 0 && (await store.job(id)) === undefined) throw new ExdicomError('JOB_UNKNOWN');
    const wanted = instances === 'all' ? undefined : new Set(instances);
    const found = wanted === undefined ? all : all.filter(({ instance }) => wanted.has(instance));
    const there = new Set(found.map(({ instance }) => instance));
    const missing = [...wanted ?? []].filter((instance) => !there.has(instance));
    if (found.length === 0 || missing.length > 0) throw new ExdicomError('NOT_IN_QUARANTINE', { ...nameOf(all), ...(missing.length === 0 ? {} : { detail: rangesOf(missing.filter(Number.isInteger)) }) });
    return found;
  }

  async discard(id: JobId, instances: 'all' | readonly number[], who?: string): Promise<number> {
    return this.leave(await this.held(id, instances), 'discarded', operatorOf(who));
  }

  /** A job of released files closes: what of them is verified everywhere leaves the quarantine, the rest stays. */
  async settleRelease(id: JobId): Promise<void> {
    const rows = await this.#core.store.releasedInto(id);
    await this.leave(rows.filter(({ verified }) => verified), 'released');
    for (const group of groupsOf(rows.filter(({ verified }) => !verified))) await this.#core.store.unreleased(group);
  }
}

const nameOf = (rows: readonly QuarantineRow[]): { readonly job?: string } => (rows[0] === undefined ? {} : { job: rows[0].name });
