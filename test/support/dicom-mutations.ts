/** Mutations of DICOM files: of elements, which stay DICOM more or less, and of bytes, which need not. All by a seed. */
import { deflateRawSync } from 'node:zlib';
import { SYNTAX_UID, header } from '../unit/dicom/building';
import type { Syntax } from '../unit/dicom/building';
import { copyOf, fileOf, isItems, listsIn, putTogether } from './dicom-pieces';
import type { FileOptions, Piece } from './dicom-pieces';
import { pick } from './torture';
import type { Roll } from './torture';

/** A file to be mutated. */
export interface Base {
  readonly name: string;
  readonly pieces: readonly Piece[];
  readonly syntax: Syntax;
  readonly transferSyntax: string;
  readonly sopClass: string;
  /** A word that must not get out, for places of its own. */
  readonly word: string;
}

export interface Mutant {
  readonly bytes: Buffer;
  /** What was done, in words of this file. */
  readonly how: readonly string[];
}

const VRS = ['AE', 'AS', 'AT', 'CS', 'DA', 'DS', 'DT', 'FD', 'FL', 'IS', 'LO', 'LT', 'OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'PN', 'SH', 'SL', 'SQ', 'SS', 'ST', 'SV', 'TM', 'UC', 'UI', 'UL', 'UN', 'UR', 'US', 'UT', 'UV'];
const NO_VRS = ['ZZ', 'lo', '  ', '\0\0', '??', 'O\xff', 'U', 'SQ'];
const LENGTHS = [0, 1, 2, 7, 8, 0xfe, 0xff, 0x7fff, 0xfffe, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
const SPECIAL_TAGS = [0x7fe00010, 0x7fe00008, 0x7fe00001, 0xfffee000, 0xfffee00d, 0xfffee0dd, 0x00020010, 0x00000000, 0x00080005, 0xfffcfffc, 0xfffafffa, 0x00081199, 0x52009229, 0x60003000, 0x00282000, 0x00090010, 0xffffffff];
/** What stays as it is, of numbers and bytes: what they swallow would get out with them. */
const KEPT: ReadonlyArray<readonly [tag: number, vr: string]> = [[0x00189073, 'FD'], [0x00281101, 'US'], [0x00281201, 'OW'], [0x00282000, 'OB'], [0x00280009, 'AT'], [0x00200013, 'IS'], [0x00180050, 'DS'], [0x00660016, 'OF'], [0x00080070, 'LO'], [0x00080064, 'CS']];
const PIXELS = 0x7fe00010;
const isPixels = ({ tag }: Piece): boolean => tag >= 0x7fe00008 && tag <= PIXELS;
const CHARSETS = ['ISO_IR 100', 'ISO_IR 192', 'GB18030', '\\ISO 2022 IR 149', 'ISO 2022 IR 13\\ISO 2022 IR 87', '\\ISO 2022 IR 58\\ISO 2022 IR 6', 'ISO_IR 999', '\\'.repeat(40), 'ISO 2022 IR 100\\ISO 2022 IR 144'];
const ESCAPES = ['\x1b$)C', '\x1b$B', '\x1b(B', '\x1b(J', '\x1b-A', '\x1b$)A', '\x1b%G', '\x1b', '\x1b$', '\x0e', '\x0f', '\0', '\\', '=', '^', '\r\n', '\xff\xfe', '\xef\xbb\xbf'];

const NESTINGS = [20, 63, 64, 65, 500];
const DEEPEST = 100_000;

/** Items in items, this piece in the innermost, without any end: written at once, since no tree of this depth can be walked. */
function pit(piece: Piece, depth: number, syntax: Syntax): Buffer {
  const level = Buffer.concat([header(0x00081140, 'SQ', 0xffffffff, syntax), header(0xfffee000, '', 0xffffffff, syntax)]);
  return Buffer.concat([...Array.from({ length: depth }, () => level), putTogether([piece], syntax)]);
}

interface Place {
  readonly list: Piece[];
  readonly at: number;
  readonly piece: Piece;
  readonly roll: Roll;
  readonly base: Base;
}

/** An element with a word in the middle of what breaks texts. */
const broken = (word: string, roll: Roll): Buffer => Buffer.from(`${pick(roll, ['', 'A', 'DOE^', 'ORIGINAL\\'])}${pick(roll, ESCAPES)}${word}${pick(roll, ESCAPES)}${pick(roll, ['', word, '=x'])}`, 'latin1');

const ELEMENT: Readonly<Record<string, (place: Place) => void>> = {
  missing: ({ list, at }) => { list.splice(at, 1); },
  twice: ({ list, piece, roll }) => { list.splice(roll(list.length + 1), 0, { ...piece }); },
  'out of order': ({ list, at, piece, roll }) => { list.splice(at, 1); list.splice(roll(list.length + 1), 0, piece); },
  'other tag': ({ piece, roll }) => { piece.tag = (piece.tag ^ (1 << roll(32))) >>> 0; },
  'special tag': ({ piece, roll }) => { piece.tag = pick(roll, SPECIAL_TAGS); },
  'other VR': ({ piece, roll }) => { if (piece.raw === undefined) piece.vr = pick(roll, VRS); },
  'no VR': ({ piece, roll }) => { if (piece.raw === undefined) piece.vr = pick(roll, NO_VRS); },
  'tags exchanged': ({ list, piece, roll }) => {
    const other = pick(roll, list);
    [piece.tag, other.tag] = [other.tag, piece.tag];
  },
  'other length': ({ piece, roll }) => { piece.length = pick(roll, LENGTHS); },
  'length a little off': ({ piece, roll }) => { if (!isItems(piece.value)) piece.length = Math.max(0, piece.value.length + roll(17) - 8); },
  'wrapped in items': ({ list, at, piece, roll }) => { list[at] = { tag: piece.tag, vr: pick(roll, ['SQ', 'SQ', 'UN']), value: [[piece], ...(roll(2) === 0 ? [[]] : [])], undefinedLength: roll(2) === 0 }; },
  'without delimiter': ({ list, at, piece }) => { list[at] = isItems(piece.value) ? { ...piece, undelimited: true } : { tag: piece.tag, vr: 'SQ', value: [[piece]], undelimited: true }; },
  'a stray delimiter': ({ list, at, base, roll }) => { list.splice(at, 0, { tag: 0, vr: '', value: Buffer.alloc(0), raw: header(pick(roll, [0xfffee00d, 0xfffee0dd, 0xfffee000]), '', pick(roll, [0, 0, 4, 0xffffffff]), base.syntax) }); },
  'nested deeply': ({ list, at, piece, base, roll }) => {
    const depth = roll(40) === 0 ? DEEPEST : pick(roll, NESTINGS);
    list[at] = { tag: 0, vr: '', value: Buffer.alloc(0), raw: pit(piece, depth, base.syntax) };
  },
  'an odd length': ({ piece }) => {
    if (isItems(piece.value)) return;
    piece.value = Buffer.concat([piece.value, Buffer.from(piece.value.length % 2 === 0 ? 'x' : '')]);
    piece.unpadded = true;
  },
  'a group length that lies': ({ list, at, piece, base, roll }) => {
    const value = pick(roll, [Buffer.from([roll(256), roll(256), 0, 0]), Buffer.from(base.word.slice(0, 4)), Buffer.from(base.word), Buffer.alloc(4, 0xff)]);
    list.splice(at, 0, { tag: (piece.tag & 0xffff0000) >>> 0, vr: 'UL', value });
  },
  // Not in the pixels: what is burned in there is not for the rules to find.
  'a broken text': ({ piece, base, roll }) => { if (!isItems(piece.value) && !isPixels(piece)) piece.value = broken(base.word, roll); },
  'another character set': ({ list, roll }) => {
    const found = list.find(({ tag }) => tag === 0x00080005);
    const value = Buffer.from(pick(roll, CHARSETS), 'latin1');
    if (found === undefined) list.unshift({ tag: 0x00080005, vr: 'CS', value });
    else found.value = value;
  },
  'a word in two bytes a letter': ({ piece, base, roll }) => { if (!isItems(piece.value) && !isPixels(piece)) piece.value = roll(2) === 0 ? Buffer.from(base.word, 'utf16le') : Buffer.from(base.word, 'utf16le').swap16(); },
  'swallowed by what is kept': ({ list, at, base, roll }) => {
    const [tag, vr] = pick(roll, KEPT);
    const following = list.slice(at, at + 1 + roll(4));
    const length = putTogether(following, base.syntax).length;
    list.splice(at, 0, { tag, vr, value: Buffer.alloc(0), length: length + pick(roll, [0, 0, 0, -2, 2]) });
  },
  'swallowed by the pixels': ({ list, base, roll }) => {
    const pixels = list.find(({ tag, raw }) => tag === PIXELS && raw === undefined);
    const behind: Piece = { tag: pick(roll, [0xfffcfffc, 0xfffafffa, 0x7fe10011]), vr: pick(roll, ['OB', 'UN', 'LO', 'SQ']), value: Buffer.from(base.word) };
    if (pixels === undefined || isItems(pixels.value)) return;
    list.push(behind);
    pixels.length = pixels.value.length + putTogether([behind], base.syntax).length;
  },
};

const FILE: Readonly<Record<string, (base: Base, roll: Roll) => Partial<FileOptions>>> = {
  'another transfer syntax': (_, roll) => ({ transferSyntax: pick(roll, [...Object.values(SYNTAX_UID), '1.2.840.10008.1.2.4.50', '1.2.840.10008.1.2.5', '1.2.840.10008.1.2.4.95', '1.2.3.4.5', '', 'none']) }),
  'a file meta length that lies': (_, roll) => ({ groupLengthLie: pick(roll, [-1, 1, 8, -8, 1000, 0x7fffffff, -0x7fffffff]) }),
  'no file meta': () => ({ withoutMeta: true }),
  'a preamble that says something': ({ word }) => ({ preamble: `MZ${word}` }),
  'words behind the end': ({ word }, roll) => ({ behind: Buffer.concat([Buffer.alloc(roll(3)), Buffer.from(`${word}${word}`), Buffer.alloc(roll(9))]) }),
  'a SOP Class in words': ({ word }) => ({ sopClass: word }),
  'a SOP Instance in words': ({ word }) => ({ sopInstance: word }),
};

const NASTY = [0, 1, 2, 7, 8, 0x7f, 0x80, 0xfe, 0xff];

/** Bytes that flip, go, come, and stand elsewhere. */
export function mutateBytes(bytes: Buffer, roll: Roll): Mutant {
  let mutated = Buffer.from(bytes);
  const how: string[] = [];
  for (let change = roll(5) + 1; change > 0; change -= 1) {
    const at = roll(Math.max(1, mutated.length));
    const kind = pick(roll, ['bit', 'byte', 'nasty', 'ones', 'cut', 'gap', 'insertion', 'move']);
    how.push(`${kind} at ${at}`);
    switch (kind) {
      case 'bit': mutated[at]! ^= 1 << roll(8); break;
      case 'byte': mutated[at] = roll(256); break;
      case 'nasty': mutated[at] = pick(roll, NASTY); break;
      case 'ones': mutated.fill(0xff, at, Math.min(at + 4, mutated.length)); break;
      case 'cut': if (roll(3) === 0) mutated = mutated.subarray(0, Math.max(1, at)); break;
      case 'gap': mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(at + roll(12))]); break;
      case 'insertion': mutated = Buffer.concat([mutated.subarray(0, at), Buffer.from(Array.from({ length: roll(12) }, () => roll(256))), mutated.subarray(at)]); break;
      default: mutated.copyWithin(at, roll(mutated.length), roll(mutated.length));
    }
  }
  return { bytes: mutated, how };
}

