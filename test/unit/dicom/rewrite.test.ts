import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, openSync, closeSync, readdirSync, readFileSync, statSync, ftruncateSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { rewriteFile } from '../../../nodes/engine/dicom/rewrite';
import type { ElementView, RewriteResult, Rules } from '../../../nodes/engine/dicom/rewrite-types';
import { CLASS, dataSet, element, elements, file, folder, header, INSTANCE, SYNTAX_UID } from './building';
import type { Element, Syntax } from './building';
import { byPath, metaText, readDataSet, readFile } from './reading';
import type { Read } from './reading';
import { byTag, EMPTY, KEEP, RECURSE, REMOVE, replace, rules } from './ruling';

type Written = Extract<RewriteResult, { kind: 'written' }>;

const PATIENT_NAME = 0x00100010;
const PRIVATE = 0x00091001;
const SEQUENCE = 0x00081140;
const REFERENCED = 0x00081155;
const ALL: readonly Syntax[] = ['explicit', 'implicit', 'big', 'deflated'];

async function run(context: TestContext, bytes: Buffer, given: Rules): Promise<{ result: RewriteResult; output: Buffer | undefined; left: string[] }> {
  const at = folder(context);
  writeFileSync(join(at, 'in'), bytes);
  const result = await rewriteFile(join(at, 'in'), join(at, 'out'), given);
  const output = existsSync(join(at, 'out')) ? readFileSync(join(at, 'out')) : undefined;
  return { result, output, left: readdirSync(at).filter((name) => name !== 'in') };
}

/** Rewrites what has to succeed, and checks what is true of every result. */
async function written(context: TestContext, bytes: Buffer, given: Rules): Promise<{ result: Written; output: Buffer; body: Buffer }> {
  const { result, output, left } = await run(context, bytes, given);
  assert.equal(result.kind, 'written', JSON.stringify(result));
  assert.ok(output !== undefined);
  assert.deepEqual(left, ['out']);
  assert.equal(result.bytes, output.length);
  assert.equal(result.sha256, createHash('sha256').update(output).digest('hex'));
  return { result, output, body: readFile(output).dataSet };
}

const parsed = (body: Buffer, syntax: Syntax): Map<string, Read> =>
  byPath(readDataSet(body, syntax !== 'implicit', syntax === 'big', (tag) => tag === SEQUENCE));

for (const syntax of ALL) {
  test(`keeping everything keeps the data set byte for byte in ${syntax}`, async (context) => {
    const content = elements(
      [0x00080000, 'UL', Buffer.alloc(4, 9)],
      [SEQUENCE, 'SQ', { items: [[[REFERENCED, 'UI', '1.2']], []], undefinedLength: true }],
      [PRIVATE, 'UN', Buffer.from([1, 2, 3])],
    );
    const { result, output, body } = await written(context, file(content, syntax), rules());
    assert.deepEqual(body, dataSet(content, syntax));
    assert.equal(result.transferSyntaxUID, SYNTAX_UID[syntax]);
    assert.equal(output.length % 2 === 0 || syntax !== 'deflated', true, 'a deflated data set has an even length');
  });

  test(`elements are removed, emptied and replaced in ${syntax}, in the byte order of the file, padded`, async (context) => {
    const content = elements([0x00080050, 'SH', 'ACC'], [0x00280106, 'US', Buffer.from([1, 2])], [0x00100040, 'CS', 'F']);
    const { body } = await written(context, file(content, syntax), rules({
      element: byTag({ [PATIENT_NAME]: replace('ANONYMOUS'), 0x00080050: EMPTY, 0x00100040: REMOVE, 0x00280106: replace(Buffer.from([7, 0])), 0x0020000e: replace('2.25.1') }),
    }));
    const us = syntax === 'big' ? Buffer.from([0, 7]) : Buffer.from([7, 0]);
    const expected = content.flatMap(([tag, vr, value]): Element[] => {
      if (tag === 0x00100040) return [];
      return [[tag, vr, tag === PATIENT_NAME ? 'ANONYMOUS' : tag === 0x00080050 ? '' : tag === 0x00280106 ? us : tag === 0x0020000e ? '2.25.1' : value]];
    });
    assert.deepEqual(body, dataSet(expected, syntax));
  });

  for (const undefinedLength of [false, true]) {
    test(`a change deep inside ${undefinedLength ? 'undefined' : 'defined'} lengths in ${syntax} mends every length around it and no other byte`, async (context) => {
      const nested = (name: string): Element => [SEQUENCE, 'SQ', {
        undefinedLength,
        items: [
          [[REFERENCED, 'UI', '1.2.3'], [SEQUENCE, 'SQ', { undefinedLength, items: [[[PATIENT_NAME, 'PN', name]], [[0x00080005, 'CS', '']]] }]].sort((one, other) => Number(one[0]) - Number(other[0])) as unknown as Element[],
          [[REFERENCED, 'UI', '1.2.4']],
        ],
      }];
      const { body } = await written(context, file(elements(nested('DOE^A^LONGER^NAME')), syntax), rules({ element: byTag({ [PATIENT_NAME]: replace('X') }) }));
      assert.deepEqual(body, dataSet(elements(nested('X'), [PATIENT_NAME, 'PN', 'X']), syntax));
    });
  }
}

