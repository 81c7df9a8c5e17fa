/** Bytes of a file, or of the beginning of one, seen through a window that moves; nothing large is ever held. */
import { readSync } from 'node:fs';

/** Reading a data set ended at `offset` (bytes from the start of what was read). `detail` is ours and holds no value. */
export class Unreadable extends Error {
  constructor(readonly offset: number, readonly detail: string) {
    super(`${detail} at ${offset}`);
  }
}

/** More of the file is needed than the beginning that was given. */
export class NeedMore extends Error {}

const JUMP = 4096;

export class ByteSource {
  /** The window: `bytes[i]` is the byte at offset `base + i`, for i < `filled`. */
  bytes: Buffer;
  base = 0;
  filled = 0;
  /** Bytes read from the file so far. */
  consumed = 0;
  readonly size: number;
  readonly #fd: number | undefined;
  readonly #limit: number;
  #step: number;

  private constructor(bytes: Buffer, filled: number, size: number, fd: number | undefined, first: number, limit: number) {
    this.bytes = bytes;
    this.filled = filled;
    this.size = size;
    this.#fd = fd;
    this.#step = first;
    this.#limit = limit;
  }

  /** @param window reused between files; also the most that is read at a time. @param limit bytes read in all, then NeedMore. */
  static file(fd: number, size: number, window: Buffer, first: number, limit = Infinity): ByteSource {
    return new ByteSource(window, 0, size, fd, first, limit);
  }

  /** @param size of the whole that `bytes` are the beginning of. */
  static prefix(bytes: Buffer, size: number): ByteSource {
    return new ByteSource(bytes, Math.min(bytes.length, size), size, undefined, 0, Infinity);
  }

  /**
   * Index in `bytes` of the byte at `offset`, with `count` bytes after it in the window. Valid until the next call.
   * @throws {Unreadable} past the end. @throws {NeedMore} past what was given or allowed.
   */
  at(offset: number, count: number): number {
    const index = offset - this.base;
    if (index >= 0 && index + count <= this.filled) return index;
    return this.#load(offset, count);
  }

  #load(offset: number, count: number): number {
    if (offset + count > this.size) throw new Unreadable(offset, 'the data ends too early');
    if (this.#fd === undefined) throw new NeedMore();
    const held = this.base + this.filled - offset;
    const sequential = offset >= this.base && held >= 0;
    if (this.filled > 0) this.#step = sequential ? Math.min(this.#step * 4, this.bytes.length) : JUMP;
    const wanted = Math.min(Math.max(count, this.#step), this.size - offset);
    if (wanted > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(wanted);
      if (sequential) this.bytes.copy(larger, 0, offset - this.base, this.filled);
      this.bytes = larger;
    } else if (sequential && held > 0) {
      this.bytes.copyWithin(0, offset - this.base, this.filled);
    }
    this.filled = sequential ? held : 0;
    this.base = offset;
    while (this.filled < wanted) {
      if (this.consumed >= this.#limit) throw new NeedMore();
      const got = readSync(this.#fd, this.bytes, this.filled, wanted - this.filled, this.base + this.filled);
      if (got === 0) throw new Unreadable(this.base + this.filled, 'the file is shorter than it was');
      this.filled += got;
      this.consumed += got;
    }
    return 0;
  }
}
