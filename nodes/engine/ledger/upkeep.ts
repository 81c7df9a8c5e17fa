/** The ledger's folders: made, swept at start, watched for space, emptied when their retention ends. */
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobId } from '../model';
import type { LedgerCore } from './core';
import type { IntakeDesk } from './intake';
import { keepOnlyCopies } from './only-copies';
import type { Quarantine } from './quarantine';

const DAY = 86_400_000;
const HOUR = 3_600_000;
/** Milliseconds between two looks whether a full disk has room again. */
const SPACE_LOOK = 5_000;

/** What fails here is tried again at its next turn. */
const quietly = (work: () => Promise<void>) => (): void => { work().catch(() => undefined); };

export async function makeFolders({ folders }: LedgerCore): Promise<void> {
  // The journal's is its writer's: a job does not wait for it.
  const { journal: _journal, ...needed } = folders;
  for (const folder of Object.values(needed)) await mkdir(folder, { recursive: true, mode: 0o700 });
}

export class Upkeep {
  readonly #core: LedgerCore;
  readonly #desk: IntakeDesk;
  readonly #quarantine: Quarantine;
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(core: LedgerCore, desk: IntakeDesk, quarantine: Quarantine) {
    this.#core = core;
    this.#desk = desk;
    this.#quarantine = quarantine;
  }

  /** Removes from the work folder what belongs to no open job, by the ledger and not by age; what nobody else has is kept in `failed`. */
  async sweep(): Promise<void> {
    const { folders, jobs } = this.#core;
    const strangers = (await readdir(folders.work)).filter((name) => !jobs.has(name as JobId));
    if (strangers.length === 0) return;
    await keepOnlyCopies(folders, strangers);
    await this.#core.task('ledger.remove', { files: [], folders: strangers.map((name) => join(folders.work, name)) });
  }

  /** @param tick is called twice in every quiet period. */
  start(tick: () => void): void {
    const every = (milliseconds: number, what: () => void): void => { this.#timers.push(setInterval(what, milliseconds).unref()); };
    every(Math.max(50, this.#core.settings.quiet / 2), tick);
    every(SPACE_LOOK, quietly(async () => {
      if (await this.hasSpaceAgain()) tick();
    }));
    every(HOUR, quietly(() => this.purge()));
    quietly(() => this.purge())();
  }

  async hasSpaceAgain(): Promise<boolean> {
    if (this.#core.paused === undefined || (await this.#desk.freeBytes()) <= 0) return false;
    this.#core.paused = undefined;
    return true;
  }

  async purge(): Promise<void> {
    const { retention, quarantineRetention } = this.#core.settings;
    const now = Date.now();
    // A few at a time, until there are no more: others have their turn in between.
    while (await this.#core.store.purge(now - retention * DAY));
    await this.#purgeDone(now - retention * DAY);
    if (quarantineRetention > 0) await this.#quarantine.expire(now - quarantineRetention * DAY);
    await this.#quarantine.reconcile();
    await this.#quarantine.clear();
  }

  async #purgeDone(before: number): Promise<void> {
    const { done } = this.#core.folders;
    const old: string[] = [];
    for (const name of await readdir(done)) {
      const path = join(done, name);
      // The time of change, which moving sets: a file's own time may be years before it came here.
      const stats = await stat(path).catch(() => undefined);
      if (stats !== undefined && stats.ctimeMs < before) old.push(path);
    }
    if (old.length > 0) await this.#core.task('ledger.remove', { files: [], folders: old });
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }
}
