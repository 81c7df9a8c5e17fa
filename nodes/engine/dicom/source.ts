/** Bytes of a file, or of the beginning of one, seen through windows that move; nothing large is ever held. */
import { readSync } from 'node:fs';

/** Reading a data set ended at `offset` (bytes from the start of what was read). `detail` is ours and holds no value. */
export class Unreadable extends Error {
  constructor(readonly offset: number, readonly detail: string) {
    super(`${detail} at ${offset}`);
  }
}

/** More of the file is needed than the beginning that was given, or than may be read. */
export class NeedMore extends Error {}

/** Bytes read after a jump; what follows in order is read in larger and larger pieces. */
const JUMP = 4096;
const SIDE = 128 << 10;

interface Window {
  bytes: Buffer;
  base: number;
  filled: number;
  step: number;
}

export class ByteSource {
  /** The window that the last `at` is in. */
  bytes: Buffer;
  readonly size: number;
  #active: Window;
  /** Reads on from the start of the file. */
  readonly #main: Window;
  /** Takes what is jumped to, so that the beginning stays at hand. */
  #side: Window | undefined;
  readonly #fd: number | undefined;
  #left: number;

  private constructor(main: Window, size: number, fd: number | undefined, limit: number) {
    this.#main = main;
    this.#active = main;
    this.bytes = main.bytes;
    this.size = size;
    this.#fd = fd;
    this.#left = limit;
  }

  /** @param window reused between files; also the most that is read at a time. @param limit bytes read in all, then NeedMore. */
  static file(fd: number, size: number, window: Buffer, first: number, limit = Infinity): ByteSource {
    return new ByteSource({ bytes: window, base: 0, filled: 0, step: first }, size, fd, limit);
  }

  /** @param size of the whole that `bytes` are the beginning of. */
  static prefix(bytes: Buffer, size: number): ByteSource {
    return new ByteSource({ bytes, base: 0, filled: Math.min(bytes.length, size), step: 0 }, size, undefined, 0);
  }

  /**
   * Index in `bytes` of the byte at `offset`, with `count` bytes from there in the window. Valid until the next call.
   * @throws {Unreadable} past the end. @throws {NeedMore} past what was given or allowed.
   */
  at(offset: number, count: number): number {
    const index = offset - this.#active.base;
    if (index >= 0 && index + count <= this.#active.filled) return index;
    return this.#move(offset, count);
  }

  /** Copies a range, from the windows or else from the file, without moving a window. */
  copy(offset: number, count: number, target: Buffer, position: number): void {
    for (const { bytes, base, filled } of this.#side === undefined ? [this.#main] : [this.#main, this.#side]) {
      if (offset >= base && offset + count <= base + filled) {
        bytes.copy(target, position, offset - base, offset - base + count);
        return;
      }
    }
    this.#read(target, position, count, offset);
  }

  /** A range as text by `latin1`, from the windows or else from the file, without moving a window. */
  latin1(offset: number, count: number): string {
    const { bytes, base, filled } = this.#active;
    if (offset >= base && offset + count <= base + filled) return bytes.toString('latin1', offset - base, offset - base + count);
    return this.range(offset, count).toString('latin1');
  }

  /** A range, from the windows or else from the file, without moving a window. Valid until the next call. */
  range(offset: number, count: number): Buffer {
    const { bytes, base, filled } = this.#active;
    if (offset >= base && offset + count <= base + filled) return bytes.subarray(offset - base, offset - base + count);
    const range = Buffer.allocUnsafe(count);
    this.copy(offset, count, range, 0);
    return range;
  }

  #move(offset: number, count: number): number {
    if (offset + count > this.size) throw new Unreadable(offset, 'the data ends too early');
    if (this.#fd === undefined) throw new NeedMore();
    const window = this.#choose(offset);
    this.#active = window;
    const index = offset - window.base;
    if (index < 0 || index + count > window.filled) {
      // What is read first is the beginning, wherever in it the first look goes.
      const start = window.filled === 0 && window === this.#main && offset + count <= window.step ? 0 : offset;
      this.#fill(window, start, offset + count - start);
    }
    this.bytes = window.bytes;
    return offset - window.base;
  }

  /** The window that holds the offset or ends at it; a jump goes to the side. */
  #choose(offset: number): Window {
    if (this.#main.filled === 0 && offset < this.#main.step) return this.#main;
    for (const window of this.#side === undefined ? [this.#main] : [this.#main, this.#side]) {
      if (offset >= window.base && offset <= window.base + window.filled) return window;
    }
    this.#side ??= { bytes: Buffer.allocUnsafeSlow(SIDE), base: 0, filled: 0, step: JUMP };
    this.#side.filled = 0;
    this.#side.step = JUMP;
    return this.#side;
  }

  #fill(window: Window, offset: number, count: number): void {
    const held = window.filled === 0 ? 0 : window.base + window.filled - offset;
    const wanted = Math.min(Math.max(count, window.step), this.size - offset);
    const from = offset - window.base;
    if (wanted > window.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(wanted);
      window.bytes.copy(larger, 0, from, from + held);
      window.bytes = larger;
    } else if (held > 0) {
      window.bytes.copyWithin(0, from, from + held);
    }
    window.base = offset;
    window.filled = held;
    this.#read(window.bytes, held, wanted - held, offset + held);
    window.filled = wanted;
    window.step = Math.min(window.step * 4, window.bytes.length);
  }

  #read(target: Buffer, position: number, count: number, offset: number): void {
    if (this.#fd === undefined) throw new NeedMore();
    for (let done = 0; done < count;) {
      if (this.#left <= 0) throw new NeedMore();
      const got = readSync(this.#fd, target, position + done, count - done, offset + done);
      if (got === 0) throw new Unreadable(offset + done, 'the file is shorter than it was');
      done += got;
      this.#left -= got;
    }
  }
}
