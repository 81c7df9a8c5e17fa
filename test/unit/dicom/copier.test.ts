import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { BLOCK, BLOCKS, Copier } from '../../../nodes/engine/dicom/copier';
import { rewriteFile } from '../../../nodes/engine/dicom/rewrite';
import { Unreadable } from '../../../nodes/engine/dicom/source';
import { elements, file, folder } from './building';
import { replace, rules } from './ruling';

async function ready(): Promise<Copier> {
  while (!Copier.start().ready) await sleep(5);
  return Copier.start();
}

/** More than the shared memory holds, and no multiple of a block. */
const LENGTH = BLOCK * BLOCKS * 2 + 12_345;

test('a range is copied to its place, and every byte of it is shown in order', async (context) => {
  const at = folder(context);
  const [from, to] = [join(at, 'from'), join(at, 'to')];
  const bytes = randomBytes(LENGTH + 1000);
  writeFileSync(from, bytes);
  writeFileSync(to, 'head');
  const copier = await ready();
  for (const start of [0, 777]) {
    const shown = createHash('sha256');
    copier.copy({ from, to, start, position: 4, length: LENGTH }, (block) => { shown.update(block); });
    const range = bytes.subarray(start, start + LENGTH);
    assert.equal(shown.digest('hex'), createHash('sha256').update(range).digest('hex'));
    assert.ok(readFileSync(to).equals(Buffer.concat([Buffer.from('head'), range])));
  }
});

test('a file that is shorter than it was is unreadable where it ends, and the next one is copied by a new thread', async (context) => {
  const at = folder(context);
  const [from, to] = [join(at, 'from'), join(at, 'to')];
  writeFileSync(from, randomBytes(LENGTH));
  writeFileSync(to, '');
  const copier = await ready();
  const order = { from, to, start: 0, position: 0, length: LENGTH + 1 };
  assert.throws(() => { copier.copy(order, () => undefined); }, (error) => error instanceof Unreadable && error.offset === LENGTH);
  assert.throws(() => { Copier.start().copy({ ...order, from: join(at, 'none') }, () => undefined); }, { code: 'ENOENT' });
  assert.notEqual(await ready(), copier);
  (await ready()).copy({ ...order, length: LENGTH }, () => undefined);
  assert.ok(readFileSync(to).equals(readFileSync(from)));
});

test('a system error of the other thread keeps its code', async (context) => {
  const at = folder(context);
  writeFileSync(join(at, 'from'), randomBytes(LENGTH));
  const copier = await ready();
  assert.throws(() => { copier.copy({ from: join(at, 'from'), to: join(at, 'none'), start: 0, position: 0, length: LENGTH }, () => undefined); }, { code: 'ENOENT' });
});

test('what the other thread copies is in the digest, with what stands before and behind it', async (context) => {
  const at = folder(context);
  const content = elements([0x00100010, 'PN', 'NAME'], [0x7fe00010, 'OW', randomBytes(40 << 20)], [0xfffcfffc, 'OB', Buffer.alloc(10)]);
  writeFileSync(join(at, 'in'), file(content));
  await ready();
  const result = await rewriteFile(join(at, 'in'), join(at, 'out'), rules({ element: ({ tag }) => (tag === 0x00100010 ? replace('ANONYMIZED') : { kind: 'keep' }) }));
  const output = readFileSync(join(at, 'out'));
  assert.equal(result.kind, 'written');
  assert.deepEqual({ bytes: result.bytes, sha256: result.sha256 }, { bytes: output.length, sha256: createHash('sha256').update(output).digest('hex') });
  assert.ok(output.subarray(-(40 << 20)).equals(file(content).subarray(-(40 << 20))));
});

test('a file that loses its end while it is rewritten leaves nothing behind', async (context) => {
  const at = folder(context);
  const path = join(at, 'in');
  writeFileSync(path, file(elements([0x7fe00010, 'OW', randomBytes(40 << 20)])));
  await ready();
  const fd = openSync(path, 'r+');
  const result = await rewriteFile(path, join(at, 'out'), rules({ fileMeta: [], element: () => { ftruncateSync(fd, 30 << 20); return { kind: 'keep' }; } }));
  closeSync(fd);
  assert.equal(result.kind, 'unreadable');
  assert.throws(() => readFileSync(join(at, 'out')), { code: 'ENOENT' });
});
