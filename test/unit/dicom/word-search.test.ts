import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { WordSearch } from '../../../nodes/engine/dicom/word-search';

/** Bytes as of a compressed image, the same in every run. */
function noise(length: number, seed = ''): Buffer {
  const parts: Buffer[] = [];
  for (let n = 0; n * 32 < length; n += 1) parts.push(createHash('sha256').update(`${seed} ${n}`).digest());
  return Buffer.concat(parts).subarray(0, length);
}

/** Whether `word` is looked for where `value` is a removed value of bytes. */
function knows(value: Buffer, word: Buffer): boolean {
  const search = new WordSearch();
  search.addOfBytes(value);
  const place = Buffer.concat([Buffer.alloc(33, 1), word, Buffer.alloc(33, 1)]);
  return search.isIn(place, 0, place.length);
}

const NAMES = {
  ascii: Buffer.from('DOLITTLE'),
  latin1: Buffer.from('M\u00fcller-L\u00fcd', 'latin1'),
  // ISO 8859-5 and EUC-KR: every byte has the highest bit.
  cyrillic: Buffer.from([0xbb, 0xee, 0xda, 0xd5, 0xdc, 0xd1, 0xe0, 0xd3]),
  korean: Buffer.from([0xb1, 0xe8, 0xc8, 0xf1, 0xc1, 0xdf]),
  utf8: Buffer.from('\u0418\u0432\u0430\u043d\u043e\u0432'),
  chinese: Buffer.from('\u738b\u5c0f\u4e1c'),
};

test('names in records within noise are looked for, as strings that end with NUL in any character set', () => {
  for (const [set, name] of Object.entries(NAMES)) {
    for (const at of [0, 1000, 4000]) {
      const value = Buffer.from(noise(4096, set));
      Buffer.concat([Buffer.alloc(1), name, Buffer.alloc(1)]).copy(value, at);
      assert.ok(knows(value, name), `${set} at ${at}`);
    }
    assert.ok(knows(Buffer.concat([noise(4096), Buffer.alloc(1), name]), name), `${set} at the end`);
  }
});

test('names in noise are looked for without a NUL where they are ASCII or UTF-8, also where noise adjoins the ASCII ones', () => {
  for (const name of [NAMES.ascii, NAMES.utf8, NAMES.chinese]) {
    const value = Buffer.from(noise(4096));
    Buffer.concat([Buffer.from([1]), name, Buffer.from([2])]).copy(value, 2000);
    assert.ok(knows(value, name));
  }
  const value = Buffer.from(noise(4096));
  Buffer.concat([Buffer.from([0xf1]), NAMES.ascii, Buffer.from([0xf1])]).copy(value, 2000);
  assert.ok(knows(value, NAMES.ascii));
});

test('of texts, short values and elements written as bytes every word is looked for', () => {
  for (const [set, name] of Object.entries(NAMES)) {
    const text = Buffer.concat(Array.from({ length: 40 }, () => Buffer.concat([name, Buffer.from(' ')])));
    assert.ok(knows(text, name), set);
    // Headers with lengths and tags on either side, as in a data set, and fields of records.
    const inElements = Buffer.concat(Array.from({ length: 40 }, (_, n) => Buffer.concat([Buffer.from([0x09, 0, 0x10 + n, 0x10, 0x4c, 0x4f, name.length, 0]), name])));
    assert.ok(knows(Buffer.concat([inElements, Buffer.from([0x09, 0])]), name), set);
    assert.ok(knows(Buffer.concat([noise(20), Buffer.from([1]), name, Buffer.from([2]), noise(20)]), name), set);
  }
});

test('what noise looks like is hardly ever looked for', () => {
  const value = noise(4096);
  const search = new WordSearch();
  search.addOfBytes(value);
  let found = 0;
  for (let at = 0; at + 64 <= value.length; at += 64) if (search.isIn(value, at, at + 64)) found += 1;
  assert.ok(found < 20, `${found} of 64`);
});

test('a file in which nothing reads as a word has none to look for', () => {
  const search = new WordSearch();
  search.add('a b^c\\12345 ......');
  search.addOfBytes(Buffer.from('\0\x01AB\0'));
  assert.ok(search.empty);
});
