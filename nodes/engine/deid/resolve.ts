/** Which single code of PS3.15, Table E.1-1 holds for an attribute in its place (Table E.1-1a). */
import type { Tag } from '../dicom/rewrite-types';
import { tables } from './tables';
import type { Code, TableRow } from './tables';

/** What a SOP Class says of its attributes; undefined for a class that the tables do not know. */
export type ClassActions = ReadonlyMap<Tag, Code> | undefined;

/** Responsible Person and Responsible Organization: required, though possibly empty, of an animal (PS3.3, C.7.1.1). */
const OF_ANIMALS: ReadonlySet<Tag> = new Set([0x00102297, 0x00102299]);

const CONTENT_DATE = 0x00080023;
const CONTENT_TIME = 0x00080033;

export interface Place {
  /** The innermost sequence around the attribute; undefined at the top level. */
  readonly sequence: Tag | undefined;
  readonly classActions: ClassActions;
  readonly animal: boolean;
  /** Whether the object has functional groups: those make Content Date and Time Type 1 (PS3.3, C.7.6.16.1). */
  readonly multiFrame: boolean;
  /** Whether the object lists the series of what it refers to, which then must refer to something (PS3.3, C.12.2.1). */
  readonly listsReferences: boolean;
}

/** The alternative that keeps an attribute of a Type valid: 1 must have a value, 2 must be there, 3 need not. */
function forType(codes: readonly Code[], type: 1 | 2 | 3): Code {
  const strongest = codes.at(-1) ?? 'X';
  if (type === 3) return codes[0] ?? 'X';
  if (type === 2) return codes.includes('Z') || strongest === 'X' ? 'Z' : strongest;
  return strongest === 'X' || strongest === 'Z' ? 'D' : strongest;
}

/**
 * At the top level the SOP Class decides, an attribute foreign to it takes the weakest code (E.1.1, note 13), and in an
 * unknown class the strongest holds. Inside a sequence the Type there decides, and the strongest where it is not known.
 * An attribute that must be there is emptied or replaced even where its code says X.
 */
export function resolve(tag: Tag, row: TableRow, { sequence, classActions, animal, multiFrame, listsReferences }: Place): Code {
  const { codes } = row;
  if (sequence === undefined) {
    if (animal && OF_ANIMALS.has(tag)) return 'Z';
    if (multiFrame && (tag === CONTENT_DATE || tag === CONTENT_TIME)) return 'D';
    if (listsReferences && codes.includes('U*')) return 'U*';
    return classActions?.get(tag) ?? (classActions === undefined ? codes.at(-1) : codes[0]) ?? 'X';
  }
  const type = tables().type(sequence, tag);
  if (codes.length === 1) return type === undefined || type === 3 || codes[0] === 'D' || codes[0] === 'U' ? codes[0] ?? 'X' : forType(codes, type);
  return type === undefined ? codes.at(-1) ?? 'X' : forType(codes, type);
}
