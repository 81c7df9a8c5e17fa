/**
 * Looks on while a file is written: no word of what does not stay may stand in the numbers, pixels and other bytes that do,
 * where no rule has seen it. Each byte is looked at where it has been read to be written, and on its way to the disk.
 */
import { WordSearch } from './word-search';

/** A word of what does not stay stands in bytes that do; what has been written of the file is no good. */
export class Leak extends Error {}

/** Bytes that two looks at the parts of one value share, so that no word is missed between them. */
const OVERLAP = WordSearch.longest - 1;

/** Where a guard is, as data: for a guard on another thread. */
export interface GuardState {
  readonly words: readonly string[];
  readonly watched: readonly number[];
  /** The last bytes that were seen of a value that goes on. */
  readonly held: Uint8Array;
}

/** For one file after another; `begin` starts a new one. */
export class WordGuard {
  readonly #search = new WordSearch();
  /** Offset and end of each watched value in the source, one after the other, ascending. */
  #watched: readonly number[] = [];
  #next = 0;
  /** The end of the last part of a value that goes on, and behind it the beginning of what follows. */
  readonly #seam = Buffer.allocUnsafeSlow(2 * OVERLAP);
  #held = 0;

  /** @param watched offset and end in the source of each value to look into, one after the other, ascending. @returns where its words go. */
  begin(watched: readonly number[]): WordSearch {
    this.#search.clear();
    this.#watched = watched;
    this.#next = 0;
    this.#held = 0;
    return this.#search;
  }

  get state(): GuardState {
    return { words: this.#search.words, watched: this.#watched.slice(this.#next), held: Uint8Array.from(this.#seam.subarray(0, this.#held)) };
  }

  /** Goes on where another guard is. */
  resume({ words, watched, held }: GuardState): void {
    const search = this.begin(watched);
    for (const word of words) search.know(word);
    this.#seam.set(held);
    this.#held = held.length;
  }

  /** Goes on behind what another guard has seen; `last` are the bytes before `end` in the source, OVERLAP of them or all there were. */
  passTo(end: number, last: Buffer): void {
    this.#held = 0;
    this.see(end - last.length, last, 0, last.length);
  }

  static readonly overlap = OVERLAP;

  /** Whether there is anything to look for. */
  get needed(): boolean {
    return !this.#search.empty && this.#watched.length > 0;
  }

  /**
   * Looks at the bytes of `block` between `from` and `to`, which stand at `offset` in the source. All that is written of
   * the source has to be shown, in order.
   * @throws {Leak}
   */
  see(offset: number, block: Buffer, from: number, to: number): void {
    const end = offset + to - from;
    for (; this.#next < this.#watched.length; this.#next += 2) {
      const start = this.#watched[this.#next]!;
      const stop = this.#watched[this.#next + 1]!;
      if (start >= end) return;
      if (stop > offset) this.#look(block, from + Math.max(start - offset, 0), from + Math.min(stop, end) - offset);
      if (stop > end) {
        this.#hold(block, from + Math.max(start - offset, 0), to);
        return;
      }
      this.#held = 0;
    }
  }

  #look(block: Buffer, from: number, to: number): void {
    if (this.#held > 0) {
      const more = block.copy(this.#seam, this.#held, from, Math.min(to, from + OVERLAP));
      if (this.#search.isIn(this.#seam, 0, this.#held + more)) throw new Leak();
    }
    if (this.#search.isIn(block, from, to)) throw new Leak();
  }

  /** Keeps the last bytes of a value that goes on in the next block. */
  #hold(block: Buffer, from: number, to: number): void {
    const count = Math.min(to - from, OVERLAP);
    const kept = Math.min(this.#held, OVERLAP - count);
    this.#seam.copyWithin(0, this.#held - kept, this.#held);
    block.copy(this.#seam, kept, to - count, to);
    this.#held = kept + count;
  }
}
