/** The Basic Application Level Confidentiality Profile (PS3.15, Annex E) as rules for the element engine. */
import { dictionaryVr } from '../dicom/dictionary';
import type { Action, BeginContext, ElementView, NewElement, Refusal, Rules, Tag } from '../dicom/rewrite-types';
import { IMPLEMENTATION } from '../dimse/implementation';
import { ContentTree } from './content';
import { isTime, shiftDate, shiftDateTime } from './dates';
import { ascii, codeItem, dummy, dummySequence, emptyDocument, unknownCode } from './dummies';
import { Keyed } from './keyed';
import type { Key } from './keyed';
import type { CompiledProfile } from './profile';
import { resolve } from './resolve';
import { nestedPseudonym, Subjects, TAG, WANTED } from './subject';
import type { Subject } from './subject';
import { tables } from './tables';
import type { ClassActions } from './resolve';
import type { Code, TableRow } from './tables';
import { decideUnlisted } from './unlisted';

const KEEP: Action = { kind: 'keep' };
const REMOVE: Action = { kind: 'remove' };
const EMPTY: Action = { kind: 'empty' };
const RECURSE: Action = { kind: 'recurse' };

const CODE_MEANING = 0x00080104;
const CODING_SCHEME_DESIGNATOR = 0x00080102;
const TIMEZONE_OFFSET = 0x00080201;
const NUMERIC_VALUES = 0x0040a300;
const CONCEPT_CODES = 0x0040a168;
const DATE_VALUE = 0x0040a121;
const ENCAPSULATED_DOCUMENT = 0x00420011;
const ENCAPSULATED_DOCUMENT_LENGTH = 0x00420015;
const GRAPHIC_ANNOTATIONS = 0x00700001;
const GRAPHIC_DATA = 0x00700022;

/** Values above this are pixels and the like; a text, date or UID of that size is none. */
const LONGEST_TEXT = 1 << 20;

/** Encrypted Attributes Sequence: what a former de-identification took away, for whoever has its key. */
const ENCRYPTED_ATTRIBUTES = 0x04000500;

/** Groups that never stay (PS3.15, E.1.1 and E.2): private, command, File Meta, media directory, curves, overlays, retired pixels. */
function isForeignGroup(tag: Tag): boolean {
  const group = tag >>> 16;
  if (group % 2 === 1 || group <= 0x0006 || (tag & 0xffff) === 0) return true;
  const family = group & 0xff00;
  return family === 0x5000 || family === 0x6000 || (family === 0x7f00 && group !== 0x7fe0);
}

const FILE_META = [ascii(0x00020012, 'UI', IMPLEMENTATION.classUID), ascii(0x00020013, 'SH', IMPLEMENTATION.versionName)];

export interface RulesSettings {
  readonly profile: CompiledProfile;
  readonly key: Key;
  /** Default Issuer of Patient ID of the job's source; empty where there is none. */
  readonly issuer: string;
}

/** Rules for one file after another; `begin` starts a new one. */
export class DeidentificationRules implements Rules {
  readonly wanted = WANTED;
  readonly guardsWords = true;
  readonly clearsOverlays = true;
  readonly #profile: CompiledProfile;
  readonly #keyed: Keyed;
  readonly #issuer: string;
  readonly #content = new ContentTree();
  readonly #subjects = new Subjects();
  readonly #markers: readonly NewElement[];
  #method: { readonly former: Buffer; readonly element: NewElement } | undefined;
  #subject: Subject | undefined;
  #marks: readonly string[] = [];
  #classActions: ClassActions;
  #document: Buffer = Buffer.alloc(0);
  /** Coding Scheme Designator of the code at hand; the Code Meaning follows it in the same item. */
  #scheme = '';

  constructor({ profile, key, issuer }: RulesSettings) {
    this.#profile = profile;
    this.#keyed = new Keyed(key, profile.scope);
    this.#issuer = issuer;
    this.#markers = markersOf(profile);
  }

