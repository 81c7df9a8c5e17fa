import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NewElement } from '../../../nodes/engine/dicom/rewrite-types';
import { ct, deidentify, el, rulesFor, sq } from './data-sets';

const FRAME = 0x00200052;

/** Every UID of a data set, at any depth, with the tag that it stands under; SOP Classes, which name a kind, left out. */
function uids(elements: readonly NewElement[]): Array<readonly [tag: number, uid: string]> {
  return elements.flatMap(({ tag, vr, value }) => {
    if (!Buffer.isBuffer(value)) return value.flatMap((item) => uids(item));
    return vr === 'UI' && tag !== 0x00080016 && tag !== 0x00081150 ? value.toString('latin1').split('\\').map((uid) => [tag, uid.replace(/\0+$/, '')] as const) : [];
  });
}

const reference = (instance: string): NewElement => sq(0x00081199, [el(0x00081150, 'UI', '1.2.840.10008.5.1.4.1.1.2'), el(0x00081155, 'UI', instance)]);

/** What the profile lets stand (an image's own (0008,1140) goes by Table E.1-1): an image, a structure set, a report, a presentation state and a part of a concatenation of each of three studies. */
function studies(): NewElement[][] {
  return ['1.2.10', '1.2.11', '1.2.12'].flatMap((study, n) => {
    const at = (sopClass: string, instance: string, ...more: readonly NewElement[]): NewElement[] => ct(
      el(0x00080016, 'UI', sopClass), el(0x00080018, 'UI', instance), el(0x0020000d, 'UI', study), el(0x0020000e, 'UI', `${instance}.9`),
      // The third study is of another patient, and refers to the first.
      el(0x00100020, 'LO', n === 2 ? 'P2' : 'P1'), ...more,
    );
    const image = `${study}.1`;
    const first = '1.2.10.1';
    return [
      at('1.2.840.10008.5.1.4.1.1.2', image, el(FRAME, 'UI', `${study}.500`)),
      at('1.2.840.10008.5.1.4.1.1.481.3', `${study}.2`, sq(0x30060010, [el(FRAME, 'UI', `${study}.500`), sq(0x30060012, [el(0x00081155, 'UI', study), sq(0x30060014, [el(0x0020000e, 'UI', `${image}.9`), sq(0x30060016, [el(0x00081155, 'UI', image)])])])]), sq(0x30060020, [el(0x30060024, 'UI', `${study}.500`)])),
      at('1.2.840.10008.5.1.4.1.1.88.33', `${study}.3`, sq(0x0040a375, [el(0x0020000d, 'UI', study), sq(0x00081115, [el(0x0020000e, 'UI', `${image}.9`), reference(image)])]), sq(0x0040a730, [el(0x0040a040, 'CS', 'IMAGE'), reference(image)], [el(0x0040a040, 'CS', 'UIDREF'), el(0x0040a124, 'UI', first)])),
      at('1.2.840.10008.5.1.4.1.1.11.1', `${study}.4`, sq(0x00081115, [el(0x0020000e, 'UI', `${image}.9`), sq(0x00081140, [el(0x00081155, 'UI', image)])])),
      at('1.2.840.10008.5.1.4.1.1.2.1', `${study}.5`, el(0x00200242, 'UI', image), sq(0x00089124, [el(0x00081155, 'UI', image), el(0x00081167, 'UI', `${first}\\${image}`)])),
    ];
  });
}

for (const preset of ['basic', 'basic-shifted-dates'] as const) {
  test(`every reference of three studies that resolved before resolves after (${preset})`, () => {
    const before = studies();
    // A rules object of its own for each: what refers and what is referred to are often prepared by different workers.
    const after = before.map((elements) => deidentify(rulesFor({ preset }), elements));
    const known = new Map<string, string>();
    const back = new Map<string, string>();
    for (const [n, elements] of before.entries()) {
      const originals = uids(elements);
      const mapped = uids(after[n] ?? []);
      assert.deepEqual(mapped.map(([tag]) => tag), originals.map(([tag]) => tag), 'no reference is lost');
      for (const [index, [, original]] of originals.entries()) {
        const [, uid = ''] = mapped[index] ?? [];
        assert.match(uid, /^2\.25\.(?:0|[1-9]\d{0,38})$/);
        assert.equal(known.get(original) ?? uid, uid, original);
        assert.equal(back.get(uid) ?? original, original, uid);
        known.set(original, uid);
        back.set(uid, original);
      }
    }
    assert.ok(known.size > 30);
  });
}
