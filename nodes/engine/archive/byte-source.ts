/** Positional, synchronous reading of one file or of the volumes of a set as if they were one. For workers only. */
import { closeSync, fstatSync, openSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { BLOCK, giveBack, giveBlock, takeBlock } from '../memory';

const readLater = promisify(read);

export class ByteSource implements Disposable {
  /** Bytes of all volumes together. */
  readonly size: number;
  readonly #volumes: ReadonlyArray<{ readonly fd: number; readonly start: number; readonly end: number }>;
  /** What was read ahead, so that thousands of small entries cost few system calls. */
  #window: Buffer | undefined;
  #windowStart = 0;
  #windowEnd = 0;

  constructor(paths: readonly string[]) {
    const volumes: Array<{ readonly fd: number; readonly start: number; readonly end: number }> = [];
    let start = 0;
    try {
      for (const path of paths) {
        const fd = openSync(path, 'r');
        volumes.push({ fd, start, end: start });
        const end = start + fstatSync(fd).size;
        volumes[volumes.length - 1] = { fd, start, end };
        start = end;
      }
    } catch (thrown) {
      for (const { fd } of volumes) closeSync(fd);
      throw thrown;
    }
    this.#volumes = volumes;
    this.size = start;
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#volumes) closeSync(fd);
    if (this.#window !== undefined) giveBlock(this.#window);
    this.#window = undefined;
    this.#windowEnd = this.#windowStart;
  }

  get volumes(): number {
    return this.#volumes.length;
  }

  /** Where a volume begins, from 0; undefined where the set has fewer. */
  volumeStart(volume: number): number | undefined {
    return this.#volumes[volume]?.start;
  }

  /** Reads into `target` from `position`; returns fewer bytes than asked for only at the end. */
  readInto(target: Uint8Array, position: number): number {
    let done = 0;
    for (const { fd, start, end } of this.#volumes) {
      while (done < target.length && position + done >= start && position + done < end) {
        const count = readSync(fd, target, done, Math.min(target.length - done, end - position - done), position + done - start);
        if (count === 0) return done;
        done += count;
      }
    }
    return done;
  }

  /** The same while the thread does something else; `target` is not to be touched until then. */
  async fill(target: Uint8Array, position: number): Promise<number> {
    let done = 0;
    for (const { fd, start, end } of this.#volumes) {
      while (done < target.length && position + done >= start && position + done < end) {
        const { bytesRead } = await readLater(fd, target, done, Math.min(target.length - done, end - position - done), position + done - start);
        if (bytesRead === 0) return done;
        done += bytesRead;
      }
    }
    return done;
  }

  /** A new buffer with up to `length` bytes. The caller has checked `length`. */
  read(position: number, length: number): Buffer {
    const target = Buffer.allocUnsafe(Math.max(0, Math.min(length, this.size - position)));
    return target.subarray(0, this.readInto(target, position));
  }

  /** Up to `length` bytes out of the read-ahead window where they fit in there; good until the next call. */
  view(position: number, length: number): Buffer {
    if (length > BLOCK) return this.read(position, length);
    const window = this.#window ??= takeBlock();
    if (position < this.#windowStart || position + length > this.#windowEnd) {
      this.#windowStart = position;
      this.#windowEnd = position;
      this.#windowEnd += this.readInto(window, position);
    }
    const from = position - this.#windowStart;
    return window.subarray(from, Math.min(from + length, this.#windowEnd - this.#windowStart));
  }

  /** Gives back what `read` or `view` returned, unless it is the window. */
  giveBack(bytes: Buffer): void {
    if (bytes.buffer !== this.#window?.buffer) giveBack(bytes);
  }

  /** `length` bytes from `position` in blocks; each is good until the next. Ends early where the source ends. */
  *blocks(position: number, length: number): Generator<Buffer, void, undefined> {
    const block = takeBlock();
    try {
      for (let done = 0; done < length;) {
        const count = this.readInto(block.subarray(0, Math.min(block.length, length - done)), position + done);
        if (count === 0) return;
        yield block.subarray(0, count);
        done += count;
      }
    } finally {
      giveBlock(block);
    }
  }
}
