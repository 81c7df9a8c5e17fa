/**
 * Attributes that Table E.1-1 does not list, decided by their VR: free text goes unless it is known to be technical, UIDs
 * are mapped by value, names become a dummy, numbers and pixels stay.
 */
import { dictionaryVr, mostValues } from '../dicom/dictionary';
import { modalityTerm } from '../dicom/identity';
import type { Action, ElementView, Tag } from '../dicom/rewrite-types';
import { swapUnit } from '../dicom/vr';
import { isText, readsAsWords } from '../dicom/wordlike';
import { dummy } from './dummies';
import { isRegisteredUid } from './keyed';
import { tables } from './tables';

const KEEP: Action = { kind: 'keep' };
const REMOVE: Action = { kind: 'remove' };
const EMPTY: Action = { kind: 'empty' };

const LONGEST_TEXT = 1 << 20;
const SOP_CLASS = 0x00080016;
const MODALITY = 0x00080060;
const CODE_MEANING = 0x00080104;
const CODING_SCHEME_UID = 0x0008010c;

/** UIs that say of what kind something is: SOP Classes and transfer syntaxes, private ones too. */
const KINDS: ReadonlySet<Tag> = new Set([
  0x00080016, 0x0008001a, 0x0008001b, 0x00080062, 0x00081150, 0x0008115a, 0x00083002, 0x00340003, 0x04000010, 0x04000510, 0x30100052, 0x30100053,
]);
const UIDS = /^(?:[0-9]+(?:\.[0-9]+)+(?:\\|$))+$/;
/** A vendor numbers its kinds with few short numbers below its root; instances have serial numbers and times in them. */
const OF_KINDS = /^(?:\d{1,6}(?:\.\d{1,6}){2,12}(?:\\|$))+$/;
/** Coding schemes of PS3.16, Table 8-1 beside those under DICOM's own root: the arc of HL7 for code systems of others. */
const CODE_SYSTEMS = /^2\.16\.840\.1\.113883\.6\.\d+$/;

/** Coding schemes whose meanings come from a published list (PS3.16, 8); a meaning in any other is somebody's own words. */
const PUBLISHED = /^(?:DCM|SCT|SRT|SNM3|99SDM|LN|UCUM|FMA|RADLEX|UMLS|NCIt|NCDR \[2\.0b\]|BI|BARI|MA|MDC|NDC|RXNORM|ICDO3|I9C|I10|I10P|C4|ANS|NYUMCCG|UNS|IBSI|ITIS_TSN|PUBCHEM_CID|CTCAE.*|ISO_?\d.*)$/;

/** Groups whose OB values are pixels, waveforms, meshes, tables of colours or fill patterns. */
const BINARY_GROUPS: ReadonlySet<number> = new Set([0x0018, 0x0028, 0x003a, 0x0066, 0x0070, 0x5400, 0x7fe0]);

const TEXT_VRS: ReadonlySet<string> = new Set(['AE', 'LO', 'LT', 'SH', 'ST', 'UC', 'UR', 'UT', 'PN', 'DA', 'DT', 'TM']);
const TERM_VRS: ReadonlySet<string> = new Set(['AS', 'CS', 'DS', 'IS']);
const STREAM_VRS: ReadonlySet<string> = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW']);
/** Where the standard leaves a choice, of which the dictionary names one. */
const STREAMS_OF_CHOICE: ReadonlySet<string | undefined> = new Set(['OB', 'OW']);
const NUMBER_VRS: ReadonlySet<string> = new Set(['AT', 'FD', 'FL', 'SL', 'SS', 'SV', 'UL', 'US', 'UV']);
const NUMBER = /^\s*(?:[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?))?\s*$/i;
/** Characters that no text of the standard has, but in the escape sequences and lines of some (PS3.5, 6.1.3). */
// oxlint-disable-next-line no-control-regex
const CONTROLS = /[\0-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]/;

export interface UnlistedContext {
  readonly uids: () => Action;
  /** Coding Scheme Designator that came before in the same item. */
  readonly scheme: string;
  readonly mentions: (value: string) => boolean;
}

/** What must be there is replaced or emptied, the rest goes (Types of PS3.3; required in any module counts as required). */
function byType(view: ElementView): Action {
  const type = tables().type(view.path.at(-1), view.tag);
  if (type === 1) return { kind: 'replace', value: dummy(view.tag, view.vr) };
  return type === 2 ? EMPTY : REMOVE;
}

function isLong(view: ElementView): boolean {
  return view.length === undefined || view.length > LONGEST_TEXT;
}

/** The value without its padding. */
const unpadded = (view: ElementView): string => view.ascii();

