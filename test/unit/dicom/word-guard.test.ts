import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { BLOCK, Copier } from '../../../nodes/engine/dicom/copier';
import { rewriteFile } from '../../../nodes/engine/dicom/rewrite';
import { Leak, WordGuard } from '../../../nodes/engine/dicom/word-guard';
import { elements, file, folder } from './building';
import { rules } from './ruling';

const WORD = 'ZQ0815ZQWORT';

/** Shows `bytes` from `start` in the source in blocks of a size, each at an odd or even place of its memory. */
function leaks(guard: WordGuard, bytes: Buffer, size: number, start = 0, shift = 0): boolean {
  try {
    for (let at = 0; at < bytes.length; at += size) {
      const part = bytes.subarray(at, at + size);
      const block = Buffer.alloc(part.length + shift + 70);
      part.copy(block, shift);
      // What stands around it in memory is none of its bytes.
      block.write(WORD, shift + part.length, 'latin1');
      guard.see(start + at, block, shift, shift + part.length);
    }
    return false;
  } catch (thrown) {
    if (thrown instanceof Leak) return true;
    throw thrown;
  }
}

test('a word is found wherever it stands in a watched value, however the value is cut into blocks', () => {
  const guard = new WordGuard();
  const watched = [100, 400];
  for (const word of [WORD, 'ABZDEF', 'A1B2C3D4'.repeat(8)]) {
    for (let at = 100; at + word.length <= 400; at += 1) {
      const bytes = Buffer.alloc(500, 9);
      bytes.write(word, at, 'latin1');
      for (const [size, shift] of [[500, 0], [500, 1], [130, 0], [64, 1], [7, 3], [1, 0]] as const) {
        guard.begin(watched).add(word);
        assert.ok(leaks(guard, bytes, size, 0, shift), `${word} at ${at} in blocks of ${size}`);
      }
    }
  }
});

test('a word that is not whole in one watched value is none', () => {
  const guard = new WordGuard();
  for (const watched of [[100, 205, 205, 400], [100, 204], [201, 400]]) {
    const bytes = Buffer.alloc(500, 9);
    bytes.write(WORD, 200, 'latin1');
    for (const size of [500, 103, 64, 3]) {
      guard.begin(watched).add(WORD);
      assert.ok(!leaks(guard, bytes, size), `${watched.join()} in blocks of ${size}`);
    }
  }
});

test('a word is found wherever it stands while another guard looks on for a part of the value', () => {
  const [here, there] = [new WordGuard(), new WordGuard()];
  for (const [first, second] of [[150, 300], [110, 391], [103, 399], [250, 320]] as const) {
    for (let at = 100; at + WORD.length <= 400; at += 1) {
      const bytes = Buffer.alloc(500, 9);
      bytes.write(WORD, at, 'latin1');
      here.begin([20, 50, 100, 400, 450, 470]).add(WORD);
      const found = leaks(here, bytes.subarray(0, first), 40) || (() => {
        there.resume(here.state);
        if (leaks(there, bytes.subarray(first, second), 70, first)) return true;
        here.passTo(second, bytes.subarray(Math.max(first, second - WordGuard.overlap), second));
        return leaks(here, bytes.subarray(second), 50, second);
      })();
      assert.ok(found, `${WORD} at ${at}, handed over at ${first} and back at ${second}`);
    }
  }
});

test('what was looked for in one file is not looked for in the next', () => {
  const guard = new WordGuard();
  const bytes = Buffer.alloc(500, 9);
  bytes.write(WORD, 90, 'latin1');
  guard.begin([0, 500]).add(WORD);
  assert.ok(leaks(guard, bytes, 95));
  guard.begin([0, 500]).add('OTHERWORD');
  assert.ok(!leaks(guard, bytes, 95));
  guard.begin([0, 500]);
  assert.equal(guard.needed, false);
});

test('a word in what the other thread copies costs the file, and nothing of it is left', async (context) => {
  const at = folder(context);
  const [from, to] = [join(at, 'in'), join(at, 'out')];
  const element = ({ tag }: { readonly tag: number }) => (tag === 0x00100010 ? { kind: 'remove' } as const : { kind: 'keep' } as const);
  const pixels = randomBytes(20 << 20);
  const rewrite = async (bytes: Buffer) => {
    writeFileSync(from, file(elements([0x00100010, 'PN', `${WORD}^X`], [0x7fe00010, 'OW', bytes])));
    while (!Copier.start().ready) await sleep(5);
    return rewriteFile(from, to, { ...rules({ element }), guardsWords: true });
  };
  assert.equal((await rewrite(pixels)).kind, 'written');
  // The first MiB of the data set goes with what stands before the pixels; from there on the other thread has blocks.
  const written = readFileSync(to);
  const dataSet = 144 + written.readUInt32LE(140);
  const first = (1 << 20) - (written.indexOf(pixels.subarray(0, 64)) - dataSet);
  rmSync(to);
  // Which of the two looks at a block is a matter of time, so every border between two is tried.
  const borders = Array.from({ length: 76 }, (_, n) => first + n * BLOCK - 1 - n % 11);
  for (const place of [0, ...borders, first, 5_000_001, (20 << 20) - WORD.length]) {
    const bytes = Buffer.from(pixels);
    bytes.write(WORD, place, 'latin1');
    const result = await rewrite(bytes);
    assert.equal(result.kind === 'refused' && result.refusal.code, 'DEID_LEAK', String(place));
    assert.ok(!existsSync(to));
  }
});
