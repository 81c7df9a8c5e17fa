/** LZMA (method 14; LZMA SDK, "LZMA specification"): a dictionary, and a range coder whose probabilities learn from what came before. */
import { EntryRefused } from './entry-refused';
import type { Decoder, PackedBytes } from './packed-bytes';

/** Packers use 64 MiB at their highest setting, and a dictionary need not be larger than what comes out. */
const WINDOW_MAX = 64 << 20;
const WINDOW_MIN = 1 << 12;
/** What comes out is handed on at least this often. */
const OUT = 1 << 20;

const STATES = 12;
const POSITIONS = 16;
const HALF = 1024;
const SHORTEST = 2;
/** Distances from this slot on are written in part without probabilities. */
const MODELLED_SLOTS = 14;

const damaged = (): EntryRefused => new EntryRefused('ENTRY_DAMAGED');
const probabilities = (count: number): Uint16Array => new Uint16Array(count).fill(HALF);

/** Lengths by range: 3 bits, 3 bits, 8 bits. */
class Lengths {
  readonly choice = probabilities(2);
  readonly low = probabilities(POSITIONS << 3);
  readonly middle = probabilities(POSITIONS << 3);
  readonly high = probabilities(256);
}

/** Decodes into a window out of which the bytes are handed on; also the heart of LZMA2. */
export class LzmaDecoder {
  readonly #window: Buffer;
  #at = 0;
  /** Of the window, handed on so far. */
  #given = 0;
  /** Bytes that distances may reach back over. */
  #known = 0;

  /** Unsigned 32-bit numbers kept in signed ones, which the engine holds in registers. */
  #range = -1;
  #code = 0;

  #literalContextBits = 0;
  #literalPositionMask = 0;
  #positionMask = 0;
  #position = 0;
  #state = 0;
  #rep0 = 0;
  #rep1 = 0;
  #rep2 = 0;
  #rep3 = 0;
  #literals = probabilities(0);
  #isMatch = probabilities(0);
  #isRep = probabilities(0);
  #isRepG0 = probabilities(0);
  #isRepG1 = probabilities(0);
  #isRepG2 = probabilities(0);
  #isRep0Long = probabilities(0);
  #slots = probabilities(0);
  #distances = probabilities(0);
  #align = probabilities(0);
  #matchLengths = new Lengths();
  #repLengths = new Lengths();

  /**
   * @param dictionary bytes, as the input declares. @param size bytes that should come out.
   * @throws {EntryRefused} ENTRY_METHOD where the window would be too large.
   */
  constructor(private readonly packed: PackedBytes, private readonly take: (chunk: Buffer) => void, dictionary: number, size: number) {
    const window = Math.max(WINDOW_MIN, Math.min(dictionary, size));
    if (window > WINDOW_MAX) throw new EntryRefused('ENTRY_METHOD');
    this.#window = Buffer.allocUnsafeSlow(window);
  }

  /** @param byte literal context bits, literal position bits and position bits in one. */
  setProperties(byte: number): void {
    if (byte >= 9 * 5 * 5) throw damaged();
    this.#literalContextBits = byte % 9;
    this.#literalPositionMask = (1 << (Math.trunc(byte / 9) % 5)) - 1;
    this.#positionMask = (1 << Math.trunc(byte / 45)) - 1;
  }

  resetState(): void {
    this.#state = 0;
    this.#rep0 = 0;
    this.#rep1 = 0;
    this.#rep2 = 0;
    this.#rep3 = 0;
    this.#literals = probabilities(0x300 * (this.#literalPositionMask + 1) << this.#literalContextBits);
    this.#isMatch = probabilities(STATES * POSITIONS);
    this.#isRep = probabilities(STATES);
    this.#isRepG0 = probabilities(STATES);
    this.#isRepG1 = probabilities(STATES);
    this.#isRepG2 = probabilities(STATES);
    this.#isRep0Long = probabilities(STATES * POSITIONS);
    this.#slots = probabilities(4 << 6);
    this.#distances = probabilities(128);
    this.#align = probabilities(16);
    this.#matchLengths = new Lengths();
    this.#repLengths = new Lengths();
  }