export const hasControls = (text: string): boolean => CONTROLS.test(text);

/** A text ends where something stands that is none: what is behind it, no reader shows and nobody has checked. */
function upToControls(view: ElementView, value: string, changed = false): Action {
  const at = value.search(CONTROLS);
  if (at < 0 && !changed) return KEEP;
  const text = value.slice(0, at < 0 ? value.length : at).replace(/[\\\s]+$/, '');
  return text === '' ? byType(view) : { kind: 'replace', value: Buffer.from(text, 'latin1') };
}

function technicalText(view: ElementView, { scheme, mentions }: UnlistedContext): Action {
  if (isLong(view)) return REMOVE;
  const value = unpadded(view);
  const foreign = view.tag === CODE_MEANING && !PUBLISHED.test(scheme);
  return foreign || mentions(value) ? { kind: 'replace', value: dummy(view.tag, view.vr) } : upToControls(view, value);
}

/**
 * A term as the standard has them (PS3.5, 6.2): people are named like some, NONE or PERFUSION, and these say nothing of them. One
 * with digits may be the number of a patient.
 */
const TERM = /^[A-Z _]{0,16}$/;
const TERMS = /^[A-Z _]{0,16}(?:\\[A-Z _]{0,16})*$/;
/** Where people write what they like in capitals. */
const BODY_PART = 0x00180015;

/** A defined term has 16 characters; four times that, or the delimiters of a name, are somebody's prose. */
function codes(view: ElementView, { mentions }: UnlistedContext): Action {
  if (isLong(view)) return REMOVE;
  const value = unpadded(view);
  if (view.tag === MODALITY && modalityTerm(value.trim()) === '') return { kind: 'replace', value: dummy(view.tag, view.vr) };
  if (view.tag !== BODY_PART && TERMS.test(value)) return KEEP;
  const terms = value.split('\\');
  if (/[=^]/.test(value) || terms.some((term) => term.trim().length > 64)) return byType(view);
  const told = (term: string): boolean => (view.tag === BODY_PART || !TERM.test(term)) && mentions(term);
  if (!terms.some(told)) return upToControls(view, value);
  return terms.length === 1 ? byType(view) : upToControls(view, terms.map((term) => (told(term) ? dummy(view.tag, 'CS').toString('latin1') : term)).join('\\'), true);
}

/** A long list of numbers is coordinates. */
function numbers(view: ElementView): Action {
  return isLong(view) || unpadded(view).split('\\').every((value) => NUMBER.test(value)) ? KEEP : byType(view);
}

/** Six letters and digits or more: where something else stood with the numbers, they are none. */
const LETTERS = /[0-9A-Za-z ^.-]{6}/;

/** Of more bytes than this, some read as a short word by chance. */
const FEW = 256;
const LONG_WORD = 12;

/**
 * Letters in a row that numbers hardly have: of a floating-point number in four bytes the highest may be a letter and the others are
 * as good as random, of one in eight the two highest are none but in very large ones.
 */
function longestByChance({ vr, length = 0 }: ElementView): number {
  if (length > FEW) return 20;
  return swapUnit(vr) === 8 ? 10 : LONG_WORD;
}

/** Numbers of a known attribute: as many as it has (PS3.5, 6.4), since behind them anything may stand, and none that are letters. */
function values(view: ElementView): Action {
  const unit = view.vr === 'AT' ? 4 : swapUnit(view.vr);
  const most = mostValues(view.tag);
  if (isLong(view)) return most === Infinity ? KEEP : REMOVE;
  const length = view.length ?? 0;
  const whole = Math.min(most * unit, length - length % unit);
  if (whole === 0) return byType(view);
  if (isText(view.latin1()) || readsAsWords(view.latin1(), longestByChance(view))) return byType(view);
  if (whole === length) return KEEP;
  const value = view.value().subarray(0, whole);
  return LETTERS.test(value.toString('latin1')) ? byType(view) : { kind: 'replace', value };
}

const ICC_PROFILE = 0x00282000;
/** Pixel Data of the data set itself: the only bytes in which everything may occur. */
const isPixels = (view: ElementView): boolean => view.path.length === 0 && view.tag >= 0x7fe00008 && view.tag <= 0x7fe00010;

/** Whether bytes are words: of samples, which read as anything in places, only where they are a text as a whole. */
function isWords(view: ElementView, named: string | undefined): boolean {
  if (isLong(view)) return false;
  const text = view.latin1();
  if (isText(text)) return true;
  if (named === undefined || view.vr === 'OL' || view.vr === 'OV') return readsAsWords(text, (view.length ?? 0) <= FEW ? 10 : LONG_WORD);
  return (view.vr === 'OF' || view.vr === 'OD') && readsAsWords(text, longestByChance(view));
}