  begin(head: ReadonlyMap<Tag, ElementView>, context: BeginContext): Refusal | undefined {
    this.#content.reset();
    this.#scheme = '';
    this.#subject = undefined;
    const { subject, marks } = this.#subjects.read(head, { profile: this.#profile, keyed: this.#keyed, issuer: this.#issuer, ...context });
    this.#marks = marks;
    if ('code' in subject) return subject;
    this.#subject = subject;
    this.#classActions = tables().classes.get(subject.sopClassUID);
    this.#document = emptyDocument(subject.mimeType);
    return undefined;
  }

  /** By which the job of the file at hand is found again; none where it did not come to `begin`. Asked for once. */
  takeMarks(): readonly string[] {
    const marks = this.#marks;
    this.#marks = [];
    return marks;
  }

  element(view: ElementView): Action {
    const { tag } = view;
    if (isForeignGroup(tag) || tag === ENCRYPTED_ATTRIBUTES) return REMOVE;
    const identifying = this.#content.visit(view, () => text(view));
    if (identifying) {
      // A measured value may be absent (PS3.3, C.18.1); a code may not.
      if (tag === NUMERIC_VALUES) return EMPTY;
      if (tag === CONCEPT_CODES) return unknownCode;
      if (tag === DATE_VALUE) return { kind: 'replace', value: dummy(tag, 'DA'), vr: 'DA' };
    }
    const row = tables().rows.get(tag);
    return row === undefined ? this.#unlisted(view) : this.#listed(view, row);
  }

