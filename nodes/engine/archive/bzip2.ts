/** bzip2 (method 12): blocks of at most 900,000 bytes, each packed by run lengths, Burrows-Wheeler, move to front and prefix codes. */
import { EntryRefused } from './entry-refused';
import type { Decoder, PackedBytes } from './packed-bytes';

const LONGEST_CODE = 20;
const GROUP = 50;
/** More selectors than the largest block can use are read and dropped, as other readers do. */
const SELECTORS = 18_002;
const OUT = 1 << 18;

const damaged = (): EntryRefused => new EntryRefused('ENTRY_DAMAGED');

/** A canonical prefix code: per length, the highest code, and what turns a code into a position in `symbols`. */
interface Code {
  readonly least: number;
  readonly limit: Int32Array;
  readonly base: Int32Array;
  readonly symbols: Uint16Array;
}

function prefixCode(lengths: Uint8Array): Code {
  const counts = new Int32Array(LONGEST_CODE + 1);
  for (const length of lengths) counts[length]! += 1;
  const limit = new Int32Array(LONGEST_CODE + 1).fill(-1);
  const base = new Int32Array(LONGEST_CODE + 1);
  const symbols = new Uint16Array(lengths.length);
  let least = LONGEST_CODE;
  let code = 0;
  let position = 0;
  for (let length = 1; length <= LONGEST_CODE; length += 1) {
    code <<= 1;
    base[length] = position - code;
    if (counts[length]! > 0) {
      least = Math.min(least, length);
      for (const [symbol, own] of lengths.entries()) if (own === length) { symbols[position] = symbol; position += 1; }
      code += counts[length]!;
      limit[length] = code - 1;
    }
    if (code > 1 << length) throw damaged();
  }
  return { least, limit, base, symbols };
}

class Bunzip2 {
  #bits = 0;
  #count = 0;
  /** Per position of the block: its byte and, above, where the next one is. */
  #block = new Uint32Array(0);
  #most = 0;
  readonly #out = Buffer.allocUnsafeSlow(OUT);
  #at = 0;
  #produced = 0;
  #groups = 0;

  constructor(private readonly packed: PackedBytes, private readonly size: number, private readonly take: (chunk: Buffer) => void) {}

