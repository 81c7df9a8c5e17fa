/** Packs bytes by the methods of zip that Node cannot write. */
import { spawnSync } from 'node:child_process';

function run(command: string, args: readonly string[], input: Buffer): Buffer {
  const { stdout, error, status } = spawnSync(command, args, { input, maxBuffer: 1 << 30 });
  if (error !== undefined || status !== 0) throw error ?? new Error(`${command} ended with ${status}`);
  return stdout;
}

/** Whether the program is there. */
export const hasPacker = (command: string): boolean => spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;

export const bzip2 = (data: Buffer): Buffer => run('bzip2', ['-c'], data);

/** LZMA as a zip has it: version, size of the properties, properties; without the size that a file of its own has. */
export function lzma(data: Buffer): Buffer {
  const file = run('xz', ['--format=lzma', '-c', '-1'], data);
  return Buffer.concat([Buffer.from([9, 20, 5, 0]), file.subarray(0, 5), file.subarray(13)]);
}

const MOST = 65_538;
const WINDOW = 65_536;

/** Deflate64 in one block of fixed codes, with the longest matches and the farthest distances that there are. */
export function deflate64(data: Buffer): Buffer {
  const out: number[] = [];
  let bits = 0;
  let count = 0;
  const low = (value: number, length: number): void => {
    for (let i = 0; i < length; i += 1) {
      bits |= ((value >>> i) & 1) << count;
      count += 1;
      if (count === 8) { out.push(bits); bits = 0; count = 0; }
    }
  };
  /** Codes are written from their highest bit on. */
  const code = (value: number, length: number): void => { for (let i = length - 1; i >= 0; i -= 1) low(value >>> i, 1); };
  const symbol = (value: number): void => {
    if (value < 144) code(0x30 + value, 8);
    else if (value < 256) code(0x190 + value - 144, 9);
    else if (value < 280) code(value - 256, 7);
    else code(0xc0 + value - 280, 8);
  };
  low(1, 1);
  low(1, 2);
  const last = new Map<number, number>();
  for (let at = 0; at < data.length;) {
    const key = at + 4 <= data.length ? data.readUInt32LE(at) : -1;
    const before = key < 0 ? undefined : last.get(key);
    let length = 0;
    if (before !== undefined && at - before <= WINDOW) while (length < MOST && at + length < data.length && data[before + length] === data[at + length]) length += 1;
    if (key >= 0) last.set(key, at);
    if (before === undefined || length < 4) { symbol(data[at]!); at += 1; continue; }
    if (length <= 10) symbol(254 + length);
    else { symbol(285); low(length - 3, 16); }
    const distance = at - before;
    let slot = 0;
    const base = (of: number): number => (of < 4 ? of + 1 : ((2 + (of & 1)) << ((of >> 1) - 1)) + 1);
    while (slot < 31 && base(slot + 1) <= distance) slot += 1;
    code(slot, 5);
    low(distance - base(slot), slot < 4 ? 0 : (slot >> 1) - 1);
    at += length;
  }
  symbol(256);
  if (count > 0) out.push(bits);
  return Buffer.from(out);
}