test('File Meta Information is ours alone: zero preamble, the UIDs of the result, what the rules add', async (context) => {
  const { output, result } = await written(context, file(elements()), rules({
    element: byTag({ 0x00080018: replace('2.25.77') }),
    fileMeta: [{ tag: 0x00020012, vr: 'UI', value: Buffer.from('2.25.5') }, { tag: 0x00020013, vr: 'SH', value: Buffer.from('TEST') }],
  }));
  const read = readFile(output);
  assert.ok(read.preamble.every((byte) => byte === 0));
  assert.deepEqual([...read.meta.keys()].map((tag) => tag.toString(16)), ['20001', '20002', '20003', '20010', '20012', '20013']);
  assert.equal(metaText(read, 0x00020002), CLASS);
  assert.equal(metaText(read, 0x00020003), '2.25.77');
  assert.equal(metaText(read, 0x00020012), '2.25.5');
  assert.equal(result.sopInstanceUID, '2.25.77');
  assert.equal(result.studyInstanceUID, '1.2.3');
  assert.equal(result.modality, 'OT');
});

test('additions go in by ascending tags, replace what is there without asking, and come last where nothing follows', async (context) => {
  const asked: number[] = [];
  const { body } = await written(context, file(elements()), rules({
    element: (view) => { asked.push(view.tag); return KEEP; },
    additions: [
      { tag: 0x00080005, vr: 'CS', value: Buffer.from('ISO_IR 100') }, { tag: PATIENT_NAME, vr: 'PN', value: Buffer.from('NEW') },
      { tag: 0x00120064, vr: 'SQ', value: [[{ tag: 0x00080100, vr: 'SH', value: Buffer.from('113100') }]] }, { tag: 0xfffcfffc, vr: 'OB', value: Buffer.alloc(2) },
    ],
  }));
  assert.ok(!asked.includes(PATIENT_NAME));
  assert.deepEqual(body, dataSet(elements(
    [0x00080005, 'CS', 'ISO_IR 100'], [PATIENT_NAME, 'PN', 'NEW'], [0x00120064, 'SQ', { items: [[[0x00080100, 'SH', '113100']]] }], [0xfffcfffc, 'OB', Buffer.alloc(2)],
  ), 'explicit'));
});

test('an addition replaces every copy of its element, in order or out of it', async (context) => {
  const content = [...elements(), [PATIENT_NAME, 'PN', 'SECOND'] as const, [0x00100020, 'LO', 'PID2'] as const];
  const shuffled = Buffer.concat([dataSet(content.filter(([tag]) => tag < 0x7fe00010), 'explicit'), element([0x7fe00010, 'OW', Buffer.alloc(8)], 'explicit')]);
  const { body } = await written(context, file(shuffled), rules({ additions: [{ tag: PATIENT_NAME, vr: 'PN', value: Buffer.from('NEW') }] }));
  assert.equal(body.includes('SECOND'), false);
  assert.equal(body.includes('DOE'), false);
  assert.equal(body.toString('latin1').split('NEW').length, 2);
  assert.ok(body.includes('PID2'), 'what nobody replaced stays, out of order as it was');
});

