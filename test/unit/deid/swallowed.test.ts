import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataSet, element, header } from '../dicom/building';
import type { Element, Syntax } from '../dicom/building';
import { rulesFor } from './data-sets';
import { Bench, image } from './planting';

const WORD = 'ZQ0815ZQWORT';
const SYNTAXES = ['explicit', 'implicit', 'big', 'deflated'] as const satisfies readonly Syntax[];
const us = (value: number, syntax: Syntax): Buffer => (syntax === 'big' ? Buffer.from([value >> 8, value & 255]) : Buffer.from([value & 255, value >> 8]));

/** Four by four pixels of a byte, and what is said of them. */
const pixels = (syntax: Syntax, value: Buffer): Element[] => [
  [0x00280002, 'US', us(1, syntax)], [0x00280004, 'CS', 'MONOCHROME2'], [0x00280010, 'US', us(4, syntax)], [0x00280011, 'US', us(4, syntax)], [0x00280100, 'US', us(8, syntax)], [0x7fe00010, 'OW', value],
];
const GREY = Buffer.from(Array.from({ length: 16 }, (_, n) => (n * 37) % 256));

test('what the pixel data has taken in behind the last pixel costs the file, padding and a whole frame do not', async (t) => {
  const bench = new Bench(t);
  for (const syntax of SYNTAXES) {
    const swallowed = (...more: Buffer[]) => bench.of(pixels(syntax, Buffer.concat([GREY, ...more])), rulesFor(), syntax);
    for (const behind of [element([0xfffcfffc, 'OB', WORD], syntax), element([0x00100010, 'PN', WORD], syntax), Buffer.from(`${WORD}^X`), Buffer.concat([Buffer.alloc(7, 1), Buffer.from(`${WORD} `)])]) {
      const { result, bytes } = await swallowed(behind);
      assert.ok(result.kind === 'refused' && ['DEID_UNREADABLE', 'DEID_LEAK'].includes(result.refusal.code), syntax);
      assert.ok(!bytes.includes(WORD));
    }
    for (const behind of [Buffer.alloc(0), Buffer.alloc(16), Buffer.alloc(128, 0x20), GREY]) assert.equal((await swallowed(behind)).result.kind, 'written', `${syntax} ${behind.length}`);
  }
});

test('a name of the patient in pixels or tables is a leak; other words are none of our business', async (t) => {
  const bench = new Bench(t);
  for (const syntax of SYNTAXES) {
    const big = 300_000;
    for (const at of [0, 5, 262_140, big - WORD.length]) {
      const value = Buffer.alloc(big, 9);
      value.write(WORD, at, 'latin1');
      const wide: Element[] = [[0x00280010, 'US', us(300, syntax)], [0x00280011, 'US', us(1000, syntax)], [0x00280100, 'US', us(8, syntax)], [0x7fe00010, 'OW', value]];
      const { result } = await bench.of([[0x00100010, 'PN', `${WORD}^JANE`], ...wide], rulesFor(), syntax);
      assert.equal(result.kind === 'refused' && result.refusal.code, 'DEID_LEAK', `${syntax} at ${at}`);
      assert.equal((await bench.of([[0x00100010, 'PN', 'SOMEBODY^ELSE'], ...wide], rulesFor(), syntax)).result.kind, 'written');
    }
    for (const where of [[0x00080080, 'LO', WORD], [0x00091001, 'LO', WORD], [0x00081140, 'SQ', { items: [[[0x00081155, 'UI', '1.2.840.99.1234.5']]] }]] as const satisfies readonly Element[]) {
      const said = where[1] === 'SQ' ? '1.2.840.99.1234.5' : WORD;
      for (const word of [said, said.slice(0, 9)]) {
        const { bytes } = await bench.of([where, [0x00281201, 'OW', Buffer.concat([Buffer.alloc(300, 1), Buffer.from(word.padEnd(18, '\x01'))])], ...pixels(syntax, GREY)], rulesFor(), syntax);
        assert.ok(!bytes.includes(said), `${syntax} ${where[0].toString(16)}`);
      }
    }
  }
});

/** An image of 8 bits with letters among its greys, 64 by 64 unless said otherwise, of a patient whose number is `id`. */
const grey = (id: string, value: Buffer, { rows = 64, more = [] }: { readonly rows?: number; readonly more?: readonly Element[] } = {}): Element[] => [
  [0x00100020, 'LO', id], ...more, [0x00280002, 'US', us(1, 'explicit')], [0x00280010, 'US', us(rows, 'explicit')], [0x00280011, 'US', us(64, 'explicit')], [0x00280100, 'US', us(8, 'explicit')], [0x7fe00010, 'OW', value],
];
const TISSUE = Buffer.from(Array.from({ length: 64 * 64 }, (_, n) => 80 + (n * n * 31 + n * 17) % 41 - (n * 7) % 23));

