import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NewElement } from '../../../nodes/engine/dicom/rewrite-types';
import { mapUid } from '../../../nodes/engine/deid/keyed';
import { begin, ct, deidentify, el, find, KEY, rulesFor, sq, text } from './data-sets';

const basic = rulesFor();
const shifted = rulesFor({ preset: 'basic-shifted-dates' });

test('patient and study get pseudonyms, present or not, and never an empty one', () => {
  const given = deidentify(basic, ct(el(0x00080050, 'SH', '42'), el(0x00200010, 'SH', '1')));
  const bare = deidentify(basic, ct(el(0x00100020, 'LO', ''), el(0x00100010, 'PN', '')));
  for (const [tag, letter] of [[0x00100020, 'P'], [0x00080050, 'A'], [0x00200010, 'S']] as const) {
    assert.match(text(given, tag) ?? '', new RegExp(`^${letter}[A-Z2-7]{15}$`));
    assert.match(text(bare, tag) ?? '', new RegExp(`^${letter}[A-Z2-7]{15}$`));
    assert.notEqual(text(given, tag), text(bare, tag));
  }
  assert.equal(text(given, 0x00100010), text(given, 0x00100020));
});

test('two files without PatientID in different studies are two patients', () => {
  const one = deidentify(basic, ct(el(0x00100020, 'LO', '')));
  const two = deidentify(basic, ct(el(0x00100020, 'LO', ''), el(0x0020000d, 'UI', '1.2.4')));
  assert.notEqual(text(one, 0x00100020), text(two, 0x00100020));
});

test('two hospitals that share a PatientID are told apart by issuer, in the file or of the source', () => {
  const ids = [
    deidentify(rulesFor({}, ''), ct(el(0x00100021, 'LO', 'North'))), deidentify(rulesFor({}, ''), ct(el(0x00100021, 'LO', 'South'))),
    deidentify(rulesFor({}, 'South'), ct()), deidentify(rulesFor({}, 'North'), ct(el(0x00100021, 'LO', 'South'))),
  ].map((elements) => text(elements, 0x00100020));
  assert.notEqual(ids[0], ids[1]);
  assert.equal(ids[1], ids[2]);
  assert.equal(ids[1], ids[3]);
});

test('a PatientID or AccessionNumber inside a sequence gets the pseudonym that it has at the top', () => {
  const result = deidentify(basic, ct(
    el(0x00080050, 'SH', '42'),
    sq(0x00400275), sq(0x00081115, [sq(0x0040a370, [el(0x00080050, 'SH', '42')]), sq(0x00100026, [el(0x00100020, 'LO', 'MRN-4711')])]),
  ));
  assert.equal(text(result, 0x00081115, 0x0040a370, 0x00080050), text(result, 0x00080050));
  assert.equal(text(result, 0x00081115, 0x00100026, 0x00100020), text(result, 0x00100020));
});

test('every UID is mapped by value, listed or not, at any depth, one or several, but SOP Classes and registered ones', () => {
  const result = deidentify(basic, ct(
    el(0x00200242, 'UI', '1.9.1'), el(0x00080058, 'UI', '1.9.1\\1.9.2'), el(0x00200052, 'UI', '1.2.840.10008.1.4.1.1'),
    sq(0x00081115, [sq(0x0008114a, [el(0x00081150, 'UI', '1.3.12.2.1107.5.9.1'), el(0x00081155, 'UI', '1.9.2'), el(0x00081167, 'UI', '1.9.1')])]),
  ));
  assert.equal(text(result, 0x00080018), mapUid(KEY, '', '1.2.3.4'));
  assert.equal(text(result, 0x00200242), mapUid(KEY, '', '1.9.1'));
  assert.equal(text(result, 0x00080058), `${mapUid(KEY, '', '1.9.1')}\\${mapUid(KEY, '', '1.9.2')}`);
  assert.equal(text(result, 0x00200052), '1.2.840.10008.1.4.1.1');
  assert.equal(text(result, 0x00080016), '1.2.840.10008.5.1.4.1.1.2');
  assert.equal(text(result, 0x00081115, 0x0008114a, 0x00081150), '1.3.12.2.1107.5.9.1');
  assert.equal(text(result, 0x00081115, 0x0008114a, 0x00081155), mapUid(KEY, '', '1.9.2'));
  assert.equal(text(result, 0x00081115, 0x0008114a, 0x00081167), mapUid(KEY, '', '1.9.1'));
});

