/** A plain recursive reader of data sets, for tests: it holds everything and trusts everything. */
import { inflateRawSync } from 'node:zlib';
import { LONG } from './building';

export interface Read {
  readonly tag: number;
  readonly vr: string | undefined;
  /** Tags and item numbers that lead here, and which of several equal ones it is. */
  readonly path: string;
  /** Header and value. */
  readonly bytes: Buffer;
  readonly value: Buffer;
  readonly children: readonly Read[] | undefined;
}

export interface ReadFile {
  readonly meta: ReadonlyMap<number, Buffer>;
  readonly preamble: Buffer;
  readonly dataSet: Buffer;
  readonly transferSyntax: string;
}

const hex = (tag: number): string => tag.toString(16).padStart(8, '0');
const text = (bytes: Buffer | undefined): string => (bytes ?? Buffer.alloc(0)).toString('latin1').replace(/[\0 ]+$/, '');

/** Splits a proper Part 10 file; the data set is inflated where it is deflated. */
export function readFile(bytes: Buffer): ReadFile {
  if (bytes.toString('latin1', 128, 132) !== 'DICM') throw new Error('no prefix');
  const end = 144 + bytes.readUInt32LE(140);
  const meta = new Map<number, Buffer>();
  for (let at = 144; at < end;) {
    const long = LONG.has(bytes.toString('latin1', at + 4, at + 6));
    const length = long ? bytes.readUInt32LE(at + 8) : bytes.readUInt16LE(at + 6);
    const value = at + (long ? 12 : 8);
    meta.set(bytes.readUInt16LE(at) * 65_536 + bytes.readUInt16LE(at + 2), bytes.subarray(value, value + length));
    at = value + length;
  }
  const transferSyntax = text(meta.get(0x00020010));
  const rest = bytes.subarray(end);
  return { meta, preamble: bytes.subarray(0, 128), transferSyntax, dataSet: transferSyntax === '1.2.840.10008.1.2.1.99' ? inflateRawSync(rest) : rest };
}

export const metaText = (read: ReadFile, tag: number): string => text(read.meta.get(tag));

/** All elements of a data set; sequences are those written SQ, those of undefined length, and what `isSequence` names. */
export function readDataSet(bytes: Buffer, explicit: boolean, big: boolean, isSequence: (tag: number) => boolean): Read[] {
  return readElements(bytes, 0, bytes.length, explicit, big, isSequence, '').found;
}

function readElements(bytes: Buffer, start: number, stop: number, explicit: boolean, big: boolean, isSequence: (tag: number) => boolean, path: string): { found: Read[]; end: number } {
  const u16 = (at: number): number => big ? bytes.readUInt16BE(at) : bytes.readUInt16LE(at);
  const u32 = (at: number): number => big ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
  const found: Read[] = [];
  const seen = new Map<number, number>();
  let at = start;
  while (at < stop) {
    const tag = u16(at) * 65_536 + u16(at + 2);
    if (tag === 0xfffee00d) return { found, end: at };
    const vr = explicit ? bytes.toString('latin1', at + 4, at + 6) : undefined;
    const long = vr !== undefined && LONG.has(vr);
    const valueAt = at + (long ? 12 : 8);
    const length = vr === undefined ? u32(at + 4) : long ? u32(at + 8) : u16(at + 6);
    const undefinedLength = length === 0xffffffff;
    if (!undefinedLength && valueAt + length > stop) throw new Error(`too long at ${at}`);
    const nth = seen.get(tag) ?? 0;
    seen.set(tag, nth + 1);
    const here = `${path}/${hex(tag)}#${nth}`;
    let end = valueAt + length;
    let children: Read[] | undefined;
    if (undefinedLength || vr === 'SQ' || (vr === undefined || vr === 'UN') && isSequence(tag) && length >= 8 && u16(valueAt) === 0xfffe) {
      const fragments = vr === 'OB' || vr === 'OW' || vr === undefined && tag === 0x7fe00010;
      const inside = vr !== 'UN' ? explicit : !undefinedLength && length >= 16 && /^[A-Z]{2}$/.test(bytes.toString('latin1', valueAt + 12, valueAt + 14));
      children = fragments ? undefined : [];
      let next = valueAt;
      let item = 0;
      const limit = undefinedLength ? stop : end;
      while (next < limit) {
        const itemTag = u16(next) * 65_536 + u16(next + 2);
        const itemLength = u32(next + 4);
        next += 8;
        if (itemTag === 0xfffee0dd) break;
        if (itemTag !== 0xfffee000) throw new Error(`no item at ${next - 8}`);
        if (fragments) {
          next += itemLength;
          continue;
        }
        const inner = readElements(bytes, next, itemLength === 0xffffffff ? limit : next + itemLength, inside, big && vr !== 'UN', isSequence, `${here}[${item++}]`);
        children?.push(...inner.found);
        next = itemLength === 0xffffffff ? inner.end + 8 : next + itemLength;
      }
      end = next;
    }
    found.push({ tag, vr, path: here, bytes: bytes.subarray(at, end), value: bytes.subarray(valueAt, end), children });
    at = end;
  }
  return { found, end: at };
}

/** Elements of all depths by path. */
export function byPath(elements: readonly Read[], into = new Map<string, Read>()): Map<string, Read> {
  for (const one of elements) {
    into.set(one.path, one);
    if (one.children !== undefined) byPath(one.children, into);
  }
  return into;
}
