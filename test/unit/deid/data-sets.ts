/** Data sets as trees, for tests of the rules: walked as the element engine would, and written as files. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ElementView, NewElement, Refusal, Rules, Tag } from '../../../nodes/engine/dicom/rewrite-types';
import { compileProfile } from '../../../nodes/engine/deid/profile';
import type { ProfileSettings } from '../../../nodes/engine/deid/profile';
import { RISK_CODES } from '../../../nodes/engine/deid/risk';
import { DeidentificationRules } from '../../../nodes/engine/deid/rules';

export const KEY = Buffer.from('0123456789abcdef0123456789abcdef');
export const SHARED = join(process.cwd(), '../shared/data');
export const withShared = existsSync(SHARED) ? {} : { skip: 'no ../shared/data' };

export type Items = ReadonlyArray<readonly NewElement[]>;

export const el = (tag: Tag, vr: string, value: string | Buffer = ''): NewElement => ({ tag, vr, value: typeof value === 'string' ? Buffer.from(value, 'latin1') : value });
export const sq = (tag: Tag, ...items: Items): NewElement => ({ tag, vr: 'SQ', value: items });

const byTag = (one: NewElement, other: NewElement): number => one.tag - other.tag;

/** A CT image with what every file has, and these elements besides, in order of tags. */
export function ct(...elements: readonly NewElement[]): NewElement[] {
  const defaults = [
    el(0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.2'), el(0x00080018, 'UI', '1.2.3.4'), el(0x00080060, 'CS', 'CT'), el(0x00100010, 'PN', 'Dolittle^Jane'),
    el(0x00100020, 'LO', 'MRN-4711'), el(0x0020000d, 'UI', '1.2.3'), el(0x0020000e, 'UI', '1.2.3.1'),
  ];
  const given = new Set(elements.map(({ tag }) => tag));
  return [...defaults.filter(({ tag }) => !given.has(tag)), ...elements].toSorted(byTag);
}

function viewOf({ tag, vr, value }: NewElement, path: readonly Tag[], item: number | undefined): ElementView {
  return {
    tag, vr, path, item, privateCreator: undefined,
    length: Buffer.isBuffer(value) ? value.length : undefined,
    value: () => {
      if (!Buffer.isBuffer(value)) throw new RangeError('a sequence has no value');
      return value;
    },
    latin1: () => (Buffer.isBuffer(value) ? value.toString('latin1') : ''),
    ascii: () => (Buffer.isBuffer(value) ? value.toString('latin1').replace(/[\0 ]+$/, '') : ''),
  };
}

function walk(rules: Rules, elements: readonly NewElement[], path: readonly Tag[], item: number | undefined): NewElement[] {
  return elements.flatMap((element): NewElement[] => {
    const action = rules.element(viewOf(element, path, item));
    switch (action.kind) {
      case 'keep': return [element];
      case 'remove': return [];
      case 'empty': return [{ ...element, value: Buffer.alloc(0) }];
      case 'replace': return [{ ...element, value: action.value }];
      case 'items': return [{ ...element, vr: 'SQ', value: action.items }];
      case 'recurse': {
        const { value } = element;
        return Buffer.isBuffer(value) ? [] : [{ ...element, value: value.map((inner, n) => walk(rules, inner, [...path, element.tag], n)) }];
      }
    }
  });
}

export const settings = (more: Partial<ProfileSettings> = {}): ProfileSettings => ({ name: 'test', scope: '', preset: 'basic', allowedRisks: RISK_CODES, ...more });

export function rulesFor(more: Partial<ProfileSettings> = {}, issuer = '', key: Buffer = KEY): DeidentificationRules {
  return new DeidentificationRules({ profile: compileProfile(settings(more)), key, issuer });
}

const CONTEXT = { transferSyntaxUID: '1.2.840.10008.1.2.1', mediaStorageSOPClassUID: '', mediaStorageSOPInstanceUID: '' };

export function begin(rules: Rules, elements: readonly NewElement[], transferSyntaxUID = CONTEXT.transferSyntaxUID): Refusal | undefined {
  const head = new Map(elements.filter(({ tag }) => rules.wanted.includes(tag)).map((element) => [element.tag, viewOf(element, [], undefined)]));
  return rules.begin(head, { ...CONTEXT, transferSyntaxUID });
}

/** The de-identified data set. Fails the test where the rules refuse it. */
export function deidentify(rules: Rules, elements: readonly NewElement[]): NewElement[] {
  const refusal = begin(rules, elements);
  if (refusal !== undefined) throw new Error(`refused: ${refusal.code}`);
  const additions = rules.additions();
  const replaced = new Set(additions.map(({ tag }) => tag));
  return [...walk(rules, elements.filter(({ tag }) => !replaced.has(tag)), [], undefined), ...additions].toSorted(byTag);
}

export function find(elements: readonly NewElement[], ...path: readonly Tag[]): NewElement | undefined {
  const [tag, ...rest] = path;
  const found = elements.find((element) => element.tag === tag);
  if (found === undefined || rest.length === 0) return found;
  return Buffer.isBuffer(found.value) ? undefined : find(found.value[0] ?? [], ...rest);
}

export function text(elements: readonly NewElement[], ...path: readonly Tag[]): string | undefined {
  const value = find(elements, ...path)?.value;
  return Buffer.isBuffer(value) ? value.toString('latin1') : undefined;
}

const LONG = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);

/** Explicit VR Little Endian, sequences and items of defined length. */
export function encode(elements: readonly NewElement[]): Buffer {
  return Buffer.concat(elements.flatMap(({ tag, vr, value }) => {
    const content = Buffer.isBuffer(value) ? value : Buffer.concat(value.map((item) => {
      const inner = encode(item);
      const header = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
      header.writeUInt32LE(inner.length, 4);
      return Buffer.concat([header, inner]);
    }));
    const padded = content.length % 2 === 0 ? content : Buffer.concat([content, Buffer.from(vr === 'UI' || vr.startsWith('O') || vr === 'UN' ? '\0' : ' ')]);
    const header = Buffer.alloc(LONG.has(vr) ? 12 : 8);
    header.writeUInt16LE(tag >>> 16, 0);
    header.writeUInt16LE(tag & 0xffff, 2);
    header.write(vr, 4, 'latin1');
    if (LONG.has(vr)) header.writeUInt32LE(padded.length, 8);
    else header.writeUInt16LE(padded.length, 6);
    return [header, padded];
  }));
}

/** A Part 10 file with a preamble that says something. */
export function part10(elements: readonly NewElement[]): Buffer {
  const meta = encode([
    el(0x00020001, 'OB', Buffer.from([0, 1])), el(0x00020002, 'UI', text(elements, 0x00080016) ?? ''), el(0x00020003, 'UI', text(elements, 0x00080018) ?? ''),
    el(0x00020010, 'UI', '1.2.840.10008.1.2.1'), el(0x00020016, 'AE', 'METAAET'),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  return Buffer.concat([Buffer.alloc(128, 'preamble'), Buffer.from('DICM'), encode([el(0x00020000, 'UL', length)]), meta, encode(elements)]);
}
