/** What operators and dashboards may ask. */
import type { JobId } from '../model';
import { jobOf } from './core';
import type { LedgerCore } from './core';
import type { Job, JobDetails, JobFilter, LedgerCounts, Marks, QuarantinedFile } from './ledger-types';

export class Asking {
  readonly #core: LedgerCore;
  readonly #quarantined: (job: JobId) => Promise<readonly QuarantinedFile[]>;

  constructor(core: LedgerCore, quarantined: (job: JobId) => Promise<readonly QuarantinedFile[]>) {
    this.#core = core;
    this.#quarantined = quarantined;
  }

  async jobs(filter: JobFilter): Promise<readonly Job[]> {
    return (await this.#core.store.jobs(filter)).map(jobOf);
  }

  async counts(): Promise<LedgerCounts> {
    const { holds, circuits, quarantined } = this.#core;
    return { ...await this.#core.store.counts(), quarantined, holds: holds.all(), circuits: circuits() };
  }

  async details(id: JobId): Promise<JobDetails> {
    const core = this.#core;
    const [{ row, assessment, sentAgainAs, events }, quarantined] = await Promise.all([core.store.details(id), this.#quarantined(id)]);
    return {
      job: jobOf(row),
      entries: assessment.entries,
      destinations: assessment.destinations.map(({ abandoned: _abandoned, ...counts }) => counts),
      quarantined,
      policy: row.policy ?? core.settings.policy,
      failures: row.failures,
      ...(row.failingSince === undefined ? {} : { failingSince: row.failingSince }),
      waitsFor: row.waitsFor,
      sentAgainAs, events,
    };
  }

  async find(marks: Marks): Promise<readonly Job[]> {
    return (await this.#core.store.find(marks)).map(jobOf);
  }
}
