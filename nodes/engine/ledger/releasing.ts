/** Files out of quarantine into a new job, under a profile that a person chose. */
import { ExdicomError } from '../errors';
import type { JobId, JobToken } from '../model';
import type { LedgerCore } from './core';
import type { IntakeDesk } from './intake';
import { rangesOf } from './journal-line';
import { operatorOf } from './operator';
import { quarantinedName } from './quarantine';
import type { Quarantine } from './quarantine';

/** Characters of a profile's name. */
const LONGEST_PROFILE = 200;

export class Releasing {
  readonly #core: LedgerCore;
  readonly #quarantine: Quarantine;
  readonly #desk: IntakeDesk;

  constructor(core: LedgerCore, quarantine: Quarantine, desk: IntakeDesk) {
    this.#core = core;
    this.#quarantine = quarantine;
    this.#desk = desk;
  }

  /**
   * The new job has the source of the one that its files come from, so that the same source sends it into the same flow, and
   * its issuer, so that its patient gets the same pseudonym.
   * @throws {ExdicomError} JOB_UNKNOWN, NOT_IN_QUARANTINE, RELEASE_REFUSED, CONFIG_INVALID, INTAKE_CLOSED
   */
  async release(id: JobId, instances: 'all' | readonly number[], profile: string, who?: string): Promise<JobToken> {
    const core = this.#core;
    const name = profile.trim();
    if (name === '' || name.length > LONGEST_PROFILE) throw new ExdicomError('CONFIG_INVALID', { detail: 'profile' });
    const held = await this.#quarantine.held(id, instances);
    // What was de-identified would become another patient's, of another study.
    const results = held.filter((row) => row.profile !== undefined);
    const rows = held.filter((row) => row.profile === undefined);
    if (rows.length === 0 || (instances !== 'all' && results.length > 0)) {
      throw new ExdicomError('RELEASE_REFUSED', { job: held[0]!.name, detail: rangesOf(results.map(({ instance }) => instance)) });
    }
    const source = await core.store.quarantineSource(id);
    if (source === undefined) throw new ExdicomError('NOT_IN_QUARANTINE', { job: held[0]!.name });
    const paths = rows.map((row) => this.#quarantine.pathOf(row));
    const looks = await core.task('ledger.look', { paths, digest: false });
    const items = rows.flatMap(({ instance }, index) => {
      const look = looks[index];
      return look === undefined ? [] : [{ path: paths[index]!, name: quarantinedName(instance), bytes: look.bytes, mtimeMs: look.mtimeMs }];
    });
    if (items.length < rows.length) throw new ExdicomError('NOT_IN_QUARANTINE', { job: held[0]!.name });
    const job = await this.#desk.takeReleased(source, items, { of: id, who: operatorOf(who), profile: name, instances: rows.map(({ instance }) => instance) });
    return core.token(job);
  }
}