test('private, command, meta, media, curve and overlay groups, signatures and padding go at any depth', () => {
  const foreign = [
    el(0x00000002, 'UI', '1.2'), el(0x00020010, 'UI', '1.2'), el(0x00041220, 'LO', 'x'), el(0x00090010, 'LO', 'ACME'), el(0x00091001, 'UN', 'x'), sq(0x00091002, [el(0x00100010, 'PN', 'x')]),
    el(0x00280000, 'UL', Buffer.alloc(4)), el(0x04000500, 'OB', 'x'), el(0x4ffe0001, 'SQ', 'x'), el(0x50003000, 'OW', 'xx'), el(0x50ff0022, 'LO', 'x'),
    el(0x60000022, 'LO', 'x'), el(0x60003000, 'OW', 'xx'), el(0x601e4000, 'LT', 'x'), el(0x7f000010, 'OW', 'xx'), el(0xfffafffa, 'SQ', 'x'), el(0xfffcfffc, 'OB', 'x'), el(0xffff1010, 'LO', 'x'),
  ];
  const result = deidentify(basic, [...ct(), ...foreign, sq(0x00081115, foreign)].toSorted((one, other) => one.tag - other.tag));
  for (const { tag } of foreign) assert.equal(find(result, tag), undefined, tag.toString(16));
  assert.deepEqual(find(result, 0x00081115)?.value, [[]]);
});

test('markers say what was done, after what a former de-identification said', () => {
  const result = deidentify(shifted, ct(el(0x00120063, 'LO', 'CTP ')));
  assert.equal(text(result, 0x00120062), 'YES');
  const method = text(result, 0x00120063)?.split('\\') ?? [];
  assert.equal(method[0], 'CTP');
  assert.ok(method.length > 1 && method.every((value) => value.length <= 64));
  const codes = find(result, 0x00120064)?.value;
  assert.ok(Array.isArray(codes));
  assert.deepEqual(codes.map((item) => text(item, 0x00080100)), ['113100', '113107']);
  assert.equal(text(result, 0x00280303), 'MODIFIED');
  const removed = deidentify(basic, ct());
  assert.equal(text(removed, 0x00280303), 'REMOVED');
  assert.equal(text(removed, 0x00120064, 0x00080100), '113100');
});

test('done again with the same key, only what depends on the identity changes', () => {
  const once = deidentify(basic, ct(el(0x00181030, 'LO', 'x'), el(0x00080070, 'LO', 'ACME')));
  const twice = deidentify(basic, once);
  const keyed = new Set([0x00080018, 0x00080050, 0x00100010, 0x00100020, 0x0020000d, 0x0020000e, 0x00200010]);
  assert.deepEqual(twice.filter(({ tag }) => !keyed.has(tag)), once.filter(({ tag }) => !keyed.has(tag)));
});

