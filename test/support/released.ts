/** Looks for canaries in a released file, inflated where it is deflated, and tells where they stand. */
import { dictionaryVr } from '../../nodes/engine/dicom/dictionary';
import { tables } from '../../nodes/engine/deid/tables';
import { SYNTAX_UID } from '../unit/dicom/building';
import type { Syntax } from '../unit/dicom/building';
import { readFile } from '../unit/dicom/reading';
import type { Canaries, Sighting } from './canary';
import { isItems, takeApart } from './dicom-pieces';
import type { Piece } from './dicom-pieces';

export type Released =
  /** `moved`: canaries in attributes that stay by the standard, where a mutation has put them. */
  | { readonly kind: 'clean'; readonly moved: number }
  | { readonly kind: 'leak'; readonly sightings: readonly Sighting[] };

/**
 * A defined term or a technical word: who writes a patient's name under such a tag cannot be told from who writes what belongs
 * there. Any other place is a leak.
 */
const isTerm = (tag: number): boolean => tag === DEIDENTIFICATION_METHOD || !tables().rows.has(tag) && (tables().technical.has(tag) || dictionaryVr(tag) === 'CS');
/** What a former de-identification says of itself stays. */
const DEIDENTIFICATION_METHOD = 0x00120063;

/** In the encoding that is said, or where nobody knows it in the one that reads to the end. */
function piecesOf(dataSet: Buffer, transferSyntax: string): Piece[] | undefined {
  const known = (Object.entries(SYNTAX_UID) as Array<[Syntax, string]>).filter(([, uid]) => uid === transferSyntax).map(([syntax]) => syntax);
  for (const syntax of known.length > 0 ? known : ['explicit', 'implicit'] as const) {
    try {
      return takeApart(dataSet, syntax);
    } catch { /* not this one */ }
  }
  return undefined;
}

export function releasedWith(bytes: Buffer, canaries: Canaries): Released {
  const { meta, dataSet, preamble, transferSyntax } = readFile(bytes);
  const sightings = [...canaries.search(Buffer.concat([preamble, ...meta.values()]), 'File Meta Information'), ...canaries.search(dataSet, 'the data set')];
  if (sightings.length === 0) return { kind: 'clean', moved: 0 };
  const found: Sighting[] = [];
  let moved = 0;
  const look = (pieces: readonly Piece[], path: string): void => {
    for (const { tag, vr, value, raw } of pieces) {
      const here = `${path}(${tag.toString(16).padStart(8, '0')}) ${vr}`;
      if (isItems(value)) for (const item of value) look(item, `${here} > `);
      else {
        const here2 = canaries.search(raw ?? value, here);
        if (here2.length > 0 && isTerm(tag) && raw === undefined) moved += here2.length;
        else found.push(...here2);
      }
    }
  };
  const pieces = piecesOf(dataSet, transferSyntax);
  if (pieces === undefined) return { kind: 'leak', sightings };
  look(pieces, '');
  if (found.length === 0 && moved > 0) return { kind: 'clean', moved };
  return { kind: 'leak', sightings: found.length > 0 ? found : sightings };
}