  /** What came so far is no longer copied from. */
  resetDictionary(): void {
    this.#known = 0;
    this.#position = 0;
  }

  /** Reads the first five bytes of range coded data. */
  startRange(): void {
    if (this.packed.next() !== 0) throw damaged();
    this.#range = -1;
    this.#code = 0;
    for (let i = 0; i < 4; i += 1) this.#code = (this.#code << 8) | this.packed.next();
  }

  /** Whether nothing is left in the range coder, as at the end of its data. */
  get finished(): boolean {
    return this.#code === 0;
  }

  /** Hands on what has come out and was not handed on. */
  give(): void {
    this.take(this.#window.subarray(this.#given, this.#at));
    if (this.#at === this.#window.length) this.#at = 0;
    this.#given = this.#at;
  }

  /** Takes over `count` bytes that are not packed. */
  copy(count: number): void {
    for (let i = 0; i < count; i += 1) this.#put(this.packed.next());
  }

  #put(byte: number): void {
    this.#window[this.#at] = byte;
    this.#at += 1;
    this.#position = (this.#position + 1) | 0;
    if (this.#known < this.#window.length) this.#known += 1;
    if (this.#at === this.#window.length || this.#at - this.#given === OUT) this.give();
  }

  /** The byte `distance` + 1 back. */
  #back(distance: number): number {
    const from = this.#at - distance - 1;
    return this.#window[from < 0 ? from + this.#window.length : from]!;
  }

  #bit(model: Uint16Array, index: number): number {
    const probability = model[index]!;
    const bound = Math.imul(this.#range >>> 11, probability);
    let bit = 0;
    if ((this.#code >>> 0) < (bound >>> 0)) {
      this.#range = bound;
      model[index] = probability + ((2048 - probability) >> 5);
    } else {
      this.#range = (this.#range - bound) | 0;
      this.#code = (this.#code - bound) | 0;
      model[index] = probability - (probability >> 5);
      bit = 1;
    }
    if ((this.#range >>> 0) < 0x1000000) this.#shift();
    return bit;
  }

  #shift(): void {
    this.#range <<= 8;
    this.#code = (this.#code << 8) | this.packed.next();
  }

  /** Bits that are as often one as zero, the highest first. */
  #direct(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i += 1) {
      this.#range >>>= 1;
      this.#code = (this.#code - this.#range) | 0;
      const borrow = this.#code >> 31;
      this.#code = (this.#code + (this.#range & borrow)) | 0;
      value = (value << 1) + borrow + 1;
      if ((this.#range >>> 0) < 0x1000000) this.#shift();
    }
    return value;
  }

  #tree(model: Uint16Array, offset: number, bits: number): number {
    let node = 1;
    for (let i = 0; i < bits; i += 1) node = (node << 1) | this.#bit(model, offset + node);
    return node - (1 << bits);
  }

  /** The lowest bit first. */
  #reverseTree(model: Uint16Array, offset: number, bits: number): number {
    let node = 1;
    let value = 0;
    for (let i = 0; i < bits; i += 1) {
      const bit = this.#bit(model, offset + node);
      node = (node << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  #length(model: Lengths, position: number): number {
    if (this.#bit(model.choice, 0) === 0) return this.#tree(model.low, position << 3, 3);
    if (this.#bit(model.choice, 1) === 0) return 8 + this.#tree(model.middle, position << 3, 3);
    return 16 + this.#tree(model.high, 0, 8);
  }

  #literal(): void {
    const before = this.#known === 0 ? 0 : this.#back(0);
    const context = ((this.#position & this.#literalPositionMask) << this.#literalContextBits) + (before >> (8 - this.#literalContextBits));
    const offset = 0x300 * context;
    let symbol = 1;
    if (this.#state >= 7) {
      let match = this.#back(this.#rep0);
      do {
        const matchBit = (match >> 7) & 1;
        match <<= 1;
        const bit = this.#bit(this.#literals, offset + ((1 + matchBit) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (matchBit !== bit) break;
      } while (symbol < 0x100);
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(this.#literals, offset + symbol);
    this.#put(symbol & 0xff);
    this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6;
  }

  /** @returns the distance less one; -1 is the mark of the end. */
  #distance(length: number): number {
    const slot = this.#tree(this.#slots, Math.min(length, 3) << 6, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const base = (2 | (slot & 1)) << bits;
    if (slot < MODELLED_SLOTS) return base + this.#reverseTree(this.#distances, base - slot, bits);
    return (base + (this.#direct(bits - 4) << 4) + this.#reverseTree(this.#align, 0, 4)) | 0;
  }

  /**
   * Decodes until `bytes` have come out, or to the mark of the end.
   * @returns false where the mark came, which it may only with `endMark`.
   * @throws {EntryRefused} ENTRY_DAMAGED, also where a match goes on past `bytes`.
   */
  run(bytes: number, endMark: boolean): boolean {
    for (let left = bytes; ;) {
      if (left === 0 && !endMark) return true;
      const position = this.#position & this.#positionMask;
      if (this.#bit(this.#isMatch, this.#state * POSITIONS + position) === 0) {
        if (left === 0) throw damaged();
        this.#literal();
        left -= 1;
        continue;
      }
      let length: number;
      if (this.#bit(this.#isRep, this.#state) === 0) {
        this.#rep3 = this.#rep2;
        this.#rep2 = this.#rep1;
        this.#rep1 = this.#rep0;
        length = this.#length(this.#matchLengths, position);
        this.#rep0 = this.#distance(length);
        this.#state = this.#state < 7 ? 7 : 10;
        if (this.#rep0 === -1) {
          if (!endMark) throw damaged();
          return false;
        }
      } else {
        if (this.#known === 0) throw damaged();
        if (this.#bit(this.#isRepG0, this.#state) === 0) {
          if (this.#bit(this.#isRep0Long, this.#state * POSITIONS + position) === 0) {
            if (left === 0 || this.#rep0 >>> 0 >= this.#known) throw damaged();
            this.#put(this.#back(this.#rep0));
            this.#state = this.#state < 7 ? 9 : 11;
            left -= 1;
            continue;
          }
        } else {
          let distance = this.#rep1;
          if (this.#bit(this.#isRepG1, this.#state) === 1) {
            distance = this.#rep2;
            if (this.#bit(this.#isRepG2, this.#state) === 1) {
              distance = this.#rep3;
              this.#rep3 = this.#rep2;
            }
            this.#rep2 = this.#rep1;
          }
          this.#rep1 = this.#rep0;
          this.#rep0 = distance;
        }
        length = this.#length(this.#repLengths, position);
        this.#state = this.#state < 7 ? 8 : 11;
      }
      length += SHORTEST;
      if (this.#rep0 >>> 0 >= this.#known || length > left) throw damaged();
      for (let i = 0; i < length; i += 1) this.#put(this.#back(this.#rep0));
      left -= length;
    }
  }
}

/** The entry's data begins with the version of the packer and its properties (APPNOTE 5.8.8); then the data, with or without a mark at its end. */
export const unlzma: Decoder = (packed, size, take) => {
  const word = (bytes: number): number => {
    let value = 0;
    for (let i = 0; i < bytes; i += 1) value += packed.next() * 2 ** (8 * i);
    return value;
  };
  word(2);
  if (word(2) !== 5) throw damaged();
  const properties = packed.next();
  const decoder = new LzmaDecoder(packed, take, word(4), size);
  decoder.setProperties(properties);
  decoder.resetState();
  decoder.startRange();
  decoder.run(size, false);
  // Either nothing is left, or the mark of the end.
  if (!decoder.finished) decoder.run(0, true);
  decoder.give();
};