test('unlisted text goes, unless it is technical or must be there', () => {
  const result = deidentify(basic, ct(
    el(0x00080070, 'LO', 'ACME'), el(0x00081090, 'LO', 'Scanner 3'), el(0x00181210, 'SH', 'B30f'), el(0x00283004, 'LO', 'HU'),
    el(0x00201040, 'LO', 'Jane'), el(0x00286022, 'LO', 'Jane'), el(0x00100034, 'LO', 'Reiwa 1'), el(0x00620002, 'SQ'),
    sq(0x00620002, [el(0x00620005, 'LO', 'Jane'), el(0x00620006, 'ST', 'Jane'), el(0x00620009, 'LO', 'nnU-Net')]),
  ).filter(({ tag, value }) => tag !== 0x00620002 || Array.isArray(value)));
  for (const [tag, value] of [[0x00080070, 'ACME'], [0x00081090, 'Scanner 3'], [0x00181210, 'B30f'], [0x00283004, 'HU']] as const) assert.equal(text(result, tag), value);
  assert.equal(text(result, 0x00201040), '', 'Type 2');
  assert.equal(find(result, 0x00286022), undefined);
  assert.equal(find(result, 0x00100034), undefined);
  assert.equal(text(result, 0x00620002, 0x00620005), 'ANONYMIZED', 'Type 1');
  assert.equal(find(result, 0x00620002, 0x00620006), undefined);
  assert.equal(text(result, 0x00620002, 0x00620009), 'nnU-Net');
});

test('text that is kept is not kept where it mentions a person of the file', () => {
  const result = deidentify(basic, ct(el(0x00080070, 'LO', 'ACME for dolittle'), el(0x00081090, 'LO', 'Unit MRN-4711'), el(0x00181020, 'LO', 'Dolittleton')));
  assert.equal(text(result, 0x00080070), 'ANONYMIZED');
  assert.equal(text(result, 0x00081090), 'ANONYMIZED');
  assert.equal(text(result, 0x00181020), 'Dolittleton');
});

test('an object of a class with functional groups has a content date, whether it has these or not', () => {
  const of = (suffix: string, ...more: NewElement[]) => text(deidentify(basic, ct(el(0x00080016, 'UI', `1.2.840.10008.5.1.4.1.1.${suffix}`), el(0x00080023, 'DA', '20240229'), ...more)), 0x00080023);
  assert.equal(of('4.1'), '19000101');
  assert.equal(of('66.4'), '19000101');
  assert.equal(of('4'), '');
  assert.equal(of('4', sq(0x52009229, [])), '19000101');
});

test('a name whose parts are too short to be looked for alone is looked for as a whole', () => {
  const kept = (name: string, words: string): boolean => text(deidentify(basic, ct(el(0x00100010, 'PN', name), el(0x00081090, 'LO', words))), 0x00081090) === words;
  for (const words of ['Unit of LIN YU', 'yu lin 3', 'Lin^Yu', 'Lin, Yu']) assert.ok(!kept('Lin^Yu', words), words);
  for (const words of ['Kim Min-Su', 'Min Su Kim']) assert.ok(!kept('Kim^Min Su=\xb1\xe8^\xb9\xce\xbc\xf6', words), words);
  for (const words of ['Linyu', 'LINE YU', 'Lin', 'Yu']) assert.ok(kept('Lin^Yu', words), words);
  assert.ok(kept('A^B', 'A B') && kept('^Yu', 'Yu') && kept('Lin', 'Lin'));
});