test('pixels that have letters among their greys are pixels, whatever stands behind the data set, and where a frame is not counted', async (t) => {
  const bench = new Bench(t);
  for (const [name, content, behind] of [
    ['zeros behind the data set', grey('MRN-4711', TISSUE), Buffer.alloc(100)], ['a line end behind the data set', grey('MRN-4711', TISSUE), Buffer.from('\r\n')],
    ['more rows than counted', grey('MRN-4711', TISSUE, { rows: 48 }), Buffer.alloc(0)], ['fewer rows than counted', grey('MRN-4711', TISSUE, { rows: 65 }), Buffer.alloc(0)],
  ] as const) {
    assert.equal((await bench.of(Buffer.concat([dataSet(image(...content), 'explicit'), behind]), rulesFor())).result.kind, 'written', name);
  }
  const { bytes } = await bench.of(grey('MRN-4711', Buffer.concat([TISSUE, Buffer.from(`${WORD}^JANE`)])), rulesFor());
  assert.ok(!bytes.includes(WORD), 'a text is none of the pixels all the same');
});

test('a number that goes up or down by one is not found in ramps and in the tables of JPEG', async (t) => {
  const bench = new Bench(t);
  const ramp = Buffer.from(Array.from({ length: 64 * 64 }, (_, n) => n % 256));
  const doubled = Buffer.from(Array.from({ length: 64 * 64 }, (_, n) => (n >> 1) % 256));
  for (const [id, value] of [['123456', ramp], ['456789', ramp], ['ABCDEFGH', ramp], ['654321', Buffer.from(ramp.map((_, n) => 255 - n % 256))], ['112233', doubled]] as const) {
    assert.equal((await bench.of(grey(id, value), rulesFor())).result.kind, 'written', id);
    assert.equal((await bench.of([[0x00100020, 'LO', id], [0x00281201, 'OW', value]], rulesFor())).result.kind, 'written', `${id} in a palette`);
  }
  // The beginning of the table for AC coefficients that nearly every file of lossy JPEG has (ISO/IEC 10918-1, table K.5).
  const fragment = Buffer.concat([Buffer.from('ffd8ffc400b5100002010303020403050504040000017d', 'hex'), Buffer.from('$3br\x82\t\n\x16\x17\x18\x19\x1a%&\'()*456789:CDEFGHIJSTUVWXYZcdefghijstuvwxyz\x83', 'latin1')]);
  for (const id of ['456789', 'CDEFGHIJ']) {
    const content = [[0x00100020, 'LO', id], [0x7fe00010, 'OB', { fragments: [Buffer.alloc(0), fragment] }]] as const satisfies readonly Element[];
    assert.equal((await bench.of(content, rulesFor(), 'explicit', { transferSyntax: '1.2.840.10008.1.2.4.50' })).result.kind, 'written', id);
  }
});

test('the greys of an icon are no words that the image must not have', async (t) => {
  const icon = [0x00880200, 'SQ', { items: [[[0x00280010, 'US', us(4, 'explicit')], [0x7fe00010, 'OB', Buffer.from('\0PRSQTVUS\0\0PPQR ', 'latin1')]]] }] as const satisfies Element;
  const value = Buffer.from(TISSUE);
  value.write('PRSQTVUS', 500, 'latin1');
  const { result, bytes } = await new Bench(t).of(grey('MRN-4711', value, { more: [icon] }), rulesFor());
  assert.equal(result.kind, 'written');
  assert.ok(!bytes.includes('\0PRSQ'));
});

test('numbers that are letters, or more than the attribute has, do not get out', async (t) => {
  const bench = new Bench(t);
  for (const syntax of SYNTAXES) {
    for (const [tag, vr] of [[0x00280106, 'US'], [0x00189073, 'FD'], [0x00280009, 'AT'], [0x00281101, 'US'], [0x00660016, 'OF'], [0x00189445, 'UL']] as const) {
      assert.ok(!(await bench.of([[tag, vr, Buffer.from(`${WORD}ABCD`)]], rulesFor(), syntax)).bytes.includes(WORD), `${syntax} ${tag.toString(16)}`);
    }
    // One value, and seven bytes behind it.
    const { bytes } = await bench.of([[0x00280103, 'US', Buffer.concat([us(1, syntax), Buffer.from('\0ZQ0815')])]], rulesFor(), syntax);
    assert.ok(!bytes.includes('ZQ0815'));
    const unknown = await bench.of([[0x00104040, 'CS', WORD]], rulesFor(), syntax);
    assert.ok(!unknown.bytes.includes(WORD));
  }
});

