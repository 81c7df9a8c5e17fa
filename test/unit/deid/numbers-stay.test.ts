import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Element, Syntax } from '../dicom/building';
import { rulesFor } from './data-sets';
import { Bench } from './planting';

const SYNTAXES = ['explicit', 'implicit', 'big'] as const satisfies readonly Syntax[];

const bytesOf = (count: number, byte: (n: number) => number): Buffer => Buffer.from(Array.from({ length: count }, (_, n) => byte(n)));
const words = (...numbers: number[]): Buffer => {
  const bytes = Buffer.alloc(2 * numbers.length);
  for (const [n, number] of numbers.entries()) bytes.writeInt16LE(number, 2 * n);
  return bytes;
};
/** Goes up and down as a signal does, through the codes of letters and others. */
const wave = (mean: number, height: number, slowness: number) => (n: number): number => Math.round(mean + height * Math.sin(n / slowness));

/** Fractions in the range of millimetres, any of whose bytes may be letters. */
function coordinates(count: number): Buffer {
  const bytes = Buffer.alloc(4 * count);
  let state = 1;
  for (let n = 0; n < count; n += 1) {
    state = state * 48_271 % 2_147_483_647;
    bytes.writeFloatLE(20 + state % 400_000 / 1000.7, 4 * n);
  }
  return bytes;
}

/** Numbers with bytes that read as words in places, under attributes that hold such. */
const NUMBERS: ReadonlyArray<readonly [name: string, tag: number, vr: string, value: Buffer]> = [
  ['an echo time', 0x00189082, 'FD', Buffer.from('aBcXyZ\x59\x40', 'latin1')],
  ['the direction of a gradient', 0x00189089, 'FD', Buffer.from('aBcXyZ\xd9\xbf\0\0\0\0\0\0\xe0\x3f9Q7mKp\xe1\x3f', 'latin1')],
  ['a colour', 0x0062000d, 'US', Buffer.from('aBcXyZ')],
  ['the points of a graphic', 0x00700022, 'FL', Buffer.from('aBcCXyZC\x01\x80\x20\x43\0\x80\xa2\x43', 'latin1')],
  ['the points of a surface', 0x00660016, 'OF', coordinates(24_000)],
  ['a spectrum', 0x56000020, 'OF', coordinates(8192)],
  ['a signal of 8 bits', 0x54001010, 'OB', bytesOf(6000, wave(128, 60, 9))],
  ['a palette', 0x00281201, 'OW', bytesOf(256, wave(70, 12, 40))],
];

test('numbers, samples and coordinates stay, whatever letters are among their bytes', async (t) => {
  const bench = new Bench(t);
  for (const syntax of SYNTAXES) {
    for (const [name, tag, vr, value] of NUMBERS) {
      for (const content of [[[tag, vr, value]], [[0x52009230, 'SQ', { items: [[[tag, vr, value]]] }]]] as const satisfies ReadonlyArray<readonly Element[]>) {
        const { result, bytes } = await bench.of(content, rulesFor(), syntax);
        assert.equal(result.kind, 'written', `${name} ${syntax}`);
        assert.ok(bytes.includes(value.toString('latin1')), `${name} ${syntax}`);
      }
    }
  }
});

test('a text in the place of numbers, samples or coordinates goes, as letters of one byte or two', async (t) => {
  const bench = new Bench(t);
  for (const text of ['ZQ0815ZQWORT0123', 'Z\0Q\0\x30\0\x38\0\x31\0\x35\0Z\0Q\0', 'ZQ0815Z\0']) {
    for (const [name, tag, vr] of NUMBERS) {
      const { bytes } = await bench.of([[tag, vr, Buffer.from(text, 'latin1')]], rulesFor());
      assert.ok(!bytes.includes(text), `${name} ${JSON.stringify(text)}`);
    }
  }
});

test('a word of many letters goes with the few numbers among which it stands, as where a length that lies has swallowed it', async (t) => {
  const bench = new Bench(t);
  for (const text of ['A\x1bZQWORTZQ0815\x1b$\x18\0', '\x13\0\x10\x10FD\x0c\0ZQWORTZQ081M']) {
    for (const [name, tag, vr] of NUMBERS.filter(([, , own]) => ['FD', 'FL', 'OF'].includes(own))) {
      const { bytes } = await bench.of([[tag, vr, Buffer.from(text, 'latin1')]], rulesFor());
      assert.ok(!bytes.includes('ZQWORT'), `${name} ${JSON.stringify(text)}`);
    }
  }
});

test('small numbers behind each other are no elements', async (t) => {
  const bench = new Bench(t);
  const padding = Array.from({ length: 400 }, (_, n) => wave(0, 40, 7)(n));
  const values: ReadonlyArray<readonly [name: string, tag: number, vr: string, value: Buffer]> = [
    // They could be a private creator of 11 bytes, a UID of 8 and a date of 4.
    ['a signal', 0x54001010, 'OW', words(...padding, 17, 16, 11, 0, -1, -16, -18, -25, -18, -35, -32, ...padding)],
    ['a signal', 0x54001010, 'OW', words(...padding, 2, 3, 8, 0, -10, -5, -16, -15, -40, ...padding)],
    ['a signal', 0x54001010, 'OW', words(...padding, 8, 18, 4, 0, -11, -12, -16, ...padding)],
    // A private creator up to the end of the value.
    ['a signal', 0x54001010, 'OW', words(...padding, -5, 20, 2, 0, -7)],
    // A group length up to the end of the value.
    ['the points of triangles', 0x00660041, 'OL', words(1, 0, 2, 0, 3, 0, 300, 0, 4, 0, 301, 0)],
  ];
  for (const syntax of SYNTAXES) {
    for (const [name, tag, vr, value] of values) {
      const { result, bytes } = await bench.of([[tag, vr, value]], rulesFor(), syntax);
      assert.ok(result.kind === 'written' && bytes.includes(value.toString('latin1')), `${name} ${syntax}`);
    }
  }
});

test('two letters and a length among the bytes of fractions are no element, unless the tag before them is one of the standard', async (t) => {
  const bench = new Bench(t);
  const behind = coordinates(20);
  const tags = { explicit: [[0x77, 0x99, 0x34, 0x12], [0x78, 0x99, 0x34, 0x12]], big: [[0x99, 0x77, 0x12, 0x34], [0x99, 0x78, 0x12, 0x34]] } as const;
  for (const syntax of ['explicit', 'big'] as const) {
    const length = syntax === 'big' ? [0, behind.length] : [behind.length, 0];
    for (const tag of tags[syntax]) {
      const value = Buffer.concat([coordinates(10), Buffer.from([...tag, 0x53, 0x48, ...length]), behind]);
      const { result, bytes } = await bench.of([[0x00660016, 'OF', value]], rulesFor(), syntax);
      assert.ok(result.kind === 'written' && bytes.includes(value.toString('latin1')), `${syntax} ${tag.join()}`);
    }
    const known = syntax === 'big' ? [0, 0x72, 0, 2] : [0x72, 0, 2, 0];
    const swallowed = Buffer.concat([coordinates(10), Buffer.from([...known, 0x53, 0x48, ...length]), behind]);
    assert.equal((await bench.of([[0x00660016, 'OF', swallowed]], rulesFor(), syntax)).result.kind, 'unreadable', syntax);
  }
});
