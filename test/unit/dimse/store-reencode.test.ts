import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { reencode } from '../../../nodes/engine/dimse/reencode';
import type { Reencoding } from '../../../nodes/engine/dimse/reencode';
import { closePool } from '../../../nodes/engine/workers/pool';
import { startFaultScp } from '../../support/fault-scp';
import { EXPLICIT, IMPLICIT, JPEG, alike, element, makeStudy, pacs, send } from '../../support/store-study';

const header = (tag: number, length: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(tag >>> 16, 0);
  bytes.writeUInt16LE(tag & 0xffff, 2);
  bytes.writeUInt32LE(length, 4);
  return bytes;
};
const implicit = (tag: number, value: string | Buffer): Buffer => Buffer.concat([header(tag, value.length), Buffer.from(value)]);
const long = (tag: number, vr: string, length: number): Buffer => {
  const bytes = Buffer.alloc(12);
  header(tag, 0).copy(bytes, 0, 0, 4);
  bytes.write(vr, 4, 'latin1');
  bytes.writeUInt32LE(length, 8);
  return bytes;
};
const UNDEFINED = 0xffff_ffff;
const [ITEM, ITEM_END, SEQUENCE_END] = [header(0xfffee000, UNDEFINED), header(0xfffee00d, 0), header(0xfffee0dd, 0)];

/** Rewrites a data set through files, as it is done for a peer. */
function convert(dataSet: Buffer, from: Reencoding['from'] = 'explicit', to: Reencoding['to'] = 'implicit'): Buffer {
  using study = makeStudy([{ dataSet }]);
  const file = study.files[0]!;
  const target = join(study.scratch(), 'converted');
  writeFileSync(target, '');
  const { length } = reencode({ path: file.path, bytes: file.bytes, target, from, to }, { progress: () => { /* nobody looks */ } });
  const converted = readFileSync(target);
  assert.equal(length, converted.length);
  return converted;
}

after(closePool);