test('an ICC profile stays where it is one, and goes where it has taken in what follows', async (t) => {
  const bench = new Bench(t);
  const profile = Buffer.alloc(200, 3);
  profile.writeUInt32BE(200);
  profile.write('acsp', 36);
  profile.write('Copyright of the makers', 140);
  const kept = await bench.of([[0x00282000, 'OB', profile]], rulesFor());
  assert.ok(kept.bytes.includes('Copyright of the makers'));
  for (const wrong of [Buffer.concat([profile, Buffer.from(WORD)]), Buffer.from(WORD.repeat(20))]) {
    const { result, bytes } = await bench.of([[0x00282000, 'OB', wrong]], rulesFor());
    assert.equal(result.kind, 'written');
    assert.ok(!bytes.includes(WORD));
  }
});

test('an element of words anywhere in a table or in numbers costs the file', async (t) => {
  const bench = new Bench(t);
  for (const syntax of ['explicit', 'implicit', 'big'] as const) {
    const inside = Buffer.concat([element([0x00100010, 'PN', WORD], syntax), element([0x0020000d, 'UI', '1.2.3.4'], syntax), Buffer.from([1, 2, 3, 4, 5, 6])]);
    for (const tag of [0x00281201, 0x00282000]) {
      const body = Buffer.concat([...image().filter(([one]) => one < tag).map((one) => element(one, syntax)), header(tag, 'OW', inside.length, syntax), inside, ...image().filter(([one]) => one > tag).map((one) => element(one, syntax))]);
      const { bytes } = await bench.of(body, rulesFor(), syntax);
      assert.ok(!bytes.includes(WORD), `${syntax} ${tag.toString(16)}`);
    }
  }
});

test('private creators that are sequences do no harm', async (t) => {
  const { result } = await new Bench(t).of([[0x00090010, 'SQ', { items: [[[0x00100010, 'PN', WORD]]], undefinedLength: true }]], rulesFor());
  assert.equal(result.kind, 'written');
});

test('a modality that is no term becomes one that says nothing', async (t) => {
  const bench = new Bench(t);
  for (const wrong of [WORD, 'DOE^JANE', 'CT\0ZQ0815', 'ZQ 0815']) {
    const { result, bytes } = await bench.of([[0x00080060, 'CS', wrong]], rulesFor());
    assert.equal(result.kind === 'written' && result.modality, 'OT');
    assert.ok(!bytes.includes('ZQ') && !bytes.includes('DOE'));
  }
  const kept = await bench.of([[0x00080060, 'CS', 'XAPROTOCOL']], rulesFor());
  assert.equal(kept.result.kind === 'written' && kept.result.modality, 'XAPROTOCOL');
});

test('pixels of which nobody knows how many they are may not end in words, and words may not stand where numbers should', async (t) => {
  const bench = new Bench(t);
  for (const syntax of SYNTAXES) {
    const value = Buffer.concat([Buffer.alloc(9000, 7), Buffer.from(`${WORD}  `)]);
    const { result } = await bench.of([[0x00280010, 'CS', 'RGB '], [0x7fe00010, 'OW', value]], rulesFor(), syntax);
    assert.equal(result.kind === 'refused' && result.refusal.code, 'DEID_LEAK', syntax);
    for (const [tag, vr] of [[0x00280102, 'CS'], [0x00180050, 'CS'], [0x7fe00001, 'OB'], [0x00081199, 'OF']] as const) {
      assert.ok(!(await bench.of([[tag, vr, Buffer.from(`${WORD}${'\x01'.repeat(400)}ABCD`)]], rulesFor(), syntax)).bytes.includes(WORD), `${syntax} ${tag.toString(16)}`);
    }
    for (const uid of ['1.2.826.0.1.123456789.987654321.1001', '1.3.12.2.1107.5.2.13.20561.30000005060811530000000000']) {
      assert.ok(!(await bench.of([[0x52009230, 'SQ', { items: [[[0x00081150, 'UI', uid]]] }]], rulesFor(), syntax)).bytes.includes(uid), syntax);
    }
    for (const uid of ['1.3.12.2.1107.5.9.1', '1.2.840.113619.4.26', '1.2.840.10008.5.1.4.1.1.2']) assert.ok((await bench.of([[0x52009230, 'SQ', { items: [[[0x00081150, 'UI', uid]]] }]], rulesFor(), syntax)).bytes.includes(uid) || syntax === 'deflated', uid);
  }
});
