import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import { dictionaryVr } from '../../../nodes/engine/dicom/dictionary';
import { findLayout } from '../../../nodes/engine/dicom/layout';
import type { Action, ElementView } from '../../../nodes/engine/dicom/rewrite-types';
import { rewriteFile } from '../../../nodes/engine/dicom/rewrite';
import { ByteSource } from '../../../nodes/engine/dicom/source';
import { folder, sharedFiles, withoutShared } from './building';
import type { SharedFile } from './building';
import { byPath, readDataSet, readFile } from './reading';
import type { Read } from './reading';
import { EMPTY, KEEP, RECURSE, REMOVE, replace, rules } from './ruling';

const missing = (program: string): string | false => spawnSync(program, ['--version']).error === undefined ? false : `${program} is not installed`;

/** The data set of any file, inflated, with how it is encoded. */
function dataSetOf(path: string): { body: Buffer; explicit: boolean; bigEndian: boolean } {
  const bytes = readFileSync(path);
  const layout = findLayout(ByteSource.prefix(bytes, bytes.length));
  assert.ok(layout !== undefined);
  const rest = bytes.subarray(layout.dataSetOffset);
  return { body: layout.deflated ? inflateRawSync(rest) : rest, ...layout.encoding };
}

const isSequence = (tag: number): boolean => dictionaryVr(tag) === 'SQ';
const isGroupLength = ({ tag, value }: Read): boolean => tag % 65_536 === 0 && value.length === 4;

/** Some three in ten elements change, the same ones wherever they are met; what identifies the instance stays. */
function decide(tag: number, sequence: boolean, depth: number): Action {
  if (depth === 0 && (tag === 0x00080016 || tag === 0x00080018 || tag >= 0x7fe00000 && tag <= 0x7fe0ffff)) return KEEP;
  const dice = Math.imul(tag ^ depth * 0x9e37, 0x45d9f3b) >>> 24;
  if (sequence) return dice < 200 ? RECURSE : dice < 220 ? REMOVE : dice < 230 ? EMPTY : KEEP;
  return dice < 180 ? KEEP : dice < 205 ? REMOVE : dice < 225 ? EMPTY : replace(Buffer.from('12345678', 'latin1'));
}

function compare(before: readonly Read[], after: readonly Read[], depth: number, counts: { kept: number; changed: number }): void {
  const left = after.filter((one) => !isGroupLength(one));
  for (const one of before) {
    if (isGroupLength(one)) continue;
    const action = decide(one.tag, one.children !== undefined, depth);
    if (action.kind === 'remove') {
      counts.changed++;
      continue;
    }
    const other = left.shift();
    assert.ok(other !== undefined, `${one.path} is gone`);
    assert.equal(other.tag, one.tag, `${one.path} instead of ${other.path}`);
    switch (action.kind) {
      case 'keep':
        counts.kept++;
        assert.ok(other.bytes.equals(one.bytes), `${one.path} has other bytes`);
        break;
      case 'empty':
        assert.equal(other.value.length, 0, one.path);
        counts.changed++;
        break;
      case 'replace':
        assert.equal(other.value.length, 8, one.path);
        counts.changed++;
        break;
      case 'recurse':
      case 'items':
        assert.ok(other.children !== undefined && one.children !== undefined, one.path);
        compareItems(one.children, other.children, depth + 1, counts);
        break;
      default:
        assert.fail(one.path);
    }
  }
  assert.deepEqual(left.map(({ path }) => path), [], 'nothing is left over');
}

/** Children of several items stand in one list; items are told apart by their paths. */
function compareItems(before: readonly Read[], after: readonly Read[], depth: number, counts: { kept: number; changed: number }): void {
  const items = (all: readonly Read[]): Map<string, Read[]> => Map.groupBy(all, ({ path }) => path.slice(0, path.lastIndexOf('/')));
  const others = items(after);
  for (const [item, content] of items(before)) compare(content, others.get(item) ?? [], depth, counts);
}

