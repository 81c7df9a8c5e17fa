/** What the first elements of a file say before anything is written: whom it is about, how its pseudonyms read, and its risks. */
import type { BeginContext, ElementView, NewElement, Refusal, Tag } from '../dicom/rewrite-types';
import { ascii } from './dummies';
import { identityParts, trimId, trimUid } from './keyed';
import type { Keyed } from './keyed';
import type { CompiledProfile } from './profile';
import { hasControls } from './unlisted';
import { judge } from './risk';

export const TAG = {
  imageType: 0x00080008, sopClassUID: 0x00080016, sopInstanceUID: 0x00080018, accessionNumber: 0x00080050, modality: 0x00080060, conversionType: 0x00080064, referencedSeriesSequence: 0x00081115,
  referringPhysicianName: 0x00080090, performingPhysicianName: 0x00081050, operatorsName: 0x00081070,
  patientName: 0x00100010, patientId: 0x00100020, issuerOfPatientId: 0x00100021, otherPatientIds: 0x00101000, otherPatientNames: 0x00101001,
  patientSpeciesDescription: 0x00102201, patientSpeciesCodeSequence: 0x00102202, deidentificationMethod: 0x00120063,
  studyInstanceUID: 0x0020000d, seriesInstanceUID: 0x0020000e, studyId: 0x00200010, burnedInAnnotation: 0x00280301, mimeType: 0x00420012, specimenLabelInImage: 0x00480010, sharedFunctionalGroups: 0x52009229,
} as const satisfies Readonly<Record<string, Tag>>;

/** The elements that `readSubject` looks at. */
export const WANTED: readonly Tag[] = Object.values(TAG);

/** Names and numbers of people, to be looked for where text is kept. */
const NAMES = [TAG.patientName, TAG.otherPatientNames, TAG.referringPhysicianName, TAG.performingPhysicianName, TAG.operatorsName];
const NUMBERS = [TAG.patientId, TAG.otherPatientIds, TAG.accessionNumber];
/** Shorter parts are initials, titles and counters, which are found in every text. */
const SHORTEST = 4;
/** Longer ones are no names, and many would make a pattern that cannot be compiled. */
const LONGEST_WORD = 64;
const MOST_WORDS = 64;

export interface Subject {
  readonly sopClassUID: string;
  readonly identity: readonly string[];
  readonly issuer: string;
  readonly animal: boolean;
  /** Whether the object has functional groups. */
  readonly multiFrame: boolean;
  /** Whether the object lists the series of what it refers to. */
  readonly listsReferences: boolean;
  /** Days by which the patient's dates go back; 0 where the profile removes dates. */
  readonly days: number;
  readonly mimeType: string;
  /** SOP Class and Instance, and the keyed identifiers of patient and study. */
  readonly identifiers: readonly NewElement[];
  /** (0012,0063) as it stands in the file; empty where it is absent or not to be kept. */
  readonly method: Buffer;
  /** Whether a text, by `latin1`, holds a name or number of a person of this file. */
  mentions(text: string): boolean;
}

type Head = ReadonlyMap<Tag, ElementView>;

/** What is longer is removed wherever it stands, as no text. */
const LONGEST = 1 << 20;
/** Words are added to it, and with them it has to fit its VR. */
const LONGEST_METHOD = 32 << 10;
const UID = /^\d+(?:\.\d+)+$/;
/** SOP Classes whose IODs demand functional groups (PS3.3, C.7.6.16), also of objects that lack them. */
const OF_FUNCTIONAL_GROUPS: ReadonlySet<string> = new Set([
  '2.1', '2.2', '4.1', '4.2', '4.3', '4.4', '6.2', '6.3', '12.1.1', '12.2.1', '13.1.1', '13.1.2', '13.1.3', '13.1.4', '13.1.5', '14.1', '14.2', '30', '66.4', '66.7', '77.1.5.4', '77.1.6', '77.1.9', '128.1', '130',
].map((suffix) => `1.2.840.10008.5.1.4.1.1.${suffix}`));
const MEDIA_DIRECTORY = '1.2.840.10008.1.3.10';