describe('Explicit to Implicit VR Little Endian', () => {
  it('rewrites every header and copies every value', () => {
    const pixels = Buffer.from(Array.from({ length: 600_000 }, (_, i) => i * 7 & 0xff));
    assert.deepEqual(
      convert(Buffer.concat([element(0x00080005, 'CS', 'ISO_IR 100'), element(0x00100010, 'PN', 'A^B'), element(0x00280010, 'US', Buffer.from([1, 2])), element(0x7fe00010, 'OB', pixels)])),
      Buffer.concat([implicit(0x00080005, 'ISO_IR 100'), implicit(0x00100010, 'A^B '), implicit(0x00280010, Buffer.from([1, 2])), implicit(0x7fe00010, pixels)]),
    );
  });

  it('gives sequences and items undefined lengths, whatever they had, at every depth', () => {
    const leaf = element(0x00080100, 'SH', 'X1');
    const inner = (defined: boolean): Buffer => (defined
      ? Buffer.concat([long(0x00081140, 'SQ', 8 + leaf.length), header(0xfffee000, leaf.length), leaf])
      : Buffer.concat([long(0x00081140, 'SQ', UNDEFINED), ITEM, leaf, ITEM_END, SEQUENCE_END]));
    const expected = Buffer.concat([header(0x00081110, UNDEFINED), ITEM, header(0x00081140, UNDEFINED), ITEM, implicit(0x00080100, 'X1'), ITEM_END, SEQUENCE_END, ITEM_END, SEQUENCE_END]);
    for (const defined of [true, false]) {
      for (const around of [true, false]) {
        const content = inner(defined);
        const outer = around
          ? Buffer.concat([long(0x00081110, 'SQ', 8 + content.length), header(0xfffee000, content.length), content])
          : Buffer.concat([long(0x00081110, 'SQ', UNDEFINED), ITEM, content, ITEM_END, SEQUENCE_END]);
        assert.deepEqual(convert(Buffer.concat([outer, element(0x00100020, 'LO', 'ID')])), Buffer.concat([expected, implicit(0x00100020, 'ID')]));
      }
    }
  });

  it('keeps empty sequences and items, and leaves group lengths out', () => {
    assert.deepEqual(
      convert(Buffer.concat([element(0x00080000, 'UL', Buffer.from([9, 0, 0, 0])), long(0x00081110, 'SQ', 0), long(0x00081115, 'SQ', 8), header(0xfffee000, 0)])),
      Buffer.concat([header(0x00081110, 0), header(0x00081115, UNDEFINED), header(0xfffee000, 0), SEQUENCE_END]),
    );
  });

  it('takes an unknown VR of undefined length for a sequence that is implicit already (PS3.5, 6.2.2)', () => {
    const content = Buffer.concat([ITEM, implicit(0x00090010, 'AB'), header(0x00091001, UNDEFINED), ITEM, implicit(0x00090011, 'CD'), ITEM_END, SEQUENCE_END, ITEM_END, SEQUENCE_END]);
    assert.deepEqual(convert(Buffer.concat([long(0x00091002, 'UN', UNDEFINED), content])), Buffer.concat([header(0x00091002, UNDEFINED), content]));
  });

  it('refuses what is cut off, nested without end, or of no known VR, and leaves nothing behind', () => {
    const whole = Buffer.concat([long(0x00081110, 'SQ', UNDEFINED), ITEM, element(0x00080100, 'SH', 'X1'), ITEM_END, SEQUENCE_END]);
    const nested = Buffer.concat(Array.from({ length: 5_000 }, () => Buffer.concat([long(0x00081110, 'SQ', UNDEFINED), ITEM])));
    for (const dataSet of [whole.subarray(0, 30), whole.subarray(0, whole.length - 8), nested, Buffer.concat([long(0x00081110, 'Q?', 2), Buffer.alloc(2)]), long(0x7fe00010, 'OW', 0x7fff_fffe)]) {
      assert.throws(() => convert(dataSet), { code: 'DICOM_UNREADABLE' });
    }
  });

  it('never sends encapsulated pixel data that way', () => {
    assert.throws(() => convert(Buffer.concat([long(0x7fe00010, 'OB', UNDEFINED), header(0xfffee000, 0), SEQUENCE_END])), { code: 'NO_CONTEXT' });
  });

  it('a peer that takes only Implicit VR Little Endian gets the explicit files so, and nothing stays on disk', async () => {
    using study = makeStudy([{}, { pixels: 3_000_000 }, { transferSyntaxUID: JPEG }, {}, { dataSet: element(0x00080016, 'UI', '1.2').subarray(0, 9) }]);
    await using scp = await startFaultScp({ accept: (_, [syntax]) => (syntax === IMPLICIT ? syntax : undefined) });
    const { sent, codes } = await send(study, pacs(scp.port));
    assert.deepEqual(sent, [1, 2, 4]);
    assert.deepEqual(codes, { 3: 'NO_CONTEXT', 5: 'DICOM_UNREADABLE' });
    assert.deepEqual(scp.messages.map(({ dataSet }) => dataSet), [convert(study.dataSet(1)), convert(study.dataSet(2)), convert(study.dataSet(4))]);
    assert.deepEqual(readdirSync(study.scratch()), []);
  });

  it('nothing stays on disk where the connection breaks or the node stops', async () => {
    using study = makeStudy(alike(4));
    await using scp = await startFaultScp({ accept: (_, [syntax]) => (syntax === IMPLICIT ? syntax : undefined), respond: ({ index }) => (index === 0 ? 0 : 'rst') });
    assert.deepEqual((await send(study, pacs(scp.port))).codes, { 2: 'PEER_CLOSED', 3: 'PEER_CLOSED', 4: 'PEER_CLOSED' });
    assert.deepEqual(readdirSync(study.scratch()), []);
    const stop = new AbortController();
    await using silent = await startFaultScp({ accept: (_, [syntax]) => (syntax === IMPLICIT ? syntax : undefined), respond: () => { stop.abort(new Error('stopped')); return 'silence'; } });
    await assert.rejects(send(study, pacs(silent.port), { signal: stop.signal }), /stopped/);
    assert.deepEqual(readdirSync(study.scratch()), []);
    assert.ok(existsSync(study.files[0]!.path));
    assert.equal(study.files[0]!.transferSyntaxUID, EXPLICIT);
  });
});

