import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { rewriteFile } from '../../../nodes/engine/dicom/rewrite';
import type { RewriteResult } from '../../../nodes/engine/dicom/rewrite-types';
import { file } from '../dicom/building';
import type { Element, Syntax } from '../dicom/building';
import { readFile } from '../dicom/reading';
import { rulesFor } from './data-sets';
import { CT_CLASS, image } from './planting';

const us = (value: number, syntax: Syntax): Buffer => {
  const bytes = Buffer.alloc(2);
  if (syntax === 'big') bytes.writeUInt16BE(value);
  else bytes.writeUInt16LE(value);
  return bytes;
};

function overlay(group: number, position: number, syntax: Syntax): Element[] {
  return [[group * 65_536 + 0x0100, 'US', us(16, syntax)], [group * 65_536 + 0x0102, 'US', us(position, syntax)]];
}

/** 12 bits of 16, in the middle where `high` says so. */
function pixels(syntax: Syntax, value: Buffer | { readonly fragments: readonly Buffer[] }, high = 11, allocated = 16): Element[] {
  return [[0x00280100, 'US', us(allocated, syntax)], [0x00280101, 'US', us(12, syntax)], [0x00280102, 'US', us(high, syntax)], [0x7fe00010, 'OW', value]];
}

async function rewrite(t: TestContext, content: readonly Element[], syntax: Syntax, transferSyntax?: string): Promise<{ result: RewriteResult; pixels: Buffer }> {
  const root = mkdtempSync(join(tmpdir(), 'exdicom-overlay-'));
  t.after(() => { rmSync(root, { recursive: true, force: true }); });
  writeFileSync(join(root, 'in'), file(image(...content), syntax, { sopClass: CT_CLASS, ...(transferSyntax === undefined ? {} : { transferSyntax }) }));
  const result = await rewriteFile(join(root, 'in'), join(root, 'out'), rulesFor());
  const value = content.find(([tag]) => tag === 0x7fe00010)?.[2];
  const length = Buffer.isBuffer(value) ? value.length : 0;
  return { result, pixels: result.kind === 'written' ? readFile(readFileSync(join(root, 'out'))).dataSet.subarray(-length) : Buffer.alloc(0) };
}

/** Samples that no word stands in by chance. */
function samples(count: number): Buffer {
  const bytes = Buffer.alloc(count * 2);
  for (let at = 0; at < bytes.length; at += 2) bytes.writeUInt16LE(0x8080 | (at * 37) % 0x7f7f & 0x7f7f, at);
  return bytes;
}

const masked = (value: Buffer, mask: number): Buffer => {
  const bytes = Buffer.from(value);
  bytes.swap16();
  for (let at = 0; at < bytes.length; at += 2) bytes.writeUInt16BE(bytes.readUInt16BE(at) & mask, at);
  return bytes.swap16();
};

for (const syntax of ['explicit', 'implicit', 'big', 'deflated'] as const) {
  test(`overlays in unused bits of pixels are cleared, and nothing else, in ${syntax}`, async (t) => {
    const native = samples(5000);
    const expected = (mask: number): Buffer => (syntax === 'big' ? masked(native, mask).swap16() : masked(native, mask));
    const given = syntax === 'big' ? Buffer.from(native).swap16() : native;
    for (const [what, content, mask] of [
      ['none is told', pixels(syntax, given), 0xffff],
      ['two above the samples', [...overlay(0x6000, 15, syntax), ...overlay(0x6004, 12, syntax), ...pixels(syntax, given)], 0x6fff],
      ['one below the samples', [...overlay(0x6000, 0, syntax), ...pixels(syntax, given, 15)], 0xfffe],
      ['one among the samples', [...overlay(0x6000, 3, syntax), ...pixels(syntax, given)], 0xffff],
      ['one with data of its own', [...overlay(0x6000, 0, syntax), [0x60003000, 'OW', Buffer.alloc(2)], ...pixels(syntax, given, 15)], 0xffff],
    ] as const satisfies ReadonlyArray<readonly [string, readonly Element[], number]>) {
      const { result, pixels: written } = await rewrite(t, content, syntax);
      assert.equal(result.kind, 'written', what);
      assert.ok(written.equals(expected(mask)), what);
    }
  });
}

test('bits are cleared over the borders of blocks, and in what another thread would copy', async (t) => {
  const value = randomFillSync(Buffer.alloc(20 << 20)).fill(0x80, 0, 64);
  // What reads as words would be looked into.
  for (let at = 0; at < value.length; at += 1) value[at]! |= 0x80;
  const { result, pixels: written } = await rewrite(t, [...overlay(0x6000, 14, 'explicit'), ...pixels('explicit', value)], 'explicit');
  assert.equal(result.kind, 'written');
  assert.ok(written.equals(masked(value, 0xbfff)));
});

test('overlays in the bits of compressed pixels, or of cells of an unknown kind, are not let through', async (t) => {
  const fragments = { fragments: [Buffer.alloc(0), Buffer.from([0xff, 0xd8, 0xff, 0xd9])] };
  const told = overlay(0x6000, 12, 'explicit');
  assert.equal((await rewrite(t, pixels('explicit', fragments), 'explicit', '1.2.840.10008.1.2.4.90')).result.kind, 'written');
  for (const [content, transferSyntax] of [[pixels('explicit', fragments), '1.2.840.10008.1.2.4.90'], [pixels('explicit', samples(100), 11, 32), undefined]] as const) {
    const { result } = await rewrite(t, [...told, ...content], 'explicit', transferSyntax);
    assert.equal(result.kind === 'refused' && result.refusal.code, 'DEID_UNSUPPORTED');
  }
});