/** What says by being there, whatever is in it. */
const SIGNS: ReadonlySet<Tag> = new Set([TAG.referencedSeriesSequence, TAG.patientSpeciesDescription, TAG.patientSpeciesCodeSequence, TAG.sharedFunctionalGroups]);
/** What nothing is decided by, so that it may be there twice: names are replaced, and all of them looked for. */
const INDIFFERENT: ReadonlySet<Tag> = new Set([...NAMES, TAG.otherPatientIds, TAG.deidentificationMethod]);

/** What has to be read, but for the questions whose risk a profile may allow. */
const DECIDING: ReadonlySet<Tag> = new Set(WANTED).difference(SIGNS).difference(INDIFFERENT).difference(new Set([TAG.burnedInAnnotation, TAG.specimenLabelInImage]));

function raw(head: Head, tag: Tag): Buffer {
  return rawOf(head.get(tag));
}

function rawOf(view: ElementView | undefined): Buffer {
  return view?.length === undefined || view.vr === 'SQ' || view.length > LONGEST ? Buffer.alloc(0) : view.value();
}

function text(head: Head, tag: Tag): string {
  return trimId(raw(head, tag).toString('latin1'));
}

/** Whether a value is one that can be read: not written as items, and not longer than any is. */
const isHeard = (view: ElementView): boolean => view.length === 0 || view.vr !== 'SQ' && view.length !== undefined && view.length <= LONGEST;

/** Whatever stands between them: what follows a NUL or a control character says something as well. */
// oxlint-disable-next-line no-control-regex
const terms = (head: Head, tag: Tag): string[] => raw(head, tag).toString('latin1').toUpperCase().split(/[\\/\0-\x1f\x7f]+/).map((term) => term.trim());

/** The answers to a question of YES or NO; what is there and cannot be read is neither. */
function answers(head: Head, tag: Tag): string[] {
  const view = head.get(tag);
  return view === undefined || isHeard(view) ? terms(head, tag) : ['UNHEARD'];
}

