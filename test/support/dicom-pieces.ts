/** A data set taken to pieces that can be changed, lied about and put together again, rightly or wrongly. */
import { deflateRawSync } from 'node:zlib';
import { dictionaryVr } from '../../nodes/engine/dicom/dictionary';
import { tables } from '../../nodes/engine/deid/tables';
import { LONG, SYNTAX_UID, header } from '../unit/dicom/building';
import type { Syntax } from '../unit/dicom/building';
import type { Canaries } from './canary';

export interface Piece {
  tag: number;
  vr: string;
  value: Buffer | Piece[][];
  /** Of sequences and items. */
  undefinedLength?: boolean;
  /** Neither sequence nor items have an end. */
  undelimited?: boolean;
  /** What the header says instead of the truth. */
  length?: number;
  unpadded?: boolean;
  /** The element as it stands, header and all: encapsulated pixels, or what is no element. */
  raw?: Buffer;
}

const UNDEFINED = 0xffffffff;
const TEXTS = new Set(['AE', 'CS', 'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UR', 'UT']);
/** What says how the file is to be read, and words that stay because they say what has been done. */
const NEEDED = new Set([0x00080005, 0x00080008, 0x00080016, 0x00080060, 0x00120063]);

export const isItems = (value: Piece['value']): value is Piece[][] => !Buffer.isBuffer(value);

/** @throws where the data set is not as it should be. */
export function takeApart(bytes: Buffer, syntax: Syntax): Piece[] {
  return elementsFrom(bytes, 0, bytes.length, syntax).pieces;
}

function elementsFrom(bytes: Buffer, start: number, stop: number, syntax: Syntax): { readonly pieces: Piece[]; readonly end: number } {
  const big = syntax === 'big';
  const u16 = (at: number): number => (big ? bytes.readUInt16BE(at) : bytes.readUInt16LE(at));
  const u32 = (at: number): number => (big ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at));
  const tagAt = (at: number): number => u16(at) * 65_536 + u16(at + 2);
  const pieces: Piece[] = [];
  let at = start;
  while (at < stop) {
    const tag = tagAt(at);
    if (tag === 0xfffee00d) return { pieces, end: at };
    const written = syntax === 'implicit' ? undefined : bytes.toString('latin1', at + 4, at + 6);
    const vr = written ?? dictionaryVr(tag) ?? 'UN';
    const long = written !== undefined && LONG.has(written);
    const valueAt = at + (long ? 12 : 8);
    const length = written === undefined || long ? u32(valueAt - 4) : u16(at + 6);
    const open = length === UNDEFINED;
    const limit = open ? stop : valueAt + length;
    if (limit > stop) throw new RangeError(`longer than the file at ${at}`);
    if (!open && vr !== 'SQ') {
      pieces.push({ tag, vr, value: bytes.subarray(valueAt, limit) });
      at = limit;
      continue;
    }
    const items: Piece[][] = [];
    let next = valueAt;
    let fragments = false;
    while (next < limit) {
      const item = tagAt(next);
      const itemLength = u32(next + 4);
      next += 8;
      if (item === 0xfffee0dd) break;
      if (item !== 0xfffee000) throw new RangeError(`no item at ${next - 8}`);
      if (open && vr !== 'SQ' && itemLength !== UNDEFINED) {
        fragments = true;
        next += itemLength;
        continue;
      }
      const inner = elementsFrom(bytes, next, itemLength === UNDEFINED ? limit : next + itemLength, vr === 'UN' ? 'implicit' : syntax);
      items.push(inner.pieces);
      next = itemLength === UNDEFINED ? inner.end + 8 : next + itemLength;
    }
    pieces.push(fragments ? { tag, vr, value: Buffer.alloc(0), raw: bytes.subarray(at, next) } : { tag, vr: 'SQ', value: items, undefinedLength: open });
    at = next;
  }
  return { pieces, end: at };
}

export function putTogether(pieces: readonly Piece[], syntax: Syntax): Buffer {
  return Buffer.concat(pieces.flatMap((piece) => bytesOf(piece, syntax)));
}