test('a value in the place of a sequence is written with a VR of values', async (context) => {
  for (const [vr, undefinedLength, given, expected] of [['SQ', false, 'LO', 'LO'], ['SQ', true, 'LO', 'LO'], ['SQ', true, undefined, 'UN'], ['UN', true, 'LO', 'LO']] as const) {
    const content = elements([0x00100020, vr, { items: [[[PATIENT_NAME, 'PN', 'x']]], undefinedLength }]);
    const { body } = await written(context, file(content, 'explicit'), rules({ element: byTag({ [0x00100020]: replace('P1', given) }) }));
    assert.ok(body.includes(element([0x00100020, expected, 'P1'], 'explicit')), `${vr} ${expected}`);
    assert.equal(body.length, dataSet(elements([0x00100020, expected, 'P1']), 'explicit').length);
  }
});

test('group lengths go where something around them changed, and only there', async (context) => {
  const length = Buffer.from([4, 0, 0, 0]);
  const inner = (changed: boolean): Element => [SEQUENCE, 'SQ', { items: [[[0x00080000, 'UL', length], [REFERENCED, 'UI', changed ? '1.9' : '1.2']]] }];
  const other: Element = [0x00081199, 'SQ', { items: [[[0x00080000, 'UL', length], [0x00081150, 'UI', '1.5']]] }];
  const { body } = await written(context, file(elements([0x00080000, 'UL', length], [0x00100000, 'UL', length], inner(false), other)), rules({ element: byTag({ [REFERENCED]: replace('1.9') }) }));
  assert.deepEqual(body, dataSet(elements([SEQUENCE, 'SQ', { items: [[[REFERENCED, 'UI', '1.9']]] }], other), 'explicit'));
});

test('something larger that pretends to be a group length is asked for', async (context) => {
  const { body } = await written(context, file(elements([0x00110000, 'LO', 'DOE^JANE AGAIN'])), rules({ element: byTag({ 0x00110000: REMOVE }) }));
  assert.deepEqual(body, dataSet(elements(), 'explicit'));
});

test('UN of undefined length is walked as implicit, UN with a known sequence inside as what its items are', async (context) => {
  const unknown = (name: string): Element => [PRIVATE, 'UN', { items: [[[PATIENT_NAME, 'PN', name]]], undefinedLength: true }];
  const seen: string[] = [];
  const decide = (view: ElementView): ReturnType<Rules['element']> => {
    if (view.path.length > 0) seen.push(`${view.vr} ${view.ascii()}`);
    return byTag({ [PATIENT_NAME]: replace('X') })(view);
  };
  const one = await written(context, file(elements(unknown('HIDDEN^PHI'))), rules({ element: decide }));
  assert.deepEqual(one.body, dataSet(elements(unknown('X'), [PATIENT_NAME, 'PN', 'X']), 'explicit'));
  for (const inner of ['implicit', 'explicit'] as const) {
    const value = (name: string): Buffer => {
      const item = dataSet([[PATIENT_NAME, 'PN', name]], inner);
      return Buffer.concat([header(0xfffee000, '', item.length, 'explicit'), item]);
    };
    const two = await written(context, file(elements([SEQUENCE, 'UN', value('HIDDEN^PHI')])), rules({ element: decide }));
    assert.deepEqual(two.body, dataSet(elements([SEQUENCE, 'UN', value('X')], [PATIENT_NAME, 'PN', 'X']), 'explicit'), inner);
  }
  assert.deepEqual(seen, ['PN HIDDEN^PHI', 'PN HIDDEN^PHI', 'PN HIDDEN^PHI']);
});

test('the dictionary gives VRs where the file does not: implicit, UN, creators; nobody knows private ones', async (context) => {
  const seen = new Map<number, string>();
  const content = elements([0x00090010, 'LO', 'ACME'], [PRIVATE, 'LO', 'secret'], [0x60020022, 'LO', 'label'], [SEQUENCE, 'SQ', { items: [[]] }], [0x00081199, 'SQ', Buffer.from('not an item')]);
  const look = rules({ element: (view) => { seen.set(view.tag, view.vr); return KEEP; } });
  await written(context, file(content, 'implicit'), look);
  assert.deepEqual([0x00090010, PRIVATE, 0x60020022, SEQUENCE, 0x00081199, PATIENT_NAME, 0x00280010].map((tag) => seen.get(tag)), ['LO', 'UN', 'LO', 'SQ', 'UN', 'PN', 'US']);
  await written(context, file(elements([0x00104000, 'UN', Buffer.from('text')], [PRIVATE, 'UN', Buffer.from('text')])), look);
  assert.deepEqual([0x00104000, PRIVATE].map((tag) => seen.get(tag)), ['LT', 'UN']);
});