test('what is written as a term and mentions a person of the file does not stay, terms of the standard do', () => {
  const result = deidentify(basic, ct(
    el(0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\Dolittle\\NONE'), el(0x00180015, 'CS', 'DOLITTLE CHEST'), el(0x00180022, 'CS', 'for MRN-4711'), el(0x00185100, 'CS', 'HFS'),
  ));
  assert.equal(text(result, 0x00080008), 'ORIGINAL\\PRIMARY\\ANON\\NONE', 'its places mean something');
  assert.equal(find(result, 0x00180015), undefined);
  assert.equal(text(result, 0x00180022) ?? '', '');
  assert.equal(text(result, 0x00185100), 'HFS');
  const numbered = deidentify(basic, ct(el(0x00100020, 'LO', 'MRN4711'), el(0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\MRN4711'), el(0x00180022, 'CS', 'MRN4711'), el(0x00180023, 'CS', '3D')));
  assert.equal(text(numbered, 0x00080008), 'ORIGINAL\\PRIMARY\\ANON');
  assert.equal(text(numbered, 0x00180022) ?? '', '');
  assert.equal(text(numbered, 0x00180023), '3D');
  const named = ct(el(0x00100010, 'PN', 'None^Perfusion'), el(0x00080008, 'CS', 'DERIVED\\PRIMARY\\PERFUSION\\NONE'));
  assert.equal(text(deidentify(basic, named), 0x00080008), 'DERIVED\\PRIMARY\\PERFUSION\\NONE');
});

test('the meaning of a code stays where its scheme is published', () => {
  const code = (scheme: string) => sq(0x00082218, [el(0x00080100, 'SH', 'X1'), el(0x00080102, 'SH', scheme), el(0x00080104, 'LO', 'Room of Dr Who')]);
  assert.equal(text(deidentify(basic, ct(code('SCT'))), 0x00082218, 0x00080104), 'Room of Dr Who');
  assert.equal(text(deidentify(basic, ct(code('99HOSPITAL'))), 0x00082218, 0x00080104), 'ANONYMIZED');
  const without = sq(0x00082218, [el(0x00080100, 'SH', 'X1'), el(0x00080104, 'LO', 'Room of Dr Who')]);
  assert.equal(text(deidentify(basic, ct(code('SCT'), sq(0x00082228), without).filter(({ tag, value }) => tag !== 0x00082218 || value === without.value)), 0x00082218, 0x00080104), 'ANONYMIZED');
});

test('other unlisted values are decided by VR', () => {
  const result = deidentify(basic, ct(
    el(0x00140104, 'PN', 'Doe^J'), el(0x00141020, 'DA', '20200101'), el(0x00180015, 'CS', 'HEAD'), el(0x00180050, 'DS', '1.5'), el(0x00180088, 'DS', 'Jane Doe'),
    el(0x00089999, 'UN', 'x'), el(0x00181411, 'DS', ''), el(0x00280010, 'US', Buffer.from([0, 2])), el(0x00284321, 'OB', 'xx'), el(0x00684321, 'OB', 'xx'), el(0x00186060, 'CS', 'x'.repeat(80)),
    el(0x00286023, 'OW', 'Jane'), el(0x7fe00010, 'OW', 'pixels'),
  ));
  assert.equal(text(result, 0x00140104), 'ANONYMIZED');
  for (const tag of [0x00141020, 0x00180088, 0x00089999, 0x00684321, 0x00186060]) assert.equal(find(result, tag), undefined, tag.toString(16));
  for (const [tag, value] of [[0x00180015, 'HEAD'], [0x00180050, '1.5'], [0x00181411, ''], [0x7fe00010, 'pixels'], [0x00284321, 'xx']] as const) assert.equal(text(result, tag), value);
});

test('what is written with another VR than the dictionary says does not slip through', () => {
  const result = deidentify(basic, ct(el(0x00286022, 'OW', 'Jane'), el(0x00104000, 'OB', 'Jane'), el(0x0040a073, 'OB', 'Jane'), el(0x00120010, 'OB', 'Jane')));
  for (const tag of [0x00286022, 0x00104000, 0x0040a073]) assert.equal(find(result, tag), undefined, tag.toString(16));
  assert.deepEqual(find(result, 0x00120010)?.value, Buffer.alloc(2));
});

test('an unlisted age above 89 becomes 090Y', () => {
  const age = (value: string) => text(deidentify(basic, ct(sq(0x00720080, [el(0x0072ffff, 'AS', value)]))), 0x00720080, 0x0072ffff);
  assert.deepEqual(['089Y', '090Y', '101Y', '999M', '300D', 'old'].map(age), ['089Y', '090Y', '090Y', '999M', '300D', '000Y']);
});

test('shifted dates keep their distances, times stay, birth dates go', () => {
  const elements = ct(
    el(0x00080020, 'DA', '20240301'), el(0x00080021, 'DA', '20240315'), el(0x00080030, 'TM', '101112.5'), el(0x0008002a, 'DT', '20240301235959.1+0100'), el(0x00080201, 'SH', '+0100'),
    el(0x00100030, 'DA', '19800101'), el(0x00141020, 'DA', '20240301'), sq(0x00081115, [el(0x0040a121, 'DA', '20240301'), el(0x00181078, 'DT', '2024')]),
  );
  const result = deidentify(shifted, elements);
  const study = text(result, 0x00080020) ?? '';
  assert.notEqual(study, '20240301');
  const day = (value: string): number => Date.UTC(Number(value.slice(0, 4)), Number(value.slice(4, 6)) - 1, Number(value.slice(6, 8))) / 86_400_000;
  assert.equal(day(text(result, 0x00080021) ?? '') - day(study), 14);
  assert.equal(text(result, 0x00080030), '101112.5');
  assert.equal(text(result, 0x0008002a), `${study}235959.1+0100`);
  assert.equal(text(result, 0x00080201), '+0100');
  assert.equal(text(result, 0x00100030), '');
  assert.equal(text(result, 0x00141020), study);
  assert.equal(text(result, 0x00081115, 0x0040a121), study);
  const sameStudyOtherPatient = deidentify(shifted, ct(el(0x00080020, 'DA', '20240301'), el(0x00100020, 'LO', 'other')));
  assert.notEqual(text(sameStudyOtherPatient, 0x00080020), study);
});

test('what claims to be a date and is none is treated as in the Basic Profile', () => {
  const result = deidentify(shifted, ct(el(0x00080020, 'DA', 'Jane'), el(0x00080023, 'DA', 'Jane'), el(0x00080030, 'TM', 'Jane'), el(0x00080201, 'SH', 'Jane')));
  assert.equal(text(result, 0x00080020), '');
  assert.equal(text(result, 0x00080023), '');
  assert.equal(text(result, 0x00080030), '');
  assert.equal(find(result, 0x00080201), undefined);
});

test('a report keeps its tree, codes and measurements and loses words, names, dates, age and sex', () => {
  const name = (value: string) => sq(0x0040a043, [el(0x00080100, 'SH', value), el(0x00080102, 'SH', 'DCM'), el(0x00080104, 'LO', 'name')]);
  const measured = sq(0x0040a300, [el(0x0040a30a, 'DS', '93')]);
  const coded = sq(0x0040a168, [el(0x00080100, 'SH', 'F'), el(0x00080102, 'SH', 'DCM'), el(0x00080104, 'LO', 'Female')]);
  const item = (type: string, concept: string, ...value: readonly NewElement[]) => [el(0x0040a010, 'CS', 'CONTAINS'), el(0x0040a040, 'CS', type), ...[name(concept), ...value].toSorted((one, other) => one.tag - other.tag)];
  const result = deidentify(shifted, ct(el(0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.88.33'), sq(0x0040a730,
    item('TEXT', '121071', el(0x0040a160, 'UT', 'Jane has')), item('PNAME', '121008', el(0x0040a123, 'PN', 'Doe^J')), item('NUM', '121206', measured), item('NUM', '121033', measured),
    item('CODE', '121058', coded), item('CODE', '121032', coded), item('DATE', '121031', el(0x0040a121, 'DA', '19800101')), item('DATE', '111018', el(0x0040a121, 'DA', '20240301')),
    item('CONTAINER', '121033', sq(0x0040a730, item('NUM', '121206', measured))), item('UIDREF', '121126', el(0x0040a124, 'UI', '1.2.3')),
    item('NUM', '121033', measured), [el(0x0040a010, 'CS', 'CONTAINS'), el(0x0040a040, 'CS', 'NUM'), measured],
  )));
  const items = find(result, 0x0040a730)?.value;
  assert.ok(Array.isArray(items) && items.length === 12);
  const [words = [], person = [], length = [], age = [], finding = [], sex = [], birth = [], date = [], container = [], reference = [], , nameless = []] = items;
  assert.equal(text(words, 0x0040a160), 'ANONYMIZED');
  assert.equal(text(person, 0x0040a123), 'ANONYMIZED');
  assert.equal(text(length, 0x0040a300, 0x0040a30a), '93');
  assert.deepEqual(find(age, 0x0040a300)?.value, Buffer.alloc(0));
  assert.equal(text(finding, 0x0040a168, 0x00080104), 'Female');
  assert.equal(text(sex, 0x0040a168, 0x00080104), 'Unknown');
  assert.equal(text(birth, 0x0040a121), '19000101');
  assert.notEqual(text(date, 0x0040a121), '20240301');
  assert.notEqual(text(date, 0x0040a121), '19000101');
  assert.equal(text(container, 0x0040a730, 0x0040a300, 0x0040a30a), '93');
  assert.equal(text(nameless, 0x0040a300, 0x0040a30a), '93');
  assert.equal(text(reference, 0x0040a124), mapUid(KEY, '', '1.2.3'));
});

test('an encapsulated document is replaced by an empty one of its kind, with its length', () => {
  const result = deidentify(basic, ct(el(0x00420011, 'OB', '%PDF Jane'), el(0x00420012, 'LO', 'application/pdf'), el(0x00420015, 'UL', Buffer.alloc(4))));
  const document = find(result, 0x00420011)?.value;
  assert.ok(Buffer.isBuffer(document));
  assert.match(document.toString('latin1'), /^%PDF-1\.4[^]*startxref\n\d+\n%%EOF\n$/);
  const xref = /startxref\n(\d+)/.exec(document.toString('latin1'))?.[1];
  assert.equal(document.toString('latin1', Number(xref), Number(xref) + 4), 'xref');
  const length = find(result, 0x00420015)?.value;
  assert.ok(Buffer.isBuffer(length));
  assert.equal(length.readUInt32LE(), document.length);
});

test('drawings of a presentation state are levelled, its structure stays', () => {
  const points = Buffer.alloc(16, 0x41);
  const result = deidentify(basic, ct(el(0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.11.1'), sq(0x00700001, [
    el(0x00700002, 'CS', 'LAYER1'), sq(0x00700008, [el(0x00700006, 'ST', 'Jane')]), sq(0x00700009, [el(0x00700022, 'FL', points), el(0x00700023, 'CS', 'POLYLINE')]),
  ]), el(0x00700082, 'DA', '20240301')));
  assert.equal(text(result, 0x00700001, 0x00700008, 0x00700006), 'ANONYMIZED');
  assert.deepEqual(find(result, 0x00700001, 0x00700009, 0x00700022)?.value, Buffer.alloc(16));
  assert.equal(text(result, 0x00700001, 0x00700009, 0x00700023), 'POLYLINE');
  assert.equal(text(result, 0x00700082), '19000101');
});

test('one rules object serves file after file without a trace of the one before', () => {
  const rules = rulesFor({ preset: 'basic-shifted-dates' });
  const fresh = deidentify(rulesFor({ preset: 'basic-shifted-dates' }), ct(el(0x00080020, 'DA', '20240301')));
  deidentify(rules, ct(el(0x00100020, 'LO', 'other'), el(0x00120063, 'LO', 'CTP'), el(0x00080020, 'DA', '19990101')));
  assert.equal(begin(rules, ct(el(0x0020000d, 'UI', ''), el(0x00100020, 'LO', '')))?.code, 'DEID_NO_IDENTITY');
  assert.deepEqual(deidentify(rules, ct(el(0x00080020, 'DA', '20240301'))), fresh);
});

test('File Meta Information names this pack and nobody else', () => {
  begin(basic, ct());
  assert.deepEqual(basic.fileMeta().map(({ tag }) => tag), [0x00020012, 0x00020013]);
  assert.match(text(basic.fileMeta(), 0x00020012) ?? '', /^2\.25\.\d+$/);
  assert.match(text(basic.fileMeta(), 0x00020013) ?? '', /^EXDICOM_\d+$/);
});