  additions(): readonly NewElement[] {
    const { identifiers, method } = this.#current();
    // The files of a series share what they had under it.
    if (this.#method?.former !== method) this.#method = { former: method, element: { tag: TAG.deidentificationMethod, vr: 'LO', value: appended(method, this.#profile.method) } };
    return [...identifiers, ...this.#markers, this.#method.element].toSorted((one, other) => one.tag - other.tag);
  }

  fileMeta(): readonly NewElement[] {
    return FILE_META;
  }

  #current(): Subject {
    if (this.#subject === undefined) throw new TypeError('begin has not accepted a file');
    return this.#subject;
  }

  #listed(view: ElementView, row: TableRow): Action {
    const { tag, path } = view;
    const subject = this.#current();
    if (subject.days > 0 && row.shiftable) {
      const shifted = this.#shifted(view);
      if (shifted !== undefined) return shifted;
    }
    const { animal, multiFrame, listsReferences } = subject;
    const code = resolve(tag, row, { sequence: path.at(-1), classActions: this.#classActions, animal, multiFrame, listsReferences });
    if (path.length > 0 && code !== 'X') {
      const value = nestedPseudonym(tag, text(view), subject, this.#keyed);
      if (value !== undefined) return { kind: 'replace', value: Buffer.from(value, 'latin1'), vr: row.vr };
    }
    if (tag === ENCAPSULATED_DOCUMENT && code === 'D') return { kind: 'replace', value: this.#document, vr: 'OB' };
    return this.#byCode(view, row, code);
  }

  #byCode(view: ElementView, row: TableRow, code: Code): Action {
    const vr = view.vr === 'UN' ? row.vr : view.vr;
    if (code === 'X') return REMOVE;
    if (code === 'Z') return EMPTY;
    if (code === 'U*') return vr === 'SQ' ? RECURSE : EMPTY;
    if (code === 'U' || row.vr === 'UI') return this.#uids(view, row.vr);
    if (vr === 'SQ') return row.vr === 'SQ' ? dummySequence(view.tag) : EMPTY;
    // A sequence that is written as something else can neither be walked nor be made up.
    if (row.vr === 'SQ') return REMOVE;
    return { kind: 'replace', value: dummy(view.tag, vr), vr };
  }

  /** The date rule of the Modified Dates Option; undefined where the value is not what its VR says. */
  #shifted(view: ElementView): Action | undefined {
    const { days } = this.#current();
    if (view.length === undefined || view.length > LONGEST_TEXT) return undefined;
    const value = text(view);
    switch (view.vr) {
      case 'DA': return shiftedTo(value, shiftDate(value, days));
      case 'DT': return shiftedTo(value, shiftDateTime(value, days));
      // Four digits are a time, and many another number: only of what is a time by the standard they are one.
      case 'TM': return isTime(value) && (dictionaryVr(view.tag) ?? 'TM') === 'TM' ? KEEP : undefined;
      default: return view.tag === TIMEZONE_OFFSET && /^[+-]\d{4}$/.test(value) ? KEEP : undefined;
    }
  }

  #uids(view: ElementView, vr: string): Action {
    if (view.vr === 'SQ' || view.length === undefined || view.length > LONGEST_TEXT) return REMOVE;
    const value = text(view);
    const mapped = this.#keyed.uids(value);
    return mapped === view.ascii() ? KEEP : { kind: 'replace', value: Buffer.from(mapped, 'latin1'), vr };
  }

  #unlisted(view: ElementView): Action {
    const { tag, vr, path } = view;
    if (tag === ENCAPSULATED_DOCUMENT_LENGTH) {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(this.#document.length);
      return { kind: 'replace', value: length, vr: 'UL' };
    }
    // The drawing of an annotation may be handwriting; its shape is kept, its points are not.
    if (tag === GRAPHIC_DATA && path.includes(GRAPHIC_ANNOTATIONS)) return { kind: 'replace', value: Buffer.alloc(view.length ?? 0), vr };
    if (tag === CODING_SCHEME_DESIGNATOR) this.#scheme = text(view);
    const subject = this.#current();
    const temporal = subject.days > 0 && (vr === 'DA' || vr === 'DT' || vr === 'TM') ? this.#shifted(view) : undefined;
    if (temporal !== undefined) return temporal;
    const action = decideUnlisted(view, { uids: () => this.#uids(view, 'UI'), scheme: this.#scheme, mentions: (value) => subject.mentions(value) });
    if (tag === CODE_MEANING) this.#scheme = '';
    return action;
  }
}

/** That the file is de-identified, by which options, and what became of its dates (PS3.15, E.1.1 and E.3.6). */
function markersOf({ dates }: CompiledProfile): NewElement[] {
  const codes = [codeItem('113100', 'DCM', 'Basic Application Confidentiality Profile')];
  if (dates === 'shift') codes.push(codeItem('113107', 'DCM', 'Retain Longitudinal Temporal Information Modified Dates Option'));
  return [
    ascii(0x00120062, 'CS', 'YES'),
    { tag: 0x00120064, vr: 'SQ', value: codes },
    ascii(0x00280303, 'CS', dates === 'shift' ? 'MODIFIED' : 'REMOVED'),
  ];
}

function text(view: ElementView): string {
  return view.length === undefined || view.vr === 'SQ' || view.length > LONGEST_TEXT ? '' : view.latin1().replaceAll('\0', '').trim();
}

function shiftedTo(value: string, shifted: string | undefined): Action | undefined {
  if (shifted === undefined) return undefined;
  return shifted === value ? KEEP : { kind: 'replace', value: Buffer.from(shifted, 'latin1') };
}

/** (0012,0063) with our words after those of a former de-identification; they are there once, however often it is done. */
function appended(method: Buffer, words: readonly string[]): Buffer {
  const ours = Buffer.from(words.join('\\'), 'latin1');
  const former = Buffer.from(method.toString('latin1').replace(/[\0 ]+$/, ''), 'latin1');
  if (former.length === 0 || former.equals(ours)) return ours;
  return former.subarray(former.length - ours.length).equals(ours) ? former : Buffer.concat([former, Buffer.from('\\'), ours]);
}