test('a private element has the creator of its own data set or item, not of another', async (context) => {
  const seen: Array<string | undefined> = [];
  const content = elements(
    [0x00090010, 'LO', 'OUTER '], [PRIVATE, 'LO', 'a'], [0x00091101, 'LO', 'without'],
    [0x00400275, 'SQ', { items: [[[PRIVATE, 'LO', 'b']], [[0x00090010, 'LO', 'INNER'], [PRIVATE, 'LO', 'c']], [[PRIVATE, 'LO', 'd']]] }],
  );
  await written(context, file(content), rules({ element: (view) => {
    if (view.tag === PRIVATE || view.tag === 0x00091101) seen.push(view.privateCreator);
    return view.vr === 'SQ' ? RECURSE : KEEP;
  } }));
  assert.deepEqual(seen, ['OUTER', undefined, undefined, 'INNER', undefined]);
});

test('views tell path and item, and values in Little Endian whatever the file', async (context) => {
  for (const syntax of ALL) {
    const seen: unknown[] = [];
    const content = elements([SEQUENCE, 'SQ', { items: [[], [[0x00280010, 'US', syntax === 'big' ? Buffer.from([1, 2]) : Buffer.from([2, 1])]]], undefinedLength: true }]);
    await written(context, file(content, syntax), rules({ element: (view) => {
      if (view.tag === 0x00280010) seen.push([[...view.path], view.item, view.path.length === 0 ? undefined : view.value().readUInt16LE()]);
      return view.vr === 'SQ' ? RECURSE : KEEP;
    } }));
    assert.deepEqual(seen, [[[SEQUENCE], 1, 0x0102], [[], undefined, undefined]], syntax);
  }
});

test('begin sees what is wanted, wherever it stands, and what is absent is missing; it may refuse', async (context) => {
  const content = [...elements().filter(([tag]) => tag !== 0x00100020), [0xfffcfffc, 'OB', Buffer.from('pad!')] as const];
  let heard: unknown;
  const { result, left } = await run(context, file(content), rules({
    wanted: [PATIENT_NAME, 0x00100020, 0xfffcfffc],
    begin: (head, about) => {
      heard = [[...head.keys()], head.get(PATIENT_NAME)?.ascii(), head.get(0xfffcfffc)?.value().toString(), about];
      return { code: 'RISK_BURNED_IN', detail: 'x' };
    },
  }));
  assert.deepEqual(heard, [[PATIENT_NAME, 0xfffcfffc], 'DOE^JANE', 'pad!', { transferSyntaxUID: SYNTAX_UID.explicit, mediaStorageSOPClassUID: CLASS, mediaStorageSOPInstanceUID: INSTANCE, repeated: [] }]);
  assert.deepEqual(result, { kind: 'refused', refusal: { code: 'RISK_BURNED_IN', detail: 'x' } });
  assert.deepEqual(left, []);
});

test('encapsulated pixel data is kept fragment by fragment, and elements behind it are asked for', async (context) => {
  const pixels: Element = [0x7fe00010, 'OB', { fragments: [Buffer.alloc(0), randomBytes(70_001), Buffer.alloc(0), randomBytes(200)] }];
  const behind: Element = [0xfffafffa, 'SQ', { items: [[[0x04000100, 'UI', '1.2']]], undefinedLength: true }];
  const options = { transferSyntax: '1.2.840.10008.1.2.4.50' };
  const { body } = await written(context, file(elements(pixels, behind), 'explicit', options), rules({ element: byTag({ 0xfffafffa: REMOVE, [PATIENT_NAME]: replace('X') }) }));
  assert.deepEqual(body, dataSet(elements(pixels, [PATIENT_NAME, 'PN', 'X']), 'explicit'));
});

test('a sequence is replaced by new items, emptied or removed whole', async (context) => {
  const before: Element = [SEQUENCE, 'SQ', { items: [[[REFERENCED, 'UI', '1.2']]], undefinedLength: true }];
  const items: Element = [SEQUENCE, 'SQ', { items: [[[REFERENCED, 'UI', '1.9']], []] }];
  for (const [action, after] of [
    [{ kind: 'items', items: [[{ tag: REFERENCED, vr: 'UI', value: Buffer.from('1.9') }], []] }, items], [EMPTY, [SEQUENCE, 'SQ', '']], [REMOVE, undefined],
  ] as const) {
    for (const syntax of ALL) {
      const { body } = await written(context, file(elements(before), syntax), rules({ element: byTag({ [SEQUENCE]: action }) }));
      assert.deepEqual(body, dataSet(elements(...(after === undefined ? [] : [after as Element])), syntax), `${action.kind} ${syntax}`);
    }
  }
});

