/**
 * The data dictionary of PS3.6, as dcmjs carries it: needed where a data set does not say its VRs. Loaded at first use, which
 * costs a worker some 60 ms once.
 */

interface Entry {
  readonly tag: string;
  readonly vr: string;
  readonly vm?: string;
  readonly name: string;
}

interface Known {
  readonly vr: string | undefined;
  readonly keyword: string;
  readonly mostValues: number;
}

/** Where the standard leaves a choice, the one that has no byte order of its own kept right in Little Endian. */
const CHOICES: Readonly<Record<string, string | undefined>> = { ox: 'OW', xs: 'US', lt: 'OW', up: 'UL', na: undefined };

/** Where dcmjs 0.50 differs from PS3.6, and what came after it. */
const AMENDMENTS: ReadonlyArray<readonly [tag: number, vr: string, keyword: string]> = [
  [0x00660040, 'OL', 'LongPrimitivePointIndexList'],
  [0x00660041, 'OL', 'LongTrianglePointIndexList'],
  [0x00660042, 'OL', 'LongEdgePointIndexList'],
  [0x00660043, 'OL', 'LongVertexPointIndexList'],
  [0x006862f0, 'SQ', 'ViewOrientationModifierCodeSequence'],
  [0x0070150c, 'UL', 'NumberOfVolumetricCurvePoints'],
  [0x00760034, 'SQ', 'ComponentTypeCodeSequence'],
  [0x00081301, 'SQ', 'PrincipalDiagnosisCodeSequence'],
  [0x00081302, 'SQ', 'PrimaryDiagnosisCodeSequence'],
  [0x00081303, 'SQ', 'SecondaryDiagnosesCodeSequence'],
  [0x00081304, 'SQ', 'HistologicalDiagnosesCodeSequence'],
  [0x00100011, 'SQ', 'PersonNamesToUseSequence'],
  [0x00100012, 'LT', 'NameToUse'],
  [0x00100013, 'UT', 'NameToUseComment'],
  [0x00100014, 'SQ', 'ThirdPersonPronounsSequence'],
  [0x00100015, 'SQ', 'PronounCodeSequence'],
  [0x00100016, 'UT', 'PronounComment'],
  [0x00100041, 'SQ', 'GenderIdentitySequence'],
  [0x00100042, 'UT', 'SexParametersForClinicalUseCategoryComment'],
  [0x00100043, 'SQ', 'SexParametersForClinicalUseCategorySequence'],
  [0x00100044, 'SQ', 'GenderIdentityCodeSequence'],
  [0x00100045, 'UT', 'GenderIdentityComment'],
  [0x00100046, 'SQ', 'SexParametersForClinicalUseCategoryCodeSequence'],
  [0x00100047, 'UR', 'SexParametersForClinicalUseCategoryReference'],
  [0x00102162, 'UC', 'EthnicGroups'],
  [0x0040a034, 'DT', 'EffectiveStartDateTime'],
  [0x0040a035, 'DT', 'EffectiveStopDateTime'],
  [0x0040b034, 'DT', 'AnnotationDateTime'],
  [0x0040b036, 'DT', 'SegmentDefinitionDateTime'],
  [0x0040b03b, 'LT', 'MontageName'],
  [0x0040b03f, 'LO', 'MontageChannelLabel'],
  [0x0040e012, 'UR', 'DisplayURI'],
  [0x3004007f, 'LO', 'DoseCalculationModelName'],
];

let table: Map<number, Known> | undefined;

function load(): Map<number, Known> {
  if (table !== undefined) return table;
  const { data } = require('dcmjs') as { readonly data: { readonly DicomMetaDictionary: { readonly nameMap: Readonly<Record<string, Entry>> } } };
  table = new Map();
  for (const { tag, vr, vm, name } of Object.values(data.DicomMetaDictionary.nameMap)) {
    const number = Number.parseInt(tag.slice(1, 5) + tag.slice(6, 10), 16);
    table.set(number, { vr: vr in CHOICES ? CHOICES[vr] : vr, keyword: name.replace(/^RETIRED_/, ''), mostValues: mostOf(vm) });
  }
  for (const [tag, vr, keyword] of AMENDMENTS) table.set(tag, { vr, keyword, mostValues: Infinity });
  return table;
}

/** The upper end of a Value Multiplicity (PS3.5, 6.4): `1`, `1-3`, `1-n`, `2-2n`. */
function mostOf(vm: string | undefined): number {
  const upper = /^(?:\d+-)?(\d+)$/.exec(vm ?? '')?.[1];
  return upper === undefined ? Infinity : Number(upper);
}

/** Repeating groups 50xx and 60xx stand in the dictionary under their first group (PS3.5, 7.6). */
function base(tag: number): number {
  const group = Math.floor(tag / 65_536);
  const first = group & 0xff00;
  return (first === 0x5000 || first === 0x6000) && group % 2 === 0 && (group & 0xff) <= 0x1e ? first * 65_536 + tag % 65_536 : tag;
}

/** The VR of a standard element; of private ones only creators (LO), and of group lengths (UL). Undefined where nobody knows. */
export function dictionaryVr(tag: number): string | undefined {
  const element = tag % 65_536;
  if (element === 0) return 'UL';
  if (Math.floor(tag / 65_536) % 2 === 1) return element >= 0x10 && element <= 0xff ? 'LO' : undefined;
  return load().get(base(tag))?.vr;
}

/** The keyword of PS3.6; undefined for what is private or unknown. */
export function keywordOf(tag: number): string | undefined {
  return load().get(base(tag))?.keyword;
}

/** How many values a standard element has at most; Infinity where there is no limit or nobody knows. */
export function mostValues(tag: number): number {
  return load().get(base(tag))?.mostValues ?? Infinity;
}
