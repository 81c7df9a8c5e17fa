/**
 * Room that the database keeps for itself. On a disk filled to the last byte a job could not even be closed, which is what
 * would make room: then the ballast goes overboard, and comes back when there is room again.
 */
import { closeSync, existsSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const BYTES = 4 << 20;
const CHUNK = 1 << 18;
/** Milliseconds between two attempts to take it on board again. */
const INTERVAL = 60_000;

export class Ballast {
  readonly #file: string;
  #triedAt = Number.NEGATIVE_INFINITY;

  constructor(directory: string) {
    this.#file = join(directory, 'ledger.ballast');
  }

  /** True where it was there to be dropped. */
  drop(): boolean {
    if (!existsSync(this.#file)) return false;
    try {
      rmSync(this.#file);
    } catch {
      return false;
    }
    this.#triedAt = performance.now();
    return true;
  }

  /** Real bytes: a sparse file would hold no room. */
  take(): void {
    const now = performance.now();
    if (now - this.#triedAt < INTERVAL || existsSync(this.#file)) return;
    this.#triedAt = now;
    try {
      const file = openSync(this.#file, 'wx', 0o600);
      try {
        const chunk = Buffer.alloc(CHUNK, 0xff);
        for (let written = 0; written < BYTES; written += CHUNK) writeSync(file, chunk);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    } catch { // No room now, or no folder to have it in.
      try { rmSync(this.#file, { force: true }); } catch { /* As above. */ }
    }
  }
}
