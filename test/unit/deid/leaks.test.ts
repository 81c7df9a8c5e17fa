import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dictionaryVr } from '../../../nodes/engine/dicom/dictionary';
import { WANTED } from '../../../nodes/engine/deid/subject';
import { tables } from '../../../nodes/engine/deid/tables';
import { dataSet, element, header } from '../dicom/building';
import type { Element, Syntax } from '../dicom/building';
import { rulesFor } from './data-sets';
import { Bench, image } from './planting';

const MODES = [['basic', rulesFor()], ['shifted', rulesFor({ preset: 'basic-shifted-dates' })]] as const;
const SYNTAXES = ['explicit', 'implicit', 'big', 'deflated'] as const satisfies readonly Syntax[];
const TEXT = new Set(['AE', 'LO', 'LT', 'SH', 'ST', 'UC', 'UR', 'UT', 'PN', 'DA', 'DT', 'TM', 'UI', 'SQ']);

/** Tags of the dictionary outside of groups that always go, whose values are words, names, dates, UIDs or sequences. */
function wordy(): number[] {
  const found: number[] = [];
  for (let group = 0x0008; group <= 0x7fde; group += 2) {
    if (group > 0x0088 && ![0x0100, 0x0400, 0x2000, 0x2010, 0x2020, 0x2030, 0x2040, 0x2050, 0x2100, 0x2110, 0x2120, 0x2130, 0x2200, 0x3002, 0x3004, 0x3006, 0x3008, 0x300a, 0x300c, 0x300e, 0x3010, 0x4000, 0x4008, 0x4010, 0x5200, 0x5400, 0x5600].includes(group)) continue;
    for (let number = 1; number <= 0xffff; number += 1) {
      const tag = group * 65_536 + number;
      if (TEXT.has(dictionaryVr(tag) ?? '')) found.push(tag);
    }
  }
  return found;
}

/** The head of every file: not for planting. */
const NEEDED = new Set([0x00080016, 0x00080018, 0x0020000d, 0x0020000e, 0x00080005]);

const even = (text: string): string => (text.length % 2 === 0 ? text : `${text} `);

test('a word in any attribute of words, names, dates, UIDs or items does not get out as any other VR', async (t) => {
  const bench = new Bench(t);
  const tags = wordy().filter((tag) => !NEEDED.has(tag));
  assert.ok(tags.length > 2000);
  const left: string[] = [];
  for (const vr of ['AE', 'AS', 'AT', 'CS', 'DA', 'DS', 'DT', 'FD', 'FL', 'IS', 'OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SL', 'SQ', 'SS', 'SV', 'TM', 'UI', 'UL', 'UN', 'US', 'UV', 'PN', 'LO', 'UT', 'ZZ', '??']) {
    const tokens = new Map<string, number>();
    // What decides about the file costs it as items, which is not for here.
    const plant = (depth: number): Element[] => tags.filter((tag) => vr !== 'SQ' || depth > 0 || !WANTED.includes(tag)).map((tag, n): Element => {
      const token = even(`ZQ${depth}${String(n).padStart(4, '0')}Z`);
      tokens.set(token.trim(), tag);
      return [tag, vr, token];
    });
    const text = new Map(tags.map((tag) => [tag, dictionaryVr(tag)]));
    const content = [...plant(0), [0x52009230, 'SQ', { items: [plant(1)] }] as const].filter(([tag], at, all) => tag === 0x52009230 ? at === all.length - 1 : true);
    for (const [mode, rules] of MODES) {
      const { result, bytes } = await bench.of(content, rules, 'explicit');
      // Nobody knows how long the headers of these are.
      assert.equal(result.kind, ['ZZ', '??'].includes(vr) ? 'unreadable' : 'written', vr);
      for (const [token, tag] of tokens) {
        if (!bytes.includes(token)) continue;
        // What a former de-identification said stays; technical words may be written with any VR of words.
        if (tag === 0x00120063 || tables().technical.has(tag) && (TEXT.has(vr) || ['CS', 'UN'].includes(vr))) continue;
        left.push(`${vr} ${mode} ${tag.toString(16)} ${text.get(tag) ?? ''}`);
      }
    }
  }
  assert.deepEqual(left, []);
});