function bytesOf({ tag, vr, value, undefinedLength = false, undelimited = false, length, unpadded = false, raw }: Piece, syntax: Syntax): Buffer[] {
  if (raw !== undefined) return [raw];
  if (!isItems(value)) {
    const content = value.length % 2 === 0 || unpadded ? value : Buffer.concat([value, Buffer.from(TEXTS.has(vr) ? ' ' : '\0')]);
    return [header(tag, vr, length ?? content.length, syntax), content];
  }
  const inner = vr === 'UN' ? 'implicit' : syntax;
  const open = undefinedLength || undelimited;
  const body = value.flatMap((item): Buffer[] => {
    const content = putTogether(item, inner);
    if (undelimited) return [header(0xfffee000, '', UNDEFINED, inner), content];
    if (open) return [header(0xfffee000, '', UNDEFINED, inner), content, header(0xfffee00d, '', 0, inner)];
    return [header(0xfffee000, '', content.length, inner), content];
  });
  const bytes = body.reduce((sum, part) => sum + part.length, 0);
  const head = header(tag, vr, length ?? (open ? UNDEFINED : bytes), syntax);
  return undelimited || !open ? [head, ...body] : [head, ...body, header(0xfffee0dd, '', 0, inner)];
}

/** A copy to be changed; values are shared, which nobody changes in place. */
export const copyOf = (pieces: readonly Piece[]): Piece[] => pieces.map((piece) => ({ ...piece, value: isItems(piece.value) ? piece.value.map(copyOf) : piece.value }));

/** Every list of elements: the data set itself and all items in it. */
export function listsIn(pieces: Piece[]): Piece[][] {
  return [pieces, ...pieces.flatMap(({ value }) => (isItems(value) ? value.flatMap(listsIn) : []))];
}

/** A canary in every text and UID of Table E.1-1 and in every private element, at every depth. */
export function plant(pieces: Piece[], canaries: Canaries, where: string): void {
  for (const piece of pieces) {
    const { tag, vr, value, raw } = piece;
    if (isItems(value)) {
      for (const item of value) plant(item, canaries, where);
      continue;
    }
    if (raw !== undefined || NEEDED.has(tag)) continue;
    const name = `${where} (${(tag >>> 16).toString(16).padStart(4, '0')},${(tag & 0xffff).toString(16).padStart(4, '0')})`;
    const listed = tables().rows.has(tag);
    const ofVendor = (tag >>> 16) % 2 === 1 && (tag & 0xffff) > 0xff;
    if (listed && vr === 'UI') piece.value = Buffer.from(canaries.uid(name));
    else if (listed && TEXTS.has(vr) || ofVendor && value.length >= 12 && vr !== 'UI') piece.value = Buffer.from(canaries.text(name));
  }
}

export interface FileOptions {
  readonly syntax: Syntax;
  /** What File Meta Information says of it; by default the truth. */
  readonly transferSyntax?: string;
  readonly sopClass?: string;
  readonly sopInstance?: string;
  /** Added to the group length of the File Meta Information. */
  readonly groupLengthLie?: number;
  readonly withoutMeta?: boolean;
  readonly preamble?: string;
  readonly behind?: Buffer;
}

/** A Part 10 file around a data set. */
export function fileOf(dataSet: Buffer, { syntax, transferSyntax = SYNTAX_UID[syntax], sopClass = '1.2.840.10008.5.1.4.1.1.2', sopInstance = '1.2.3.4', groupLengthLie = 0, withoutMeta = false, preamble = '', behind = Buffer.alloc(0) }: FileOptions): Buffer {
  const content = syntax === 'deflated' ? deflateRawSync(dataSet) : dataSet;
  if (withoutMeta) return Buffer.concat([content, behind]);
  const meta = putTogether([
    { tag: 0x00020001, vr: 'OB', value: Buffer.from([0, 1]) }, { tag: 0x00020002, vr: 'UI', value: Buffer.from(sopClass) }, { tag: 0x00020003, vr: 'UI', value: Buffer.from(sopInstance) },
    { tag: 0x00020010, vr: 'UI', value: Buffer.from(transferSyntax) }, { tag: 0x00020012, vr: 'UI', value: Buffer.from('1.2.9') },
  ], 'explicit');
  const length = Buffer.alloc(4);
  length.writeUInt32LE((meta.length + groupLengthLie) >>> 0);
  const head = Buffer.alloc(128);
  head.write(preamble, 'latin1');
  return Buffer.concat([head, Buffer.from('DICM'), putTogether([{ tag: 0x00020000, vr: 'UL', value: length }], 'explicit'), meta, content, behind]);
}
