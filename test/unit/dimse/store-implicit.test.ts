import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { writeImplicit } from '../../../nodes/engine/dimse/to-implicit';
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

/** Converts a data set through files, as it is done for a peer. */
function convert(dataSet: Buffer): Buffer {
  using study = makeStudy([{ dataSet }]);
  const file = study.files[0]!;
  const target = join(study.scratch(), 'converted');
  const { length } = writeImplicit({ path: file.path, bytes: file.bytes, target }, { progress: () => { /* nobody looks */ } });
  const converted = readFileSync(target);
  assert.equal(length, converted.length);
  return converted;
}

describe('Explicit to Implicit VR Little Endian', () => {
  after(closePool);

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
