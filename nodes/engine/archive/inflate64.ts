/**
 * Deflate64 (method 9), which Windows Explorer writes for what is large: Deflate (RFC 1951) with a window of 64 KiB, lengths up to 65,538
 * and two more distance codes.
 */
import { EntryRefused } from './entry-refused';
import type { Decoder, PackedBytes } from './packed-bytes';

/** Twice the window, so that what has been handed on is still there to be copied from. */
const RING = 1 << 17;
const LONGEST_CODE = 15;

const LENGTH_BASE = Uint16Array.of(3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 3);
const LENGTH_EXTRA = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 16);
const DISTANCE_BASE = Uint32Array.from({ length: 32 }, (_, code) => (code < 4 ? code + 1 : ((2 + (code & 1)) << ((code >> 1) - 1)) + 1));
const DISTANCE_EXTRA = Uint8Array.from({ length: 32 }, (_, code) => (code < 4 ? 0 : (code >> 1) - 1));
/** The order in which the lengths of the code length code are written (RFC 1951, 3.2.7). */
const ORDER = Uint8Array.of(16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15);

/** A prefix code: by the next `bits` bits, the symbol and, in the lowest four bits, the length of its code; 0 where there is none. */
interface Code {
  readonly bits: number;
  readonly table: Uint16Array;
}

/** @throws {EntryRefused} where the lengths ask for more codes than there are. */
function prefixCode(lengths: Uint8Array): Code {
  const counts = new Uint16Array(LONGEST_CODE + 1);
  let bits = 1;
  for (const length of lengths) {
    counts[length]! += 1;
    if (length > bits) bits = length;
  }
  counts[0] = 0;
  const next = new Uint16Array(LONGEST_CODE + 2);
  for (let length = 1; length <= LONGEST_CODE; length += 1) {
    next[length + 1] = (next[length]! + counts[length]!) << 1;
    if (next[length]! + counts[length]! > 1 << length) throw new EntryRefused('ENTRY_DAMAGED');
  }
  const table = new Uint16Array(1 << bits);
  for (const [symbol, length] of lengths.entries()) {
    if (length === 0) continue;
    let code = next[length]!;
    next[length]! += 1;
    let reversed = 0;
    for (let i = 0; i < length; i += 1) { reversed = (reversed << 1) | (code & 1); code >>= 1; }
    for (let i = reversed; i < table.length; i += 1 << length) table[i] = (symbol << 4) | length;
  }
  return { bits, table };
}

const FIXED_LITERALS = prefixCode(Uint8Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8)));
const FIXED_DISTANCES = prefixCode(new Uint8Array(32).fill(5));

class Inflate64 {
  readonly #ring = Buffer.allocUnsafeSlow(RING);
  #at = 0;
  /** Of the ring, handed on so far. */
  #given = 0;
  #produced = 0;
  /** Bits that were read and not used, the next one lowest. */
  #bits = 0;
  #count = 0;

  constructor(private readonly packed: PackedBytes, private readonly take: (chunk: Buffer) => void) {}

  run(): void {
    let last = false;
    while (!last) {
      last = this.#read(1) === 1;
      switch (this.#read(2)) {
        case 0: this.#stored(); break;
        case 1: this.#compressed(FIXED_LITERALS, FIXED_DISTANCES); break;
        case 2: this.#dynamic(); break;
        default: throw new EntryRefused('ENTRY_DAMAGED');
      }
    }
    this.#give();
  }

  /** @param count at most 16. */
  #read(count: number): number {
    while (this.#count < count) {
      this.#bits |= this.packed.next() << this.#count;
      this.#count += 8;
    }
    const value = this.#bits & ((1 << count) - 1);
    this.#bits >>>= count;
    this.#count -= count;
    return value;
  }

  #symbol({ bits, table }: Code): number {
    while (this.#count < bits) {
      // The last code may be shorter than what is looked at.
      const byte = this.packed.nextOrEnd();
      if (byte < 0) break;
      this.#bits |= byte << this.#count;
      this.#count += 8;
    }
    const found = table[this.#bits & ((1 << bits) - 1)]!;
    const length = found & 15;
    if (length === 0 || length > this.#count) throw new EntryRefused('ENTRY_DAMAGED');
    this.#bits >>>= length;
    this.#count -= length;
    return found >>> 4;
  }

  #give(): void {
    this.take(this.#ring.subarray(this.#given, this.#at));
    this.#at &= RING - 1;
    this.#given = this.#at;
  }

  #put(byte: number): void {
    this.#ring[this.#at] = byte;
    this.#at += 1;
    this.#produced += 1;
    if (this.#at === RING) this.#give();
  }

  #stored(): void {
    this.#read(this.#count & 7);
    const length = this.#read(16);
    if ((this.#read(16) ^ length) !== 0xffff) throw new EntryRefused('ENTRY_DAMAGED');
    for (let i = 0; i < length; i += 1) this.#put(this.#count > 0 ? this.#read(8) : this.packed.next());
  }

  #dynamic(): void {
    const literals = this.#read(5) + 257;
    const distances = this.#read(5) + 1;
    const codes = this.#read(4) + 4;
    const first = new Uint8Array(19);
    for (let i = 0; i < codes; i += 1) first[ORDER[i]!] = this.#read(3);
    const lengthCode = prefixCode(first);
    const lengths = new Uint8Array(literals + distances);
    for (let i = 0; i < lengths.length;) {
      const symbol = this.#symbol(lengthCode);
      if (symbol < 16) { lengths[i] = symbol; i += 1; continue; }
      if (symbol === 16 && i === 0) throw new EntryRefused('ENTRY_DAMAGED');
      const value = symbol === 16 ? lengths[i - 1]! : 0;
      const repeat = symbol === 16 ? 3 + this.#read(2) : symbol === 17 ? 3 + this.#read(3) : 11 + this.#read(7);
      if (i + repeat > lengths.length) throw new EntryRefused('ENTRY_DAMAGED');
      lengths.fill(value, i, i + repeat);
      i += repeat;
    }
    this.#compressed(prefixCode(lengths.subarray(0, literals)), prefixCode(lengths.subarray(literals)));
  }

  #compressed(literals: Code, distances: Code): void {
    for (;;) {
      const symbol = this.#symbol(literals);
      if (symbol < 256) { this.#put(symbol); continue; }
      if (symbol === 256) return;
      if (symbol > 285) throw new EntryRefused('ENTRY_DAMAGED');
      const length = LENGTH_BASE[symbol - 257]! + this.#read(LENGTH_EXTRA[symbol - 257]!);
      const code = this.#symbol(distances);
      const distance = DISTANCE_BASE[code]! + this.#read(DISTANCE_EXTRA[code]!);
      if (distance > this.#produced) throw new EntryRefused('ENTRY_DAMAGED');
      for (let i = 0; i < length; i += 1) this.#put(this.#ring[(this.#at - distance) & (RING - 1)]!);
    }
  }
}

export const inflate64: Decoder = (packed, _size, take) => { new Inflate64(packed, take).run(); };
