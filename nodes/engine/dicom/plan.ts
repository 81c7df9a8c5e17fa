/**
 * What a new data set is made of, in order: ranges of the old one and new bytes. It is complete before anything is written,
 * so lengths are known, and a file that turns out unreadable leaves nothing on disk.
 */

/** One piece of the result. */
export interface Piece {
  /** Whether it is new; otherwise it is copied. */
  literal: boolean;
  /** Offset in the source, or in the plan's literals. */
  start: number;
  length: number;
}

export interface Mark {
  readonly count: number;
  readonly lastLength: number;
  readonly literalLength: number;
  readonly bytes: number;
}

/** More pieces than this are no data set of the real world; they would cost 64 MiB. */
const MOST_PIECES = 4 << 20;
const MOST_LITERALS = 64 << 20;

/** What a plan keeps allocated between files. */
const KEPT_PIECES = 64 << 10;
const KEPT_LITERALS = 1 << 20;

export class PlanTooLarge extends Error {}

export class Plan {
  /** Bytes of the result so far. */
  bytes = 0;
  #literals = Buffer.allocUnsafeSlow(16 << 10);
  #literalLength = 0;
  /** Offsets; literal ones as -1 - offset. */
  #starts = new Float64Array(256);
  #lengths = new Float64Array(256);
  #count = 0;

  /** Empties it for the next file. */
  clear(): void {
    if (this.#literals.length > KEPT_LITERALS) this.#literals = Buffer.allocUnsafeSlow(KEPT_LITERALS);
    if (this.#starts.length > KEPT_PIECES) {
      this.#starts = new Float64Array(KEPT_PIECES);
      this.#lengths = new Float64Array(KEPT_PIECES);
    }
    this.rewind({ count: 0, lastLength: 0, literalLength: 0, bytes: 0 });
  }

  keep(from: number, to: number): void {
    const length = to - from;
    if (length === 0) return;
    this.#append(from, length);
  }

  /** @returns where in the literals they stand, for `patchLength`. */
  add(bytes: Buffer, from = 0, to = bytes.length): number {
    const length = to - from;
    const at = this.#literalLength;
    if (length === 0) return at;
    if (at + length > this.#literals.length) this.#growLiterals(at + length);
    bytes.copy(this.#literals, at, from, to);
    this.#literalLength += length;
    this.#append(-1 - at, length);
    return at;
  }

  /** Writes a 32-bit length into literals that were added. */
  patchLength(at: number, length: number, bigEndian: boolean): void {
    if (bigEndian) this.#literals.writeUInt32BE(length, at);
    else this.#literals.writeUInt32LE(length, at);
  }

  mark(): Mark {
    return { count: this.#count, lastLength: this.#count === 0 ? 0 : this.#lengths[this.#count - 1]!, literalLength: this.#literalLength, bytes: this.bytes };
  }

  rewind({ count, lastLength, literalLength, bytes }: Mark): void {
    this.#count = count;
    if (count > 0) this.#lengths[count - 1] = lastLength;
    this.#literalLength = literalLength;
    this.bytes = bytes;
  }

  get literals(): Buffer {
    return this.#literals;
  }

  get count(): number {
    return this.#count;
  }

  /** The piece at an index, from 0, into `piece`. */
  read(index: number, piece: Piece): void {
    const start = this.#starts[index]!;
    piece.literal = start < 0;
    piece.start = start < 0 ? -1 - start : start;
    piece.length = this.#lengths[index]!;
  }

  /** Appends a piece, or makes the last one longer where this one follows on. */
  #append(start: number, length: number): void {
    this.bytes += length;
    const last = this.#count - 1;
    if (last >= 0) {
      const lastStart = this.#starts[last]!;
      const lastLength = this.#lengths[last]!;
      const literal = start < 0;
      if (lastStart < 0 === literal && (literal ? lastStart - lastLength : lastStart + lastLength) === start) {
        this.#lengths[last] = lastLength + length;
        return;
      }
    }
    if (this.#count === this.#starts.length) this.#growPieces();
    this.#starts[this.#count] = start;
    this.#lengths[this.#count] = length;
    this.#count++;
  }

  #growPieces(): void {
    if (this.#count >= MOST_PIECES) throw new PlanTooLarge();
    const starts = new Float64Array(this.#count * 2);
    const lengths = new Float64Array(this.#count * 2);
    starts.set(this.#starts);
    lengths.set(this.#lengths);
    this.#starts = starts;
    this.#lengths = lengths;
  }

  #growLiterals(needed: number): void {
    if (needed > MOST_LITERALS) throw new PlanTooLarge();
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#literals.length * 2));
    this.#literals.copy(larger, 0, 0, this.#literalLength);
    this.#literals = larger;
  }
}