  /** Streams may follow each other: parallel packers write one for every part. */
  run(): void {
    do {
      if (this.#read(24) !== 0x425a68) throw damaged();
      const level = this.#read(8) - 0x30;
      if (level < 1 || level > 9) throw damaged();
      this.#most = level * 100_000;
      if (this.#block.length < this.#most) this.#block = new Uint32Array(this.#most);
      this.#stream();
      this.#count -= this.#count & 7;
    } while (this.#produced < this.size);
    this.#give();
  }

  #stream(): void {
    for (;;) {
      const high = this.#read(24);
      const low = this.#read(24);
      // The checksums of blocks and stream are left to the archive's own.
      this.#read(16);
      this.#read(16);
      if (high === 0x177245 && low === 0x385090) return;
      if (high !== 0x314159 || low !== 0x265359) throw damaged();
      this.#readBlock();
    }
  }

  /** @param count at most 24. */
  #read(count: number): number {
    while (this.#count < count) {
      this.#bits = (this.#bits << 8) | this.packed.next();
      this.#count += 8;
    }
    this.#count -= count;
    return (this.#bits >>> this.#count) & ((1 << count) - 1);
  }

  #give(): void {
    this.take(this.#out.subarray(0, this.#at));
    this.#at = 0;
  }

  #codes(symbols: number): Code[] {
    return Array.from({ length: this.#groups }, () => {
      const lengths = new Uint8Array(symbols);
      let length = this.#read(5);
      for (let i = 0; i < symbols; i += 1) {
        while (this.#read(1) === 1) length += this.#read(1) === 0 ? 1 : -1;
        if (length < 1 || length > LONGEST_CODE) throw damaged();
        lengths[i] = length;
      }
      return prefixCode(lengths);
    });
  }

  #readBlock(): void {
    // Randomised blocks ended with bzip2 0.9.0, in 1998.
    if (this.#read(1) === 1) throw new EntryRefused('ENTRY_METHOD');
    const origin = this.#read(24);

    const front = new Uint8Array(256);
    let used = 0;
    const rows = this.#read(16);
    for (let row = 0; row < 16; row += 1) {
      if ((rows & (0x8000 >> row)) === 0) continue;
      const columns = this.#read(16);
      for (let column = 0; column < 16; column += 1) if ((columns & (0x8000 >> column)) !== 0) { front[used] = row * 16 + column; used += 1; }
    }
    if (used === 0) throw damaged();

    this.#groups = this.#read(3);
    const written = this.#read(15);
    if (this.#groups < 2 || this.#groups > 6 || written === 0) throw damaged();
    const selectors = new Uint8Array(Math.min(written, SELECTORS));
    const order = Uint8Array.from({ length: this.#groups }, (_, i) => i);
    for (let i = 0; i < written; i += 1) {
      let position = 0;
      while (this.#read(1) === 1) {
        position += 1;
        if (position >= this.#groups) throw damaged();
      }
      const selected = order[position]!;
      order.copyWithin(1, 0, position);
      order[0] = selected;
      if (i < selectors.length) selectors[i] = selected;
    }
    const length = this.#fill(this.#codes(used + 2), selectors, front, used + 1);
    if (origin >= length) throw damaged();
    this.#unwind(origin, length);
  }

  /** Reads the block's bytes in the order of Burrows and Wheeler. @returns how many there are. */
  #fill(codes: readonly Code[], selectors: Uint8Array, front: Uint8Array, end: number): number {
    const block = this.#block;
    const most = this.#most;
    let length = 0;
    /** Repetitions of the byte in front are written as a number with the digits 1 and 2. */
    let run = 0;
    let weight = 1;
    for (let group = 0; ; group += 1) {
      if (group >= selectors.length) throw damaged();
      const { least, limit, base, symbols } = codes[selectors[group]!]!;
      for (let i = 0; i < GROUP; i += 1) {
        let bits = least;
        let code = this.#read(least);
        while (code > limit[bits]!) {
          bits += 1;
          if (bits > LONGEST_CODE) throw damaged();
          code = (code << 1) | this.#read(1);
        }
        const symbol = symbols[base[bits]! + code];
        if (symbol === undefined) throw damaged();
        if (symbol < 2) {
          if (weight > most) throw damaged();
          run += weight << symbol;
          weight <<= 1;
          continue;
        }
        if (run > 0) {
          if (length + run > most) throw damaged();
          block.fill(front[0]!, length, length + run);
          length += run;
          run = 0;
          weight = 1;
        }
        if (symbol === end) return length;
        if (length === most) throw damaged();
        const byte = front[symbol - 1]!;
        for (let j = symbol - 1; j > 0; j -= 1) front[j] = front[j - 1]!;
        front[0] = byte;
        block[length] = byte;
        length += 1;
      }
    }
  }

  /** Brings the block into its own order, and undoes the first run lengths: four equal bytes are followed by how many more. */
  #unwind(origin: number, length: number): void {
    const block = this.#block;
    const starts = new Uint32Array(256);
    for (let i = 0; i < length; i += 1) starts[block[i]! & 0xff]! += 1;
    for (let byte = 0, sum = 0; byte < 256; byte += 1) {
      const count = starts[byte]!;
      starts[byte] = sum;
      sum += count;
    }
    for (let i = 0; i < length; i += 1) {
      const byte = block[i]! & 0xff;
      block[starts[byte]!]! |= i << 8;
      starts[byte]! += 1;
    }
    const out = this.#out;
    let at = this.#at;
    let next = block[origin]! >>> 8;
    let before = -1;
    let equal = 0;
    for (let i = 0; i < length; i += 1) {
      const entry = block[next]!;
      next = entry >>> 8;
      const byte = entry & 0xff;
      let count = 1;
      if (equal === 4) {
        count = byte;
        equal = 0;
        this.#produced += count;
        if (at + count > OUT) { this.#at = at; this.#give(); at = 0; }
        out.fill(before, at, at + count);
        at += count;
        before = -1;
        continue;
      }
      equal = byte === before ? equal + 1 : 1;
      before = byte;
      this.#produced += 1;
      if (at === OUT) { this.#at = at; this.#give(); at = 0; }
      out[at] = byte;
      at += 1;
    }
    this.#at = at;
  }
}

export const bunzip2: Decoder = (packed, size, take) => { new Bunzip2(packed, size, take).run(); };
