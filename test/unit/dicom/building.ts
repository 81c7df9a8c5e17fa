/** Makes DICOM files for tests, with its own encoder and its own reader, so that the engine is never its own witness. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { deflateRawSync } from 'node:zlib';

export const LONG = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);
const UNDEFINED = 0xffffffff;

export type Syntax = 'implicit' | 'explicit' | 'big' | 'deflated';
export const SYNTAX_UID: Readonly<Record<Syntax, string>> = {
  implicit: '1.2.840.10008.1.2', explicit: '1.2.840.10008.1.2.1', big: '1.2.840.10008.1.2.2', deflated: '1.2.840.10008.1.2.1.99',
};

/** What follows a tag and a VR: text, bytes (as they stand in the file), items, or fragments. */
export type Content = string | Buffer | { readonly items: ReadonlyArray<readonly Element[]>; readonly undefinedLength?: boolean; readonly undefinedItems?: boolean } | { readonly fragments: readonly Buffer[] };
export type Element = readonly [tag: number, vr: string, content: Content];

function uint(value: number, size: 2 | 4, big: boolean): Buffer {
  const bytes = Buffer.alloc(size);
  if (big) bytes.writeUIntBE(value, 0, size);
  else bytes.writeUIntLE(value, 0, size);
  return bytes;
}

const tagBytes = (tag: number, big: boolean): Buffer => Buffer.concat([uint(tag >>> 16, 2, big), uint(tag & 0xffff, 2, big)]);

export function header(tag: number, vr: string, length: number, syntax: Syntax): Buffer {
  const big = syntax === 'big';
  if (syntax === 'implicit' || tag >>> 16 === 0xfffe) return Buffer.concat([tagBytes(tag, big), uint(length, 4, big)]);
  if (LONG.has(vr)) return Buffer.concat([tagBytes(tag, big), Buffer.from(`${vr}\0\0`), uint(length, 4, big)]);
  return Buffer.concat([tagBytes(tag, big), Buffer.from(vr), uint(length % 65_536, 2, big)]);
}

export function element([tag, vr, content]: Element, syntax: Syntax): Buffer {
  if (typeof content === 'string') {
    const text = content.length % 2 === 1 ? content + (vr === 'UI' ? '\0' : ' ') : content;
    return Buffer.concat([header(tag, vr, text.length, syntax), Buffer.from(text, 'latin1')]);
  }
  if (Buffer.isBuffer(content)) return Buffer.concat([header(tag, vr, content.length, syntax), content]);
  if ('fragments' in content) {
    return Buffer.concat([
      header(tag, vr, UNDEFINED, syntax),
      ...content.fragments.flatMap((fragment) => [header(0xfffee000, '', fragment.length, syntax), fragment]),
      header(0xfffee0dd, '', 0, syntax),
    ]);
  }
  // UN of undefined length is implicit inside (PS3.5, 6.2.2).
  const inner = vr === 'UN' ? 'implicit' : syntax;
  const { items, undefinedLength = false, undefinedItems = undefinedLength } = content;
  const body = Buffer.concat(items.map((item) => {
    const inside = dataSet(item, inner);
    return undefinedItems
      ? Buffer.concat([header(0xfffee000, '', UNDEFINED, inner), inside, header(0xfffee00d, '', 0, inner)])
      : Buffer.concat([header(0xfffee000, '', inside.length, inner), inside]);
  }));
  return undefinedLength
    ? Buffer.concat([header(tag, vr, UNDEFINED, syntax), body, header(0xfffee0dd, '', 0, inner)])
    : Buffer.concat([header(tag, vr, body.length, syntax), body]);
}

export const dataSet = (content: readonly Element[], syntax: Syntax): Buffer => Buffer.concat(content.map((one) => element(one, syntax)));

export const CLASS = '1.2.840.10008.5.1.4.1.1.7';
export const INSTANCE = '1.2.3.4';

/** A small secondary capture; `more` replaces and adds by tag. */
export function elements(...more: readonly Element[]): Element[] {
  const base: readonly Element[] = [
    [0x00080016, 'UI', CLASS], [0x00080018, 'UI', INSTANCE], [0x00080020, 'DA', '20240229'], [0x00080060, 'CS', 'OT'],
    [0x00100010, 'PN', 'DOE^JANE'], [0x00100020, 'LO', 'PID1'], [0x0020000d, 'UI', '1.2.3'], [0x0020000e, 'UI', '1.2.3.5'],
    [0x00280010, 'US', Buffer.from([4, 0])], [0x7fe00010, 'OW', Buffer.from([1, 2, 3, 4, 5, 6, 7, 8])],
  ];
  const all = new Map<number, Element>();
  for (const one of [...base, ...more]) all.set(one[0], one);
  return [...all.values()].sort((one, other) => one[0] - other[0]);
}

export interface MetaOptions {
  readonly transferSyntax?: string;
  readonly sopClass?: string;
  readonly sopInstance?: string;
  readonly groupLength?: number | 'missing';
}

export function meta({ transferSyntax = SYNTAX_UID.explicit, sopClass = CLASS, sopInstance = INSTANCE, groupLength }: MetaOptions = {}): Buffer {
  const body = dataSet([
    [0x00020001, 'OB', Buffer.from([0, 1])],
    ...(sopClass === '' ? [] : [[0x00020002, 'UI', sopClass] as const]),
    ...(sopInstance === '' ? [] : [[0x00020003, 'UI', sopInstance] as const]),
    [0x00020010, 'UI', transferSyntax], [0x00020012, 'UI', '1.2.9'], [0x00020016, 'AE', 'SECRET'],
  ], 'explicit');
  if (groupLength === 'missing') return body;
  const length = Buffer.alloc(4);
  length.writeUInt32LE(groupLength ?? body.length);
  return Buffer.concat([element([0x00020000, 'UL', length], 'explicit'), body]);
}

export const PREAMBLE = Buffer.concat([Buffer.alloc(128, 0x41), Buffer.from('DICM')]);

/** A whole Part 10 file. */
export function file(content: readonly Element[] | Buffer, syntax: Syntax = 'explicit', options: MetaOptions = {}): Buffer {
  const body = Buffer.isBuffer(content) ? content : dataSet(content, syntax);
  return Buffer.concat([PREAMBLE, meta({ transferSyntax: SYNTAX_UID[syntax], ...options }), syntax === 'deflated' ? deflateRawSync(body) : body]);
}

/** A folder that goes when the test has ended. */
export function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'exdicom-dicom-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export const SHARED = join(process.cwd(), '..', 'shared', 'data');

export interface SharedFile {
  readonly name: string;
  readonly path: string;
  /** dcmdump and pydicom read it to its end. */
  readonly dcmdump: boolean;
  readonly pydicom: boolean;
}

/** Every DICOM file of the shared data, as TOOLS.tsv lists them; empty where the data is not there. */
export function sharedFiles(): SharedFile[] {
  const table = join(SHARED, 'TOOLS.tsv');
  if (!existsSync(table)) return [];
  return readFileSync(table, 'utf8').trim().split('\n').slice(1).map((line) => {
    const [name = '', dcmdump, , , pydicom] = line.split('\t');
    return { name, path: join(SHARED, name), dcmdump: dcmdump === 'ok', pydicom: pydicom === 'ok' };
  });
}

export const withoutShared = (): string | false => existsSync(join(SHARED, 'TOOLS.tsv')) ? false : 'the shared test data is not there';