test('a value too long for its VR becomes UN, and what was UN takes the VR of the new value', async (context) => {
  const long = 'x'.repeat(70_000);
  const { body } = await written(context, file(elements([0x00104000, 'UN', Buffer.from('abcd')])), rules({ element: byTag({ [PATIENT_NAME]: replace(long), 0x00104000: replace('new', 'LT') }) }));
  const read = parsed(body, 'explicit');
  assert.deepEqual([read.get('/00100010#0')?.vr, read.get('/00100010#0')?.value.length, read.get('/00104000#0')?.vr], ['UN', 70_000, 'LT']);
});

test('an answer to recurse that is no sequence removes the element: nobody has looked inside', async (context) => {
  const { body } = await written(context, file(elements([0x00081199, 'SQ', Buffer.from('hidden text!')])), rules({ element: (view) => view.tag === 0x00081199 ? RECURSE : KEEP }));
  assert.equal(body.includes('hidden'), false);
});

for (const [what, tail] of [['zeros', Buffer.alloc(700)], ['rubbish', Buffer.from('\xef\xbe\xad\xde rubbish behind the end', 'latin1')], ['another file', file(elements([PATIENT_NAME, 'PN', 'SECOND']))], ['a stray delimiter', header(0xfffee0dd, '', 0, 'explicit')],
  ['elements out of order that break off', Buffer.concat([element([PATIENT_NAME, 'PN', 'SECOND'], 'explicit'), header(0x00100020, 'LO', 500, 'explicit')])]] as const) {
  test(`${what} after pixel data are dropped and counted`, async (context) => {
    const { result, body } = await written(context, file(Buffer.concat([dataSet(elements(), 'explicit'), tail])), rules());
    assert.deepEqual(body, dataSet(elements(), 'explicit'));
    assert.equal(result.droppedBytes, tail.length);
  });
}

test('elements behind pixel data that read to the end of the file are asked for, in order or not', async (context) => {
  const behind = dataSet([[PATIENT_NAME, 'PN', 'SECOND'], [0x00110010, 'LO', 'ACME']], 'explicit');
  const { result, body } = await written(context, file(Buffer.concat([dataSet(elements(), 'explicit'), behind])), rules({ element: byTag({ [PATIENT_NAME]: replace('X') }) }));
  assert.deepEqual(body, Buffer.concat([dataSet(elements([PATIENT_NAME, 'PN', 'X']), 'explicit'), dataSet([[PATIENT_NAME, 'PN', 'X'], [0x00110010, 'LO', 'ACME']], 'explicit')]));
  assert.equal(result.droppedBytes, 0);
});

test('an element that the file cuts off makes it unreadable wherever it is, with the offset, and nothing is left', async (context) => {
  const content = elements([SEQUENCE, 'SQ', { items: [[[REFERENCED, 'UI', '1.2']]], undefinedLength: true }], [0xfffafffa, 'SQ', { items: [[[0x04000100, 'UI', '1.2']]] }]);
  const whole = file(content);
  // A data set may end after any element; and after pixel data fewer than 8 bytes cannot be told from padding.
  const ends = new Set<number>();
  let at = whole.length - dataSet(content, 'explicit').length;
  const start = at;
  for (const one of content) {
    ends.add(at += element(one, 'explicit').length);
    if (one[0] === 0x7fe00010) for (let more = 1; more < 8; more++) ends.add(at + more);
  }
  for (let length = start + 1; length < whole.length; length++) {
    if (ends.has(length)) continue;
    const { result, left } = await run(context, whole.subarray(0, length), rules());
    assert.equal(result.kind, 'unreadable', `cut at ${length}`);
    assert.ok(result.kind === 'unreadable' && result.offset >= start && result.offset <= length);
    assert.deepEqual(left, [], 'nothing is left on disk');
  }
});