/** Runs a DCMTK tool over many files and gives what it says. */
function batch(program: string, options: readonly string[], paths: readonly string[]): string {
  let said = '';
  for (let at = 0; at < paths.length; at += 100) {
    const { stdout, stderr } = spawnSync(program, [...options, ...paths.slice(at, at + 100)], { encoding: 'latin1', maxBuffer: 1 << 28, env: { ...process.env, LC_ALL: 'C' } });
    said += stdout + stderr;
  }
  return said;
}

test('keeping everything keeps every data set of the shared data byte for byte, asked for as a whole or element by element', { skip: withoutShared() }, async (context) => {
  const at = folder(context);
  let written = 0;
  for (const [n, { name, path }] of sharedFiles().entries()) {
    for (const element of [() => KEEP, (view: ElementView) => view.vr === 'SQ' ? RECURSE : KEEP]) {
      const to = join(at, `${n}-${written}`);
      const result = await rewriteFile(path, to, rules({ element }));
      if (result.kind !== 'written') continue;
      written++;
      const { body } = dataSetOf(path);
      assert.ok(readFile(readFileSync(to)).dataSet.equals(body.subarray(0, body.length - result.droppedBytes)), name);
    }
  }
  assert.ok(written > 780, `${written} written`);
});

test('of a kept element every byte is the same before and after, whatever happens around it; DCMTK reads the results', {
  skip: withoutShared() || missing('dcmdump') || missing('dcmftest'),
}, async (context) => {
  const at = folder(context);
  const counts = { kept: 0, changed: 0 };
  const readable = new Map<string, SharedFile>();
  for (const [n, shared] of sharedFiles().entries()) {
    const to = join(at, `${n}.dcm`);
    const result = await rewriteFile(shared.path, to, rules({ element: (view) => decide(view.tag, view.vr === 'SQ', view.path.length), additions: [{ tag: 0x00120062, vr: 'CS', value: Buffer.from('YES') }] }));
    // A DICOMDIR is an index, not an instance: it is never rewritten.
    if (!shared.dcmdump || !shared.pydicom || shared.name.includes('DICOMDIR')) continue;
    if (result.kind === 'unreadable') assert.equal(shared.name, 'synthetic/hostile/sq_item_len_overflow.dcm', 'the one that only lies inside a sequence');
    if (result.kind === 'refused') assert.equal(result.refusal.code, 'DICOM_INCOMPLETE', shared.name);
    if (result.kind !== 'written') continue;
    readable.set(to, shared);
    const { body, explicit, bigEndian } = dataSetOf(shared.path);
    const before = readDataSet(body.subarray(0, body.length - result.droppedBytes), explicit, bigEndian, isSequence);
    const after = readDataSet(readFile(readFileSync(to)).dataSet, explicit, bigEndian, isSequence);
    assert.equal(after.filter(({ tag }) => tag === 0x00120062).length, 1, shared.name);
    const rest = (all: readonly Read[]): Read[] => all.filter(({ tag }) => tag !== 0x00120062);
    try {
      compare(rest(before), rest(after), 0, counts);
    } catch (thrown) {
      throw new Error(shared.name, { cause: thrown });
    }
    assert.ok(byPath(after).size > 0);
  }
  assert.ok(readable.size > 370, `${readable.size} files`);
  assert.ok(counts.kept > 20_000 && counts.changed > 8_000, JSON.stringify(counts));

  const paths = [...readable.keys()];
  const tested = batch('dcmftest', [], paths).split('\n').filter((line) => line.startsWith('no:'));
  assert.deepEqual(tested, []);
  const errors = batch('dcmdump', ['-q', '+P', '0008,0018'], paths).split('\n').filter((line) => line.startsWith('E:'));
  assert.deepEqual(errors, []);
  // With warnings on, DCMTK reads the whole of each file; errors are what counts.
  const whole = batch('dcmdump', ['+L'], paths).split('\n').filter((line) => line.startsWith('E:'));
  assert.deepEqual(whole, []);
});