/** Bytes of an attribute that are not its own: of another kind of number, or words. */
function isForeign(view: ElementView, named: string | undefined): boolean {
  if (isPixels(view)) return false;
  const wide = new Set([view.vr, named]).difference(STREAMS_OF_CHOICE);
  return named !== undefined && view.vr !== named && wide.size > 0 || isWords(view, named);
}

/** An ICC profile says how long it is and what it is (ICC.1:2022, 7.2), and whatever else it may hold is its own. */
function isProfile(view: ElementView): boolean {
  if (isLong(view) || (view.length ?? 0) < 132) return false;
  const value = view.value();
  return value.toString('latin1', 36, 40) === 'acsp' && [0, 1].includes(value.length - value.readUInt32BE(0));
}

/** Binary values stay as what they are known to be; of an attribute that nobody knows, only numbers that are not letters. */
function binary(view: ElementView, named: string | undefined): Action {
  if (named !== undefined && NUMBER_VRS.has(view.vr)) return values(view);
  if (view.tag === ICC_PROFILE) return isProfile(view) ? KEEP : REMOVE;
  if (isForeign(view, named)) return byType(view);
  if (view.vr === 'OB' || named === undefined && STREAM_VRS.has(view.vr)) return BINARY_GROUPS.has(view.tag >>> 16) ? KEEP : REMOVE;
  return named === undefined && (isLong(view) || /^[\x20-\x7e\s]{4,}$/.test(unpadded(view))) ? REMOVE : KEEP;
}

/** 90 years and more are one age (45 CFR 164.514(b)(2)(i)(C)). */
function age(view: ElementView): Action {
  const value = view.ascii();
  const [, count, unit] = /^(\d{3})([DWMY])$/.exec(value) ?? [];
  if (count === undefined) return value === '' ? KEEP : { kind: 'replace', value: dummy(view.tag, 'AS') };
  const years = unit === 'Y' ? Number(count) : unit === 'M' ? Number(count) / 12 : 0;
  return years > 89 ? { kind: 'replace', value: Buffer.from('090Y', 'latin1') } : KEEP;
}

function uid(view: ElementView, { uids }: UnlistedContext): Action {
  if (isLong(view)) return REMOVE;
  const value = unpadded(view);
  if (KINDS.has(view.tag) && UIDS.test(value) && (value.length <= 40 && OF_KINDS.test(value) || value.split('\\').every(isRegisteredUid) || view.tag === SOP_CLASS && view.path.length === 0)) return KEEP;
  if (view.tag === CODING_SCHEME_UID && CODE_SYSTEMS.test(value)) return KEEP;
  return uids();
}

/** Whether words, UIDs or items, by the dictionary, are written as a VR under which nobody would look for them. */
function isDisguised(named: string, { vr }: ElementView): boolean {
  // What is written as words or UIDs is decided as such, whatever it should be.
  if (vr === 'SQ' || vr === 'UI' && named !== 'SQ' || TEXT_VRS.has(vr) && named !== 'SQ') return false;
  return named === 'SQ' || named === 'UI' || TEXT_VRS.has(named) || TERM_VRS.has(named) && !TERM_VRS.has(vr);
}

/** The action for an element whose tag the table does not list. Dates and times come here only where they are not shifted. */
export function decideUnlisted(view: ElementView, context: UnlistedContext): Action {
  if (view.length === 0) return KEEP;
  const named = dictionaryVr(view.tag);
  if (named !== undefined && isDisguised(named, view)) return tables().technical.has(view.tag) && view.vr === 'CS' ? technicalText(view, context) : byType(view);
  switch (view.vr) {
    case 'SQ': return { kind: 'recurse' };
    case 'UI': return uid(view, context);
    case 'PN': return { kind: 'replace', value: dummy(view.tag, 'PN') };
    case 'AS': return isLong(view) ? REMOVE : age(view);
    case 'AE': case 'DA': case 'DT': case 'TM': return byType(view);
    case 'LO': case 'LT': case 'SH': case 'ST': case 'UC': case 'UR': case 'UT':
      return tables().technical.has(view.tag) ? technicalText(view, context) : byType(view);
    // What nobody knows may be a code of anything.
    case 'CS':
      if (named === undefined) return REMOVE;
      return TERM_VRS.has(named) && named !== 'CS' || NUMBER_VRS.has(named) || STREAM_VRS.has(named) ? numbers(view) : codes(view, context);
    case 'DS': case 'IS': return numbers(view);
    case 'UN': return REMOVE;
    default: return binary(view, named);
  }
}