test('lengths that lie are unreadable: items longer than sequences, missing delimiters, undefined lengths where none may be', async (context) => {
  const item = (length: number): Buffer => Buffer.concat([header(0xfffee000, '', length, 'explicit'), dataSet([[REFERENCED, 'UI', '1.2']], 'explicit')]);
  const long = item(400);
  const broken: Record<string, Buffer> = {
    'item too long': Buffer.concat([header(SEQUENCE, 'SQ', long.length, 'explicit'), long]),
    'item too short': Buffer.concat([header(SEQUENCE, 'SQ', long.length, 'explicit'), item(6)]),
    'no item': Buffer.concat([header(SEQUENCE, 'SQ', 0xffffffff, 'explicit'), Buffer.alloc(40, 1)]),
    'text of undefined length': Buffer.concat([header(0x00081199, 'UT', 0xffffffff, 'explicit'), header(0xfffee0dd, '', 0, 'explicit')]),
    'a stray item': header(0xfffee000, '', 0, 'explicit'),
  };
  for (const [what, bytes] of Object.entries(broken)) {
    const body = Buffer.concat([dataSet([[0x00080016, 'UI', CLASS], [0x00080018, 'UI', INSTANCE]], 'explicit'), bytes, dataSet(elements().slice(3), 'explicit')]);
    const { result, left } = await run(context, file(body), rules({ element: byTag({}) }));
    assert.equal(result.kind, 'unreadable', what);
    assert.deepEqual(left, [], what);
  }
});

test('hostile nesting ends as unreadable, balanced or not, recursed into or not', async (context) => {
  const deep = (depth: number, closed: boolean): Buffer => {
    const open = Buffer.concat([header(PRIVATE, 'SQ', 0xffffffff, 'explicit'), header(0xfffee000, '', 0xffffffff, 'explicit')]);
    const close = Buffer.concat([header(0xfffee00d, '', 0, 'explicit'), header(0xfffee0dd, '', 0, 'explicit')]);
    return Buffer.concat([...Array.from({ length: depth }, () => open), ...(closed ? Array.from({ length: depth }, () => close) : [])]);
  };
  const before = dataSet([[0x00080016, 'UI', CLASS], [0x00080018, 'UI', INSTANCE]], 'explicit');
  for (const closed of [true, false]) {
    for (const decide of [byTag({}), () => KEEP]) {
      const { result } = await run(context, file(Buffer.concat([before, deep(100_000, closed)])), rules({ element: decide }));
      assert.equal(result.kind, 'unreadable');
    }
  }
  const { result } = await run(context, file(Buffer.concat([before, deep(500, true)])), rules({ element: byTag({}) }));
  assert.equal(result.kind, 'written', 'less deep nesting is read');
});

test('a deflated bomb is refused, and neither result nor inflated copy is left', async (context) => {
  const { result, left } = await run(context, file(elements([0x7fe00010, 'OW', Buffer.alloc(100 << 20)]), 'deflated'), rules());
  assert.deepEqual(result, { kind: 'refused', refusal: { code: 'LIMIT_RATIO', detail: 'deflated data set' } });
  assert.deepEqual(left, []);
});

test('a damaged deflated data set is unreadable', async (context) => {
  const bytes = file(elements([0x00091001, 'OB', randomBytes(60_000)]), 'deflated');
  for (const damaged of [bytes.subarray(0, bytes.length - 5000), Buffer.concat([bytes.subarray(0, bytes.length - 30_000), Buffer.alloc(30_000, 0xff)])]) {
    const { result, left } = await run(context, damaged, rules());
    assert.equal(result.kind, 'unreadable');
    assert.deepEqual(left, []);
  }
});

test('pixel data that contradicts the transfer syntax is refused', async (context) => {
  const fragments: Element = [0x7fe00010, 'OB', { fragments: [Buffer.alloc(0), Buffer.alloc(4)] }];
  for (const bytes of [file(elements(), 'explicit', { transferSyntax: '1.2.840.10008.1.2.4.50' }), file(elements(fragments))]) {
    const { result } = await run(context, bytes, rules());
    assert.equal(result.kind === 'refused' && result.refusal.code, 'DEID_UNSUPPORTED');
  }
});

test('a result without SOP Instance UID is refused; an addition can supply it', async (context) => {
  const bytes = file(elements([0x00080018, 'UI', '']));
  const { result } = await run(context, bytes, rules());
  assert.equal(result.kind === 'refused' && result.refusal.code, 'DICOM_INCOMPLETE');
  const { result: mended } = await written(context, bytes, rules({ additions: [{ tag: 0x00080018, vr: 'UI', value: Buffer.from('2.25.3') }] }));
  assert.equal(mended.sopInstanceUID, '2.25.3');
});

