/** The DICOM files that mutations begin with: our own in every encoding, and those of the shared data that other programs read, all full of canaries. */
import { readFileSync } from 'node:fs';
import { SYNTAX_UID, sharedFiles } from '../unit/dicom/building';
import type { Syntax } from '../unit/dicom/building';
import { metaText, readFile } from '../unit/dicom/reading';
import type { Canaries } from './canary';
import { canaryInstance, newStudy } from './canary-study';
import { plant, takeApart } from './dicom-pieces';
import type { Piece } from './dicom-pieces';
import type { Base } from './dicom-mutations';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const LARGEST = 200_000;
const ENCODINGS = ['explicit', 'implicit', 'big', 'deflated'] as const satisfies readonly Syntax[];

const syntaxOf = (uid: string): Syntax => ENCODINGS.find((syntax) => SYNTAX_UID[syntax] === uid) ?? 'explicit';

function own(canaries: Canaries): Base[] {
  const all = readFile(canaryInstance(canaries, newStudy(canaries, 'own'), 'own'));
  const pieces = takeApart(all.dataSet, 'explicit');
  // A small one: mutations hit what matters more often.
  const few = new Set([0x00080016, 0x00080018, 0x00080060, 0x00080050, 0x00081140, 0x00100010, 0x00100020, 0x0020000d, 0x0020000e, 0x00104000, 0x00280002, 0x00280010, 0x00280011, 0x00280100, 0x7fe00010]);
  const small = pieces.filter(({ tag }) => few.has(tag));
  const base = (name: string, of: readonly Piece[]) => ENCODINGS.map((syntax): Base => (
    { name: `${name}, ${syntax}`, pieces: of, syntax, transferSyntax: SYNTAX_UID[syntax], sopClass: CT, word: canaries.text(`${name}, ${syntax}: a word`) }));
  return [...base('a CT slice with every identifier', pieces), ...base('a small CT slice', small)];
}

function shared(canaries: Canaries): Base[] {
  return sharedFiles().filter(({ dcmdump, pydicom }) => dcmdump && pydicom).flatMap(({ name, path }): Base[] => {
    const bytes = readFileSync(path);
    if (bytes.length > LARGEST) return [];
    try {
      const read = readFile(bytes);
      const syntax = syntaxOf(read.transferSyntax);
      const pieces = takeApart(read.dataSet, syntax);
      plant(pieces, canaries, name);
      return [{ name, pieces, syntax, transferSyntax: read.transferSyntax, sopClass: metaText(read, 0x00020002), word: canaries.text(`${name}: a word`) }];
    } catch {
      return []; // not as it should be: our plain reader does without it
    }
  });
}

/** In a fixed order, so that a number means the same mutant everywhere where the same files are. */
export const basesFor = (canaries: Canaries): readonly Base[] => [...own(canaries), ...shared(canaries).toSorted((one, other) => (one.name < other.name ? -1 : 1))];
