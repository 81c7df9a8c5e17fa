/**
 * The risk gate: what the table of PS3.15 cannot make safe, because identifiers may stand in the pixels, in a document, or
 * where only a vendor knows. Decided from the first elements, before a byte is written.
 */
import type { Refusal } from '../dicom/rewrite-types';
import { isRegisteredUid } from './keyed';

export type RiskCode =
  | 'RISK_SOP_CLASS' | 'RISK_BURNED_IN' | 'RISK_IMAGE_TYPE' | 'RISK_DOCUMENT' | 'RISK_PRIVATE_SOP_CLASS' | 'RISK_WSI_LABEL';

export const RISK_CODES: readonly RiskCode[] = [
  'RISK_SOP_CLASS', 'RISK_BURNED_IN', 'RISK_IMAGE_TYPE', 'RISK_DOCUMENT', 'RISK_PRIVATE_SOP_CLASS', 'RISK_WSI_LABEL',
];

/** What the gate looks at: terms in upper case, trimmed, as many as stand in the file, however many there should be. */
export interface RiskFacts {
  /** Of the data set and of the File Meta Information, where they differ. */
  readonly sopClassUIDs: readonly string[];
  readonly transferSyntaxUID: string;
  readonly modality: readonly string[];
  readonly imageType: readonly string[];
  readonly conversionType: readonly string[];
  readonly burnedInAnnotation: readonly string[];
  readonly specimenLabelInImage: readonly string[];
}

export interface RiskAllowance {
  readonly risks: readonly RiskCode[];
  readonly sopClasses: readonly string[];
}

const STORAGE = '1.2.840.10008.5.1.4.1.1.';

/** Ultrasound, secondary capture, photography, endoscopy, film: SOP Classes whose pictures often show text. */
const PICTURES = new Set([
  '3', '3.1', '6', '6.1', '6.2', '6.3', // Ultrasound, single and multi-frame, enhanced, photoacoustic, retired
  '7', '7.1', '7.2', '7.3', '7.4', // Secondary Capture
  '77.1', '77.2', // VL Image, retired
  '77.1.1', // VL Endoscopic
  '77.1.4', // VL Photographic
].map((suffix) => STORAGE + suffix).concat('1.2.840.10008.5.1.1.29', '1.2.840.10008.5.1.1.30')); // Hardcopy, retired

/** Encapsulated documents and models, and video: `77.1.1.1`, `77.1.2.1` and `77.1.4.1`. */
const DOCUMENTS = new Set(['104.1', '104.2', '104.3', '104.4', '104.5', '77.1.1.1', '77.1.2.1', '77.1.4.1'].map((suffix) => STORAGE + suffix));

const PICTURE_MODALITIES = new Set(['US', 'XC', 'ES', 'OT', 'IVUS', 'SC', 'HC', 'DG']);
const DOCUMENT_MODALITIES = new Set(['DOC']);

/** MPEG-2, H.264 and HEVC (1.2.840.10008.1.2.4.100 to .108, fragmentable ones `.1`), and SMPTE ST 2110 flows. */
const VIDEO = /^1\.2\.840\.10008\.1\.2\.(?:4\.10[0-8](?:\.1)?|7\.\d+)$/;

/** JPIP: the pixels are behind a URL, which names a server and often a patient, and is no part of the file. */
const REFERENCED = new Set(['1.2.840.10008.1.2.4.94', '1.2.840.10008.1.2.4.95', '1.2.840.10008.1.2.4.204', '1.2.840.10008.1.2.4.205']);

const SECONDARY = /(?<![A-Z])SECONDARY(?![A-Z])/;
const SCREEN = /^SCREEN[ _-]?(?:SAVED?|SHOT|CAPTURED?|DUMP)?$/;

/** Whether an object says anything but no to a question with the answers YES and NO. */
const isNotDenied = (answer: readonly string[]): boolean => answer.some((term) => term !== '' && term !== 'NO');

/** The reason why a file must not go on, or undefined. The first that applies and is not allowed, gravest first. */
export function judge(facts: RiskFacts, allowed: RiskAllowance): Refusal | undefined {
  if (REFERENCED.has(facts.transferSyntaxUID)) return { code: 'DEID_UNSUPPORTED', detail: 'pixels by reference' };
  const classAllowed = facts.sopClassUIDs.every((uid) => allowed.sopClasses.includes(uid));
  const is = (set: ReadonlySet<string>): boolean => facts.sopClassUIDs.some((uid) => set.has(uid));
  const refusals: ReadonlyArray<readonly [code: RiskCode, applies: boolean, byClass: boolean, detail: string]> = [
    ['RISK_BURNED_IN', isNotDenied(facts.burnedInAnnotation), false, '(0028,0301) is not NO'],
    ['RISK_WSI_LABEL', facts.imageType.includes('LABEL') || facts.imageType.includes('OVERVIEW') || isNotDenied(facts.specimenLabelInImage), false, 'label or overview'],
    ['RISK_PRIVATE_SOP_CLASS', !facts.sopClassUIDs.every(isRegisteredUid), true, 'private SOP Class'],
    ['RISK_DOCUMENT', is(DOCUMENTS), true, 'document or video SOP Class'],
    ['RISK_DOCUMENT', VIDEO.test(facts.transferSyntaxUID), true, 'video transfer syntax'],
    ['RISK_DOCUMENT', facts.modality.some((term) => DOCUMENT_MODALITIES.has(term)), true, 'document modality'],
    ['RISK_DOCUMENT', facts.conversionType.includes('SD'), true, 'scanned document'],
    ['RISK_SOP_CLASS', is(PICTURES), true, 'SOP Class'],
    ['RISK_SOP_CLASS', facts.modality.some((term) => PICTURE_MODALITIES.has(term)), true, 'modality'],
    ['RISK_IMAGE_TYPE', facts.imageType.some((term) => SECONDARY.test(term)), true, 'secondary image'],
    ['RISK_IMAGE_TYPE', facts.imageType.some((term) => SCREEN.test(term)), true, 'screen capture'],
  ];
  for (const [code, applies, byClass, detail] of refusals) {
    if (applies && !allowed.risks.includes(code) && !(byClass && classAllowed)) return { code, detail };
  }
  return undefined;
}