test('the result is new, private to us, and never overwrites', async (context) => {
  const at = folder(context);
  writeFileSync(join(at, 'in'), file(elements()));
  await rewriteFile(join(at, 'in'), join(at, 'out'), rules());
  assert.equal(statSync(join(at, 'out')).mode & 0o777, 0o600);
  const before = readFileSync(join(at, 'out'));
  await assert.rejects(rewriteFile(join(at, 'in'), join(at, 'out'), rules()), { code: 'EEXIST' });
  assert.deepEqual(readFileSync(join(at, 'out')), before);
});

for (const size of [200_000, 9 << 20]) {
  test(`a source of ${size} bytes that shrinks while it is copied is unreadable, and what was written of it is gone`, async (context) => {
    const at = folder(context);
    writeFileSync(join(at, 'in'), file(elements([0x7fe00010, 'OW', Buffer.alloc(size)])));
    const given = rules({ element: byTag({ [PATIENT_NAME]: REMOVE }) });
    // File Meta Information is asked for last before anything is written.
    const result = await rewriteFile(join(at, 'in'), join(at, 'out'), { ...given, fileMeta: () => { truncateSync(join(at, 'in'), 100_000); return []; } });
    assert.deepEqual(result, { kind: 'unreadable', offset: 100_000, detail: 'the file is shorter than it was' });
    assert.deepEqual(readdirSync(at), ['in']);
  });
}

test('what the rules throw comes through, and the engine works on', async (context) => {
  await assert.rejects(run(context, file(elements()), rules({ element: () => { throw new Error('mine'); } })), { message: 'mine' });
  await written(context, file(elements()), rules());
});

test('rewrites of one thread may overlap', async (context) => {
  const at = folder(context);
  const large = file(elements([0x7fe00010, 'OW', randomBytes(9 << 20)]));
  const small = file(elements(), 'deflated');
  const results = await Promise.all(Array.from({ length: 8 }, (_, i) => {
    writeFileSync(join(at, `in${i}`), i % 2 === 0 ? large : small);
    return rewriteFile(join(at, `in${i}`), join(at, `out${i}`), rules({ element: byTag({ [PATIENT_NAME]: replace(`P${i}`) }) }));
  }));
  for (const [i, result] of results.entries()) {
    assert.equal(result.kind, 'written');
    const output = readFileSync(join(at, `out${i}`));
    assert.equal(result.kind === 'written' && result.sha256, createHash('sha256').update(output).digest('hex'));
    const read = readFile(output);
    assert.deepEqual(read.dataSet, dataSet(elements([PATIENT_NAME, 'PN', `P${i}`], ...(i % 2 === 0 ? [[0x7fe00010, 'OW', large.subarray(large.length - (9 << 20))] as const] : [])), 'explicit'));
  }
});

test('pixel data of any size passes through in bounded memory', async (context) => {
  const at = folder(context);
  const length = 192 << 20;
  const head = file(elements().filter(([tag]) => tag < 0x7fe00000));
  const fd = openSync(join(at, 'in'), 'w');
  writeSync(fd, Buffer.concat([head, header(0x7fe00010, 'OW', length, 'explicit')]));
  ftruncateSync(fd, head.length + 12 + length);
  closeSync(fd);
  const before = process.memoryUsage().rss;
  let peak = before;
  const timer = setInterval(() => { peak = Math.max(peak, process.memoryUsage().rss); }, 2);
  const result = await rewriteFile(join(at, 'in'), join(at, 'out'), rules({ element: byTag({ [PATIENT_NAME]: REMOVE }) }));
  clearInterval(timer);
  assert.equal(result.kind, 'written');
  assert.ok(statSync(join(at, 'out')).size > length);
  assert.ok(peak - before < 64 << 20, `${Math.round((peak - before) / 1e6)} MB more`);
});

test('ten thousand sequences with a change in each are rewritten with right lengths', async (context) => {
  const content = (uid: string): Element[] => elements([0x52009230, 'SQ', { items: Array.from({ length: 10_000 }, (): Element[] => [[SEQUENCE, 'SQ', { items: [[[REFERENCED, 'UI', uid]]] }]]) }]);
  const { body } = await written(context, file(content('1.2.3.4.5.6')), rules({ element: byTag({ [REFERENCED]: replace('2.25.1') }) }));
  assert.ok(body.equals(dataSet(content('2.25.1'), 'explicit')));
});
