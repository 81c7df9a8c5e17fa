/** The packed bytes of an entry, one after the other, out of blocks that are read when they are needed. */
import { EntryRefused } from './entry-refused';

export class PackedBytes {
  #block: Uint8Array = new Uint8Array(0);
  #at = 0;

  /** @param blocks each good until the next is asked for. */
  constructor(private readonly blocks: Iterator<Uint8Array, unknown>) {}

  /** @throws {EntryRefused} ENTRY_DAMAGED where there are no more. */
  next(): number {
    if (this.#at < this.#block.length) return this.#block[this.#at++]!;
    const byte = this.nextOrEnd();
    if (byte < 0) throw new EntryRefused('ENTRY_DAMAGED');
    return byte;
  }

  /** The next byte, or -1 where there are no more. */
  nextOrEnd(): number {
    while (this.#at >= this.#block.length) {
      const { value, done } = this.blocks.next();
      if (done === true) return -1;
      this.#block = value;
      this.#at = 0;
    }
    return this.#block[this.#at++]!;
  }
}

/**
 * Unpacks one entry, synchronously, so that what takes the bytes sets the pace. Memory is bounded whatever the input says;
 * bytes beyond `size` are the input's fault and handed on all the same, up to a bounded number, for the taker to refuse.
 * @param size bytes that should come out.
 * @param take is given what comes out, in order; each chunk is good until it returns.
 * @throws {EntryRefused} ENTRY_DAMAGED; ENTRY_METHOD where it would take too much memory.
 */
export type Decoder = (packed: PackedBytes, size: number, take: (chunk: Buffer) => void) => void;
