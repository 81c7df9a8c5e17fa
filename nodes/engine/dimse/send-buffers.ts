/** Buffers for batches of PDUs, used again and again, so that a study of any size is sent in the same few megabytes. */

/** Bytes of data in one batch; what fits is read in one go. */
export const BATCH = 1024 * 1024;
/** The system takes no more pieces in one read (IOV_MAX). */
export const MOST_PIECES = 1024;

export interface BatchPlan {
  /** Bytes of a full fragment. */
  readonly fragment: number;
  /** Fragments in a batch. */
  readonly fragments: number;
  /** Bytes of data in a batch. */
  readonly data: number;
}

export function planBatches(maxFragment: number): BatchPlan {
  const fragment = Math.min(maxFragment, BATCH);
  const fragments = Math.max(1, Math.min(MOST_PIECES, Math.floor(BATCH / fragment)));
  return { fragment, fragments, data: fragment * fragments };
}

/** A few buffers of one size; `take` waits for one to be given back. */
export class BufferPool {
  readonly #free: Buffer[] = [];
  readonly #waiting: Array<(buffer: Buffer) => void> = [];
  #made = 0;

  constructor(private readonly size: number, private readonly most: number) {}

  take(): Promise<Buffer> | Buffer {
    return this.takeFree() ?? new Promise((resolve) => { this.#waiting.push(resolve); });
  }

  /** One that nobody has; undefined where there is none. */
  takeFree(): Buffer | undefined {
    const free = this.#free.pop();
    if (free !== undefined || this.#made >= this.most) return free;
    this.#made += 1;
    return Buffer.allocUnsafeSlow(this.size);
  }

  give(buffer: Buffer): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(buffer);
    else next(buffer);
  }
}
