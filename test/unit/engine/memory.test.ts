import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BLOCK, giveBack, giveBlock, takeBlock, withBlock } from '../../../nodes/engine/memory';

test('what is given back is empty at once, with all that shares its memory', () => {
  const whole = Buffer.alloc(1 << 20, 7);
  const part = whole.subarray(10, 20);
  giveBack(part);
  assert.equal(whole.length, 0);
  assert.equal(part.length, 0);
});

test('memory that small buffers share with others, or threads with each other, is not given back', () => {
  const small = Buffer.from('small');
  const neighbour = Buffer.from('neighbour');
  giveBack(small);
  assert.equal(small.toString(), 'small');
  assert.equal(neighbour.toString(), 'neighbour');
  const shared = Buffer.from(new SharedArrayBuffer(1 << 20));
  giveBack(shared);
  assert.equal(shared.length, 1 << 20);
});

test('a block that was given is taken again, and never by two', () => {
  const taken = Array.from({ length: 8 }, takeBlock);
  assert.equal(new Set(taken).size, 8);
  assert.ok(taken.every(({ length }) => length === BLOCK));
  for (const block of taken) giveBlock(block);
  const again = Array.from({ length: 8 }, takeBlock);
  assert.equal(new Set(again).size, 8);
  assert.ok(again.filter((block) => taken.includes(block)).length >= 1);
});

test('a lent block comes back, also from who fails', () => {
  let lent: Buffer | undefined;
  assert.throws(() => { withBlock((block) => { lent = block; throw new Error('no'); }); }, { message: 'no' });
  assert.equal(withBlock((block) => block), lent);
});