/** The elements changed, and the file put together around them. */
export function mutateElements(base: Base, roll: Roll, sopInstance?: string): Mutant {
  const pieces = copyOf(base.pieces);
  if (sopInstance !== undefined) for (const piece of pieces) if (piece.tag === 0x00080018) piece.value = Buffer.from(sopInstance);
  const how: string[] = [];
  for (let change = roll(4) + 1; change > 0; change -= 1) {
    // As often in the data set itself as in all items together.
    const all = listsIn(pieces).filter((list) => list.length > 0);
    const list = roll(2) === 0 || all.length === 0 ? pieces : pick(roll, all);
    if (list.length === 0) continue;
    const at = roll(list.length);
    const kind = pick(roll, Object.keys(ELEMENT));
    how.push(kind);
    ELEMENT[kind]!({ list, at, piece: list[at]!, roll, base });
  }
  let options: FileOptions = { syntax: base.syntax, transferSyntax: base.transferSyntax, sopClass: base.sopClass, ...(sopInstance === undefined ? {} : { sopInstance }) };
  if (roll(4) === 0) {
    const kind = pick(roll, Object.keys(FILE));
    how.push(kind);
    options = { ...options, ...FILE[kind]!(base, roll) };
  }
  return { bytes: fileOf(putTogether(pieces, base.syntax), options), how };
}