const WORD = 'ZQ0815ZQ';

interface Attack {
  readonly name: string;
  readonly content: readonly Element[];
}

/** Values that are legal up to a NUL or another control character, and then say something. */
function afterNul(): Attack[] {
  const values: ReadonlyArray<readonly [tag: number, vr: string, value: string]> = [
    [0x00080070, 'LO', 'ACME'], [0x00081090, 'LO', 'One'], [0x00181210, 'SH', 'B30f'], [0x00180015, 'CS', 'HEAD'], [0x00080008, 'CS', 'ORIGINAL\\PRIMARY'], [0x00180050, 'DS', '1.5'], [0x00200013, 'IS', '7'],
    [0x00101010, 'AS', '045Y'], [0x00080020, 'DA', '20240229'], [0x00080030, 'TM', '101112'], [0x0008002a, 'DT', '20240229101112'], [0x00080201, 'SH', '+0100'], [0x00141020, 'DA', '20240229'],
    [0x00081150, 'UI', '1.2.840.10008.5.1.4.1.1.2'], [0x00200052, 'UI', '1.2.840.10008.1.4.1.1'], [0x00080005, 'CS', 'ISO_IR 100'], [0x0008010c, 'UI', '2.16.840.1.113883.6.1'],
    [0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.2'], [0x00120063, 'LO', 'CTP'],
  ];
  return values.flatMap(([tag, vr, value]) => ['\0', '\0\0\0', ' \0', '\x01', '\r\n\0', '\\\0'].map((between) => ({ name: `${tag.toString(16)} ${JSON.stringify(between)}`, content: [[tag, vr, `${value}${between}${WORD}`] as const] })));
}

test('what stands behind the end of a text does not get out', async (t) => {
  const bench = new Bench(t);
  const left: string[] = [];
  for (const { name, content } of afterNul()) {
    for (const [mode, rules] of MODES) {
      for (const nested of [false, true]) {
        const { bytes } = await bench.of(nested ? [[0x52009230, 'SQ', { items: [content] }]] : content, rules);
        if (bytes.includes(WORD)) left.push(`${name} ${mode} ${nested ? 'nested' : 'top'}`);
      }
    }
  }
  assert.deepEqual(left, []);
});

test('letters that occur in numbers are no numbers', async (t) => {
  const bench = new Bench(t);
  for (const name of ['Nina', 'ANNA', 'Fafe', 'Ian\\Finn', '1.5 Ina', 'eE', '12 34 56']) {
    const { bytes } = await bench.of([[0x00180050, 'DS', even(name)], [0x00200013, 'IS', even(name)]], rulesFor());
    assert.ok(!bytes.includes(name), name);
  }
  const numbers = ['1.5\\-2 \\ +3e-5\\.5\\1.\\1,5\\', 'NaN\\-inf', ' 12'];
  for (const value of numbers) assert.ok((await bench.of([[0x00180050, 'DS', even(value)]], rulesFor())).bytes.includes(value), value);
});

test('group lengths that are none, or of private groups, go at every depth', async (t) => {
  const bench = new Bench(t);
  for (const syntax of SYNTAXES) {
    for (const tag of [0x00090000, 0x00110000, 0x00280000, 0x50000000]) {
      for (const value of ['QZQJ', 'QZQJOHNQ', 'QZ']) {
        const inner: Element = [tag, 'UL', value];
        for (const content of [[inner], [[0x52009230, 'SQ', { items: [[inner]] }]], [[0x52009230, 'SQ', { items: [[[0x52009230, 'SQ', { items: [[inner]], undefinedLength: true }]]] }]]] as ReadonlyArray<readonly Element[]>) {
          const { bytes } = await bench.of(content, rulesFor(), syntax);
          assert.ok(!bytes.includes(value === 'QZ' ? element(inner, syntax).toString('latin1') : value), `${syntax} ${tag.toString(16)} ${value}`);
        }
      }
    }
  }
});

test('a SOP Class or Transfer Syntax that is no UID does not get out', async (t) => {
  const bench = new Bench(t);
  const all = [['all', rulesFor({})], ['none', rulesFor({ allowedRisks: [] })]] as const;
  for (const [mode, rules] of all) {
    for (const wrong of [WORD, `1.2.840.10008.5.1.4.1.1.2 ${WORD}`, `1.2.840.10008.5.1.4.1.1.2\\${WORD}`, `1.2.840.10008.5.1.4.1.1.2\0${WORD}`, `1.2.840.10008.${WORD}`]) {
      assert.ok(!(await bench.of([[0x00080016, 'UI', wrong]], rules)).bytes.includes(WORD), `${mode} ${wrong}`);
      assert.ok(!(await bench.of([[0x00080016, 'UI', '']], rules, 'explicit', { sopClass: wrong })).bytes.includes(WORD), `${mode} meta ${wrong}`);
      assert.ok(!(await bench.of([], rules, 'explicit', { sopClass: wrong })).bytes.includes(WORD), `${mode} meta beside ${wrong}`);
      assert.ok(!(await bench.of([], rules, 'explicit', { transferSyntax: wrong })).bytes.includes(WORD), `${mode} syntax ${wrong}`);
      assert.ok(!(await bench.of([], rules, 'explicit', { sopInstance: wrong })).bytes.includes(WORD), `${mode} instance ${wrong}`);
      assert.ok(!(await bench.of([[0x52009230, 'SQ', { items: [[[0x00081150, 'UI', wrong]]] }]], rules)).bytes.includes(WORD), `${mode} nested ${wrong}`);
    }
  }
});

/** Kept elements of every kind, each with a length that takes in the whole elements behind it. */
test('an element that claims the elements behind it does not carry them out', async (t) => {
  const bench = new Bench(t);
  const kept: ReadonlyArray<readonly [tag: number, vr: string, value: string | Buffer]> = [
    [0x00080008, 'CS', 'ORIGINAL'], [0x00080070, 'LO', 'ACME'], [0x00180050, 'DS', '1.50'], [0x00189073, 'FD', Buffer.alloc(8)], [0x00189328, 'FD', Buffer.alloc(8)], [0x00200013, 'IS', '1 '], [0x00200052, 'UI', '1.2.840.10008.1.4.1.1\0'],
    [0x00280010, 'US', Buffer.from([4, 0])], [0x00280009, 'AT', Buffer.alloc(4)], [0x00281201, 'OW', Buffer.alloc(16)], [0x00282000, 'OB', Buffer.alloc(16)], [0x00280106, 'SS', Buffer.alloc(2)],
    [0x00281101, 'US', Buffer.alloc(6)], [0x00660016, 'OF', Buffer.alloc(12)],
  ];
  const behind: ReadonlyArray<readonly Element[]> = [
    [[0x00720004, 'LO', WORD]], [[0x00720002, 'SH', WORD], [0x00720004, 'LO', `${WORD} `]], [[0x0072000c, 'SQ', { items: [[[0x00100010, 'PN', WORD]]] }]],
    [[0x0072000c, 'SQ', { items: [[[0x00100010, 'PN', WORD]]], undefinedLength: true }]], [[0x00720014, 'US', Buffer.alloc(2)], [0x00730010, 'LO', 'ACME'], [0x00731001, 'UN', WORD]],
  ];
  const left: string[] = [];
  for (const syntax of SYNTAXES) {
    for (const [tag, vr, value] of kept) {
      for (const [n, hidden] of behind.entries()) {
        const tail = dataSet(hidden, syntax);
        const content = Buffer.isBuffer(value) ? value : Buffer.from(value, 'latin1');
        const whole = Buffer.concat([header(tag, vr, content.length + tail.length, syntax), content, tail]);
        const [before, after] = [image().filter(([other]) => other < tag), image().filter(([other]) => other > tag)].map((part) => dataSet(part, syntax)) as [Buffer, Buffer];
        const item = Buffer.concat([header(0xfffee000, '', whole.length, syntax), whole]);
        const nested = dataSet(image([0x00081115, 'SQ', Buffer.concat([item])]), syntax);
        for (const [place, body] of [['top', Buffer.concat([before, whole, after])], ['nested', nested]] as const) {
          const { bytes } = await bench.of(body, rulesFor(), syntax);
          if (bytes.includes(WORD)) left.push(`${syntax} ${tag.toString(16)} ${vr} ${n} ${place}`);
        }
      }
    }
  }
  assert.deepEqual(left, []);
});

/** Everything that a careless system writes, in every form that a data set knows; each word once. */
function sink(syntax: Syntax): { readonly content: Element[]; readonly words: readonly string[] } {
  const words: string[] = [];
  const word = (): string => {
    const made = `ZQ${String(words.length).padStart(4, '0')}Q`;
    words.push(made);
    return `${made} `;
  };
  const code = (scheme: string): Element => [0x0040a043, 'SQ', { items: [[[0x00080100, 'SH', 'X1'], [0x00080102, 'SH', scheme], [0x00080104, 'LO', scheme === '99HERE' ? word() : 'Finding ']]] }];
  const known = new Set([0x00080016, 0x00080018, 0x00080060, 0x0020000d, 0x0020000e, 0x00080005]);
  const listed = (vr?: string): Element[] => [...tables().rows].filter(([tag]) => tag >>> 16 > 6 && !known.has(tag)).map(([tag, row]): Element => {
    // The inside of UN is Implicit VR Little Endian whatever is around it.
    if (row.vr === 'SQ') return [tag, vr ?? 'SQ', { items: [[[0x00100010, 'PN', `${word()}=${word()}=${word()}`], [0x00104000, 'LT', word()]]], undefinedLength: tag % 3 === 0 || vr === 'UN' }];
    return [tag, vr ?? row.vr, row.vr === 'PN' ? `${word()}=${word()}^${word()}\\${word()}` : row.vr === 'UI' ? `${word()}\\1.2.840.10008.1.2\\${word()}` : `${word()}\\${word()}`];
  });
  const others = (): Element[] => [
    [0x00090010, 'LO', 'ACME'], [0x00091001, 'UN', word()], [0x00091002, 'SQ', { items: [[[0x00100010, 'PN', word()]]], undefinedLength: true }], [0x00091003, 'OB', word()], [0x00191001, 'LO', word()],
    [0x00280303, 'CS', `${word()}^`], [0x00286022, 'LO', word()], [0x00700001, 'SQ', { items: [[[0x00700008, 'SQ', { items: [[[0x00700006, 'ST', word()]]] }]]] }], [0x00700060, 'SQ', { items: [[[0x00700068, 'LO', word()]]] }], [0x00700080, 'CS', `${word()}^`],
    [0x00880200, 'SQ', { items: [[[0x7fe00010, 'OB', word()]]] }], [0x30060020, 'SQ', { items: [[[0x30060026, 'LO', word()], [0x30060028, 'ST', word()]]] }], [0x30060080, 'SQ', { items: [[[0x30060085, 'SH', word()], [0x300600a6, 'PN', word()]]] }],
    [0x0040a730, 'SQ', { items: ['UTEXT', 'PNAME', 'UIDREF', 'CODE', 'DATETIME'].map((type) => [
      [0x0040a010, 'CS', 'CONTAINS'], [0x0040a040, 'CS', type], code(type === 'CODE' ? '99HERE' : 'DCM'), [0x0040a120, 'DT', word()], [0x0040a123, 'PN', word()], [0x0040a124, 'UI', word()], [0x0040a160, 'UT', word()],
      [0x0040a730, 'SQ', { items: [[[0x0040a160, 'UT', word()]]], undefinedLength: type === 'CODE' }],
    ] satisfies Element[]).map((item) => item.toSorted((one, other) => one[0] - other[0])) }],
    [0x50000010, 'US', 'ab'], [0x50003000, 'OW', word()], [0x50020022, 'LO', word()], [0x60000022, 'LO', word()], [0x60001500, 'LO', word()], [0x60003000, 'OW', word()], [0x60220050, 'SS', word()],
    [0xfffafffa, 'SQ', { items: [[[0x04000120, 'OB', word()]]] }], [0xfffcfffc, 'OB', word()],
  ];
  const merged = (...parts: ReadonlyArray<readonly Element[]>): Element[] => [...new Map(parts.flat().map((one) => [one[0], one] as const)).values()].toSorted((one, other) => one[0] - other[0]);
  const inner = merged(listed(), others());
  const content = merged(
    listed(), others(),
    [[0x52009229, 'SQ', { items: [inner, merged(listed(), others())] }], [0x52009230, 'SQ', { items: [[[0x00409096, 'SQ', { items: [merged(listed(), others())], undefinedLength: true }]]], undefinedLength: true }]],
    syntax === 'implicit' ? [] : [[0x00081115, 'UN', { items: [merged(listed(), others())], undefinedLength: true }]],
    [[0x00200242, 'UI', word()]],
  );
  return { content: image(...content.filter(([tag]) => !known.has(tag))), words };
}

test('one word of each kind, in every place and encoding, and none gets out', async (t) => {
  const bench = new Bench(t);
  for (const syntax of SYNTAXES) {
    const { content, words } = sink(syntax);
    assert.ok(words.length > 2000);
    const body = dataSet(content, syntax);
    // What stands twice under one tag was merged away; all others are there to be found.
    const planted = words.filter((word) => body.includes(word));
    assert.ok(planted.length > 2000, `${planted.length}`);
    for (const [mode, rules] of MODES) {
      for (const [n, bytes] of [body, syntax === 'deflated' ? body : Buffer.concat([body, Buffer.from(WORD), Buffer.alloc(3)])].entries()) {
        const { result, bytes: out } = await bench.of(bytes, rules, syntax);
        assert.equal(result.kind, 'written', `${syntax} ${n} ${JSON.stringify(result)}`);
        assert.deepEqual([...planted, WORD, 'AAAAAAAA', 'SECRET'].filter((word) => out.includes(word)), [], `${syntax} ${mode}`);
      }
    }
  }
});

test('elements of a command in front of the data set, and of File Meta Information within it, go and cost nothing', async (t) => {
  const bench = new Bench(t);
  for (const syntax of SYNTAXES) {
    const inner = syntax === 'deflated' ? 'explicit' : syntax;
    const stray = [[0x00000000, 'UL', Buffer.alloc(4)], [0x00000002, 'UI', '1.2.840.10008.5.1.4.1.1.2'], [0x00000600, 'AE', WORD], [0x00020016, 'AE', WORD]] as const;
    for (const from of [0, 1, 3]) {
      const { result, bytes } = await bench.of(dataSet([...stray.slice(from), ...image()], inner), rulesFor(), syntax);
      assert.equal(result.kind, 'written', `${syntax} ${from}`);
      assert.ok(!bytes.includes(WORD));
    }
    const { result } = await bench.of(dataSet([...image().slice(0, 3), ...stray.slice(2), ...image().slice(3)], inner), rulesFor(), syntax);
    assert.equal(result.kind, 'unreadable', 'a command in the middle is none');
  }
});
