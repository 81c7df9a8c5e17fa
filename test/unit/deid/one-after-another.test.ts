import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { rewriteFile } from '../../../nodes/engine/dicom/rewrite';
import type { NewElement } from '../../../nodes/engine/dicom/rewrite-types';
import type { DeidentificationRules } from '../../../nodes/engine/deid/rules';
import { WANTED } from '../../../nodes/engine/deid/subject';
import { ct, el, part10, rulesFor, sq } from './data-sets';

const PRESET = { preset: 'basic-shifted-dates' } as const;

function rewriter(t: TestContext): (file: Buffer, rules: DeidentificationRules) => Promise<string> {
  const root = mkdtempSync(join(tmpdir(), 'exdicom-deid-'));
  t.after(() => { rmSync(root, { recursive: true, force: true }); });
  return async (file, rules) => {
    const [from, to] = [join(root, 'in'), join(root, 'out')];
    writeFileSync(from, file);
    rmSync(to, { force: true });
    rules.takeMarks();
    const result = await rewriteFile(from, to, rules);
    const bytes = result.kind === 'written' ? readFileSync(to, 'latin1') : '';
    // All of it but when it was written.
    return JSON.stringify([{ ...result, mtimeMs: 0 }, rules.takeMarks(), bytes]);
  };
}

const BASE: readonly NewElement[] = [
  el(0x00080008, 'CS', 'ORIGINAL\\PRIMARY'), el(0x00080020, 'DA', '20200102'), el(0x00080050, 'SH', 'ACC-1'), el(0x00081030, 'LO', 'Chest of Dolittle'), el(0x00181030, 'LO', 'Chest'), el(0x00181250, 'SH', 'Protocol coil'), el(0x00200010, 'SH', 'STUDY-1'),
];

/** One file for each element that decides something for all others, with another value of it, without it, and with it empty. */
function variants(): Array<readonly [name: string, file: Buffer]> {
  return WANTED.flatMap((tag) => {
    const name = tag.toString(16).padStart(8, '0');
    const vr = [0x00081115, 0x00102202, 0x52009229].includes(tag) ? 'SQ' : [0x00080016, 0x00080018, 0x0020000d, 0x0020000e].includes(tag) ? 'UI' : 'LO';
    const without = BASE.filter((element) => element.tag !== tag);
    const others = vr === 'SQ' ? [sq(tag, [el(0x00080100, 'SH', 'X')])] : [el(tag, vr, vr === 'UI' ? '1.2.840.10008.5.1.4.1.1.4' : 'Protocol'), el(tag, vr, ''), el(tag, vr, 'x'.repeat(2000))];
    return [
      [`${name} absent`, part10(ct(...without).filter((element) => element.tag !== tag))] as const,
      ...others.map((other, n) => [`${name} ${n}`, part10(ct(...without, other))] as const),
    ];
  });
}

test('a file comes out the same whichever file went before it', async (t) => {
  const rewrite = rewriter(t);
  const shared = rulesFor(PRESET);
  const base = part10(ct(...BASE));
  const expected = await rewrite(base, rulesFor(PRESET));
  assert.match(expected, /"kind":"written"/);
  for (const [name, file] of variants()) {
    assert.equal(await rewrite(base, shared), expected, `before ${name}`);
    assert.equal(await rewrite(file, shared), await rewrite(file, rulesFor(PRESET)), name);
    assert.equal(await rewrite(file, shared), await rewrite(file, rulesFor(PRESET)), `${name}, twice`);
  }
});

test('files of a series that differ in their SOP Instance UID alone get each its own', async (t) => {
  const rewrite = rewriter(t);
  const shared = rulesFor(PRESET);
  const seen = new Set<string>();
  for (let n = 1; n <= 5; n += 1) {
    const file = part10(ct(...BASE, el(0x00080018, 'UI', `1.2.3.4.${n}`)));
    const result = await rewrite(file, shared);
    assert.equal(result, await rewrite(file, rulesFor(PRESET)));
    seen.add(result);
  }
  assert.equal(seen.size, 5);
});