/** A file as it should be. */
export function unchanged(base: Base, sopInstance?: string): Buffer {
  const pieces = copyOf(base.pieces);
  if (sopInstance !== undefined) for (const piece of pieces) if (piece.tag === 0x00080018) piece.value = Buffer.from(sopInstance);
  return fileOf(putTogether(pieces, base.syntax), { syntax: base.syntax, transferSyntax: base.transferSyntax, sopClass: base.sopClass, ...(sopInstance === undefined ? {} : { sopInstance }) });
}

export function mutantOf(base: Base, roll: Roll, sopInstance?: string): Mutant {
  const kind = roll(3);
  if (kind === 0) return mutateBytes(unchanged(base, sopInstance), roll);
  const first = mutateElements(base, roll, sopInstance);
  if (kind === 1) return first;
  const second = mutateBytes(first.bytes, roll);
  return { bytes: second.bytes, how: [...first.how, ...second.how] };
}

/** A data set that inflates to `megabytes` of zeros behind what it says. */
export function deflateBomb(base: Base, megabytes: number): Buffer {
  const dataSet = putTogether([...base.pieces.filter(({ tag }) => tag < 0x7fe00010), { tag: 0x7fe00010, vr: 'OW', value: Buffer.alloc(megabytes << 20) }], 'explicit');
  return fileOf(deflateRawSync(dataSet), { syntax: 'explicit', transferSyntax: SYNTAX_UID.deflated, sopClass: base.sopClass });
}