describe('a data set of an odd length', () => {
  /** An element with the length of its value as it is. */
  const odd = (tag: number, vr: string, value: string): Buffer => {
    const even = element(tag, vr, value);
    const cut = even.subarray(0, even.length - 1);
    if (['OB', 'OW', 'UN', 'UT'].includes(vr)) cut.writeUInt32LE(value.length, 8);
    else cut.writeUInt16LE(value.length, 6);
    return cut;
  };

  it('gets every value padded, at every depth, in Explicit VR', () => {
    const nested = odd(0x00080100, 'SH', 'ABC');
    assert.deepEqual(
      convert(Buffer.concat([
        odd(0x00080018, 'UI', '1.2'), long(0x00081110, 'SQ', 8 + nested.length), header(0xfffee000, nested.length), nested, element(0x00100010, 'PN', 'EVEN'), odd(0x7fe00010, 'OW', 'PIXEL'),
      ]), 'explicit', 'explicit'),
      Buffer.concat([
        element(0x00080018, 'UI', '1.2\0'), long(0x00081110, 'SQ', UNDEFINED), ITEM, element(0x00080100, 'SH', 'ABC '), ITEM_END, SEQUENCE_END, element(0x00100010, 'PN', 'EVEN'), element(0x7fe00010, 'OW', 'PIXEL\0'),
      ]),
    );
  });

  it('gets them padded by what the dictionary knows, in Implicit VR', () => {
    assert.deepEqual(
      convert(Buffer.concat([implicit(0x00080018, '1.2'), implicit(0x00081110, Buffer.concat([header(0xfffee000, 11), implicit(0x00080104, 'ABC')])), implicit(0x00100010, 'ODD'), implicit(0x00091001, '\x01\x02\x03')]), 'implicit', 'implicit'),
      Buffer.concat([implicit(0x00080018, '1.2\0'), header(0x00081110, UNDEFINED), ITEM, implicit(0x00080104, 'ABC '), ITEM_END, SEQUENCE_END, implicit(0x00100010, 'ODD '), implicit(0x00091001, '\x01\x02\x03\0')]),
    );
  });

  it('encapsulated: the last fragment may be padded, no other', () => {
    const start = Buffer.concat([long(0x7fe00010, 'OB', UNDEFINED), header(0xfffee000, 0)]);
    const fragment = (content: string): Buffer => Buffer.concat([header(0xfffee000, content.length), Buffer.from(content)]);
    assert.deepEqual(convert(Buffer.concat([start, fragment('AB'), fragment('CDE'), SEQUENCE_END]), 'explicit', 'explicit'), Buffer.concat([start, fragment('AB'), fragment('CDE\0'), SEQUENCE_END]));
    assert.throws(() => convert(Buffer.concat([start, fragment('CDE'), fragment('AB'), SEQUENCE_END]), 'explicit', 'explicit'), { code: 'DICOM_UNREADABLE' });
  });

  it('deflated: a NUL at its end', () => {
    assert.deepEqual(convert(Buffer.from('abc'), 'bytes', 'bytes'), Buffer.from('abc\0'));
  });

  it('is sent so, and one that cannot be mended costs only itself', async () => {
    using study = makeStudy([
      { dataSet: Buffer.concat([element(0x00100010, 'PN', 'EVEN'), odd(0x7fe00010, 'OB', 'PIXEL')]) }, {},
      { dataSet: element(0x7fe00010, 'OW', Buffer.alloc(100)).subarray(0, 99) }, { transferSyntaxUID: '1.2.840.10008.1.2.2', dataSet: Buffer.alloc(33) }, {},
    ]);
    await using scp = await startFaultScp();
    const { sent, codes } = await send(study, pacs(scp.port));
    assert.deepEqual(sent, [1, 2, 5]);
    assert.deepEqual(codes, { 3: 'DICOM_UNREADABLE', 4: 'DICOM_UNREADABLE' });
    assert.deepEqual(scp.messages[0]?.dataSet, Buffer.concat([element(0x00100010, 'PN', 'EVEN'), element(0x7fe00010, 'OB', 'PIXEL\0')]));
    assert.deepEqual(readdirSync(study.scratch()), []);
  });
});