const literally = (word: string): string => word.replaceAll(/[^a-z0-9]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

/** Patterns for family and given name behind each other, in either order, where both are too short to be looked for alone: Wu, Li, Kim. */
function wholeNames(person: string): string[] {
  const [family = '', given = ''] = person.split('^').map((part) => part.trim());
  if (family === '' || given === '' || family.length >= SHORTEST && given.length >= SHORTEST || family.length + given.length < SHORTEST || family.length + given.length > LONGEST_WORD) return [];
  return [[family, given], [given, family]].map((parts) => parts.map((part) => part.split(/[\s-]+/).map(literally).join('[^a-z0-9]{1,3}')).join('[^a-z0-9]{1,3}'));
}

function searcher(head: Head, repeated: readonly ElementView[]): (value: string) => boolean {
  const words = new Set<string>();
  const texts = (tag: Tag): string[] => [head.get(tag), ...repeated.filter((view) => view.tag === tag)].map((view) => trimId(rawOf(view).toString('latin1')));
  for (const tag of NAMES) for (const value of texts(tag)) for (const word of value.split(/[\\^=,\s]+/)) words.add(word.toLowerCase());
  for (const tag of NUMBERS) for (const value of texts(tag)) for (const word of value.split('\\')) words.add(word.trim().toLowerCase());
  const found = [...words].filter((word) => word.length >= SHORTEST && word.length <= LONGEST_WORD).slice(0, MOST_WORDS).map(literally);
  for (const tag of NAMES) for (const value of texts(tag)) for (const person of value.split(/[\\=]+/).slice(0, MOST_WORDS)) found.push(...wholeNames(person.toLowerCase()));
  if (found.length === 0) return () => false;
  const pattern = new RegExp(`(?<![a-z0-9])(?:${found.join('|')})(?![a-z0-9])`);
  return (value) => pattern.test(value.toLowerCase());
}

export interface SubjectContext extends BeginContext {
  readonly profile: CompiledProfile;
  readonly keyed: Keyed;
  /** Default Issuer of Patient ID of the job's source; empty where there is none. */
  readonly issuer: string;
}

/** The subject of a file, or the reason why the file goes to quarantine. */
function readSubject(head: Head, { profile, keyed, issuer, transferSyntaxUID, mediaStorageSOPClassUID, mediaStorageSOPInstanceUID, repeated = [] }: SubjectContext): Subject | Refusal {
  if (!repeated.every(({ tag }) => INDIFFERENT.has(tag))) return { code: 'DEID_UNSUPPORTED', detail: 'what decides stands there twice with different values' };
  const sopClassUID = trimUid(text(head, TAG.sopClassUID)) || trimUid(mediaStorageSOPClassUID);
  const sopInstanceUID = trimUid(text(head, TAG.sopInstanceUID)) || trimUid(mediaStorageSOPInstanceUID);
  if (sopClassUID === '' || sopInstanceUID === '') return { code: 'DICOM_INCOMPLETE' };
  // Both go into the result as they are.
  if (![sopClassUID, transferSyntaxUID].every((uid) => UID.test(uid) && uid.length <= 64)) return { code: 'DEID_UNSUPPORTED', detail: 'SOP Class or transfer syntax is no UID' };
  if (sopClassUID === MEDIA_DIRECTORY) return { code: 'DEID_UNSUPPORTED', detail: 'media directory' };
  const sopClassUIDs = [...new Set([sopClassUID, trimUid(mediaStorageSOPClassUID)])].filter((uid) => uid !== '');
  const refusal = judge({
    sopClassUIDs, transferSyntaxUID,
    modality: terms(head, TAG.modality),
    imageType: terms(head, TAG.imageType),
    conversionType: terms(head, TAG.conversionType),
    burnedInAnnotation: answers(head, TAG.burnedInAnnotation),
    specimenLabelInImage: answers(head, TAG.specimenLabelInImage),
  }, profile.allowed);
  if (refusal !== undefined) return refusal;
  if ([...head.values()].some((view) => DECIDING.has(view.tag) && !isHeard(view))) return { code: 'DEID_UNSUPPORTED', detail: 'what decides cannot be read' };

  const studyInstanceUID = trimUid(text(head, TAG.studyInstanceUID));
  const ownIssuer = text(head, TAG.issuerOfPatientId) || trimId(issuer);
  const identity = identityParts({ issuer: ownIssuer, patientId: text(head, TAG.patientId), studyInstanceUID });
  if (identity === undefined) return { code: 'DEID_NO_IDENTITY' };

  const patient = keyed.pseudonym('patient', identity);
  // Both are the File Meta Information's to tell where the data set does not.
  const written = [ascii(TAG.sopClassUID, 'UI', sopClassUID), ascii(TAG.sopInstanceUID, 'UI', keyed.uids(sopInstanceUID))];
  const identifiers = [...written, ascii(TAG.patientName, 'PN', patient), ascii(TAG.patientId, 'LO', patient)];
  // An object without a study, or without these attributes in its IOD, is not given them.
  if (studyInstanceUID !== '' || head.has(TAG.accessionNumber)) {
    identifiers.push(ascii(TAG.accessionNumber, 'SH', keyed.pseudonym('accession', identity, text(head, TAG.accessionNumber) || studyInstanceUID)));
  }
  if (studyInstanceUID !== '' || head.has(TAG.studyId)) {
    identifiers.push(ascii(TAG.studyId, 'SH', keyed.pseudonym('study', [...identity, studyInstanceUID], text(head, TAG.studyId))));
  }
  const mentions = searcher(head, repeated);
  const former = raw(head, TAG.deidentificationMethod);
  const method = former.length > LONGEST_METHOD ? Buffer.alloc(0) : former;
  return {
    sopClassUID, identity, issuer: ownIssuer, identifiers, mentions,
    animal: head.has(TAG.patientSpeciesDescription) || head.has(TAG.patientSpeciesCodeSequence),
    multiFrame: head.has(TAG.sharedFunctionalGroups) || OF_FUNCTIONAL_GROUPS.has(sopClassUID),
    listsReferences: head.has(TAG.referencedSeriesSequence),
    days: profile.dates === 'shift' ? keyed.days(identity, profile.maximumShift) : 0,
    mimeType: text(head, TAG.mimeType),
    method: mentions(method.toString('latin1')) || hasControls(method.toString('latin1').replace(/[\0 ]+$/, '')) ? Buffer.alloc(0) : method,
  };
}

/**
 * What the key makes of a file's patient, study and series, and with `instance` of its own UID: by these a person who has the
 * original values and the key finds its job again. As far as the file tells.
 */
function marksOf(head: Head, keyed: Keyed, issuer: string, instance: boolean): string[] {
  const studyInstanceUID = trimUid(text(head, TAG.studyInstanceUID));
  const identity = identityParts({ issuer: text(head, TAG.issuerOfPatientId) || trimId(issuer), patientId: text(head, TAG.patientId), studyInstanceUID });
  const uids = [studyInstanceUID, text(head, TAG.seriesInstanceUID), ...(instance ? [text(head, TAG.sopInstanceUID)] : [])];
  return [...(identity === undefined ? [] : [keyed.pseudonym('patient', identity)]), ...uids.filter((uid) => uid !== '').map((uid) => keyed.uids(uid))];
}

/** What has longer values than this is read anew for every file. */
const LONGEST_COMPARED = 256;

/** Everything that a subject is made of but the file's own UID; undefined where that is too much to compare. */
function commonPart(head: Head, { transferSyntaxUID, mediaStorageSOPClassUID, repeated = [] }: SubjectContext): string | undefined {
  if (repeated.length > 0) return undefined;
  let part = JSON.stringify([transferSyntaxUID, mediaStorageSOPClassUID]);
  for (const [tag, view] of head) {
    if (tag === TAG.sopInstanceUID) continue;
    const { vr, length } = view;
    const compared = length === undefined || vr === 'SQ' ? '' : length > LONGEST_COMPARED ? undefined : view.latin1();
    if (compared === undefined) return undefined;
    // The length tells where the value ends, whatever is in it.
    part += ` ${tag} ${vr} ${compared.length} ${compared}`;
  }
  return part;
}

export interface Introduction {
  readonly subject: Subject | Refusal;
  /** As `marksOf`; with the file's own UID where the file goes to quarantine. */
  readonly marks: readonly string[];
}

/** Reads the subject of one file after another. Those of a series mostly differ in nothing of it but their own UID, so what was made of the rest is kept. */
export class Subjects {
  #last: { readonly part: string; readonly subject: Subject; readonly marks: readonly string[] } | undefined;

  read(head: Head, context: SubjectContext): Introduction {
    const { keyed, issuer, mediaStorageSOPInstanceUID } = context;
    const part = commonPart(head, context);
    const sopInstanceUID = trimUid(text(head, TAG.sopInstanceUID)) || trimUid(mediaStorageSOPInstanceUID);
    if (this.#last !== undefined && this.#last.part === part && sopInstanceUID !== '') {
      const { subject, marks } = this.#last;
      const identifiers = subject.identifiers.map((element) => (element.tag === TAG.sopInstanceUID ? ascii(element.tag, 'UI', keyed.uids(sopInstanceUID)) : element));
      return { subject: { ...subject, identifiers }, marks };
    }
    const subject = readSubject(head, context);
    const marks = marksOf(head, keyed, issuer, 'code' in subject);
    this.#last = part === undefined || 'code' in subject ? undefined : { part, subject, marks };
    return { subject, marks };
  }
}

/** The pseudonym that a PatientID or AccessionNumber inside a sequence takes: the same as at the top level for the same value. */
export function nestedPseudonym(tag: Tag, value: string, subject: Subject, keyed: Keyed): string | undefined {
  if (tag === TAG.accessionNumber && value !== '') return keyed.pseudonym('accession', subject.identity, value);
  if (tag !== TAG.patientId) return undefined;
  const identity = identityParts({ issuer: subject.issuer, patientId: value, studyInstanceUID: '' }) ?? subject.identity;
  return keyed.pseudonym('patient', identity);
}
