import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { identifyBuffer } from '../../../nodes/engine/dicom/identify';
import { rewriteFile } from '../../../nodes/engine/dicom/rewrite';
import type { Action, ElementView } from '../../../nodes/engine/dicom/rewrite-types';
import { dataSet, element, elements, file, folder } from './building';
import type { Element, Syntax } from './building';
import { KEEP, RECURSE, REMOVE, replace, rules } from './ruling';

/** Numbers that look random and are the same every time. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = Math.imul(state ^ state >>> 15, 0x2c1b3c6d) + 0x9e3779b9 | 0;
    return ((state ^ state >>> 13) >>> 0) % below;
  };
}

const SYNTAXES: readonly Syntax[] = ['explicit', 'implicit', 'big', 'deflated'];
const nested = (undefinedLength: boolean): Element => [0x00081140, 'SQ', { undefinedLength, items: [
  [[0x00081155, 'UI', '1.2.3'], [0x00082112, 'SQ', { undefinedLength: !undefinedLength, items: [[[0x00100010, 'PN', 'A']], []] }]], [],
] }];
const bases = (syntax: Syntax): Element[] => elements(
  nested(true), [0x00082218, 'SQ', (nested(false)[2])], [0x00090010, 'LO', 'ACME'], [0x00091001, 'UN', { items: [[[0x00100010, 'PN', 'B']]], undefinedLength: true }],
  [0x00081199, 'UN', Buffer.concat([Buffer.from('feff00e000000000', 'hex')])],
  ...(syntax === 'explicit' ? [[0xfffcfffc, 'OB', Buffer.alloc(4)] as const] : []),
);

/** Values that lengths and tags like to break at. */
const NASTY = [0, 1, 2, 7, 8, 0x7f, 0x80, 0xfe, 0xff];

function mutate(bytes: Buffer, roll: (below: number) => number): Buffer {
  let mutated = Buffer.from(bytes);
  for (let change = roll(4) + 1; change > 0; change--) {
    const at = 132 + roll(Math.max(1, mutated.length - 132));
    switch (roll(7)) {
      case 0: mutated[at] = roll(256); break;
      case 1: mutated[at] = NASTY[roll(NASTY.length)]!; break;
      case 2: mutated.fill(0xff, at, Math.min(at + 4, mutated.length)); break;
      case 3: mutated = mutated.subarray(0, at); break;
      case 4: mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(at + roll(12))]); break;
      case 5: mutated = Buffer.concat([mutated.subarray(0, at), Buffer.from(Array.from({ length: roll(12) }, () => roll(256))), mutated.subarray(at)]); break;
      default: mutated.copyWithin(at, 132 + roll(Math.max(1, mutated.length - 132)));
    }
  }
  return mutated;
}

/** Elements in another order, twice, missing, or as something else. */
function mutateElements(content: readonly Element[], syntax: Syntax, roll: (below: number) => number): Buffer {
  const changed = [...content];
  for (let change = roll(4) + 1; change > 0 && changed.length > 0; change--) {
    const at = roll(changed.length);
    const [tag, vr, value] = changed[at]!;
    switch (roll(6)) {
      case 0: changed.splice(at, 1); break;
      case 1: changed.splice(roll(changed.length), 0, [tag, vr, value]); break;
      case 2: changed[at] = [(tag ^ 1 << roll(32)) >>> 0, vr, value]; break;
      case 3: changed[at] = [tag, ['SQ', 'UN', 'OB', 'ZZ', 'lo', '  '][roll(6)]!, value]; break;
      case 4: changed[at] = [[0x7fe00010, 0xfffee000, 0xfffee00d, 0xfffee0dd, 0x00020010, 0x00000000][roll(6)]!, vr, value]; break;
      default: changed[at] = [tag, vr, { items: [[[tag, vr, value]]], undefinedLength: roll(2) === 0 }];
    }
  }
  return Buffer.concat(changed.map((one) => element(one, syntax)));
}

test('mutated files end in a result: written and readable again, refused or unreadable, with nothing left behind', async (context) => {
  const at = folder(context);
  const roll = dice(20_261_122);
  const uid = Buffer.from('2.25.1');
  const decide = ({ tag, vr, privateCreator }: ElementView): Action => vr === 'SQ' ? RECURSE
    : tag === 0x00080016 || tag === 0x00080018 ? KEEP : vr === 'UI' ? replace(uid) : vr === 'PN' || privateCreator !== undefined ? REMOVE : KEEP;
  const looked = ({ length, vr }: ElementView): boolean => length !== undefined && vr !== 'SQ';
  const careful = rules({
    wanted: [0x00100020, 0x00080018, 0x00081140],
    begin: (head) => {
      for (const view of head.values()) if (looked(view)) view.ascii();
      return undefined;
    },
    element: (view) => {
      if (looked(view)) view.value();
      return decide(view);
    },
    additions: [{ tag: 0x00120062, vr: 'CS', value: Buffer.from('YES') }],
  });
  const kinds = new Map<string, number>();
  const before = process.memoryUsage().rss;
  for (let n = 0; n < 4000; n++) {
    const syntax = SYNTAXES[n % SYNTAXES.length]!;
    const content = bases(syntax);
    const bytes = n % 3 === 0 ? file(mutateElements(content, syntax, roll), syntax)
      : n % 3 === 1 ? file(mutate(Buffer.concat([Buffer.alloc(132), dataSet(content, syntax)]), roll).subarray(132), syntax)
        : mutate(file(content, syntax), roll);
    const found = identifyBuffer(bytes, bytes.length);
    assert.notEqual(found, 'more');
    const from = join(at, 'in');
    const to = join(at, 'out');
    writeFileSync(from, bytes);
    const result = await rewriteFile(from, to, careful);
    kinds.set(result.kind, (kinds.get(result.kind) ?? 0) + 1);
    assert.equal(existsSync(to), result.kind === 'written', `mutation ${n}`);
    if (result.kind === 'written') {
      const again = await rewriteFile(to, `${to}2`, careful);
      assert.equal(again.kind, 'written', `mutation ${n}: ${JSON.stringify(again)}`);
      assert.equal(again.kind === 'written' && again.droppedBytes, 0, `mutation ${n}`);
    }
    for (const name of readdirSync(at)) rmSync(join(at, name));
  }
  for (const kind of ['written', 'refused', 'unreadable']) assert.ok((kinds.get(kind) ?? 0) > 100, JSON.stringify([...kinds]));
  assert.ok(process.memoryUsage().rss - before < 200 << 20);
});
