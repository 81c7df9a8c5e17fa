import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AcceptedContexts, planContexts } from '../../../nodes/engine/dimse/contexts';
import { PDU, PduReader, RELEASE_REQUEST, decodeAssociateAccept, encodeCommand } from '../../../nodes/engine/dimse/pdu';
import { judgeStoreStatus, statusText } from '../../../nodes/engine/dimse/store-status';
import { CT, EXPLICIT, IMPLICIT, JPEG, MR } from '../../support/store-study';

const hasCode = (code: string) => (thrown: unknown): boolean => typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === code;

function dataPdu(length: number): Buffer {
  const pdu = Buffer.alloc(6 + length, 1);
  pdu[0] = PDU.data;
  pdu.writeUInt32BE(length, 2);
  return pdu;
}

describe('reading PDUs', () => {
  it('puts them together however they are cut', () => {
    const stream = Buffer.concat([dataPdu(10), RELEASE_REQUEST, dataPdu(3_000), dataPdu(0)]);
    for (const step of [1, 2, 5, 7, 100, stream.length]) {
      const reader = new PduReader(16_384);
      const pdus: Array<[number, number]> = [];
      for (let at = 0; at < stream.length; at += step) for (const { type, body } of reader.push(stream.subarray(at, at + step))) pdus.push([type, body.length]);
      assert.deepEqual(pdus, [[4, 10], [5, 4], [4, 3_000], [4, 0]]);
      assert.equal(reader.partial, undefined);
    }
  });

  it('says of what kind the one is that has arrived in part', () => {
    const reader = new PduReader(16_384);
    reader.push(dataPdu(10).subarray(0, 12));
    assert.equal(reader.partial, PDU.data);
  });

  it('refuses a length beyond what we proposed before it waits for the bytes', () => {
    const header = (type: number, length: number): Buffer => {
      const bytes = Buffer.alloc(6);
      bytes[0] = type;
      bytes.writeUInt32BE(length, 2);
      return bytes;
    };
    for (const [type, length] of [[4, 20_000], [4, 0xffff_ffff], [2, 1 << 20], [3, 5_000], [7, 5_000], [0, 4], [8, 4], [0x48, 4]] as const) {
      assert.throws(() => new PduReader(16_384).push(header(type, length)), hasCode('PEER_PROTOCOL'), `type ${type}, length ${length}`);
    }
  });
});

describe('reading an association answer', () => {
  const item = (type: number, body: Buffer): Buffer => Buffer.concat([Buffer.from([type, 0, body.length >> 8, body.length & 0xff]), body]);
  const context = (id: number, result: number, syntax: string): Buffer => item(0x21, Buffer.concat([Buffer.from([id, 0, result, 0]), item(0x40, Buffer.from(syntax))]));
  const head = Buffer.alloc(68);

  it('takes what was accepted, the maximum length and the implementation', () => {
    const user = item(0x50, Buffer.concat([item(0x51, Buffer.from([0, 0, 0x40, 0])), item(0x52, Buffer.from('1.2.276.0.7230010.3.0.3.6.7\0')), item(0x55, Buffer.from('X'))]));
    const answer = decodeAssociateAccept(Buffer.concat([head, item(0x10, Buffer.from('1.2')), context(1, 0, `${EXPLICIT}\0`), context(3, 4, ''), user]));
    assert.deepEqual([...answer.accepted], [[1, EXPLICIT]]);
    assert.equal(answer.maxPdu, 16_384);
    assert.equal(answer.implementationClassUID, '1.2.276.0.7230010.3.0.3.6.7');
  });

  it('refuses one that is cut off, at any byte', () => {
    const whole = Buffer.concat([head, context(1, 0, EXPLICIT), item(0x50, item(0x51, Buffer.from([0, 0, 0x40, 0])))]);
    const ends = new Set([68, 68 + context(1, 0, EXPLICIT).length]);
    for (let length = 0; length < whole.length; length += 1) {
      if (!ends.has(length)) assert.throws(() => decodeAssociateAccept(whole.subarray(0, length)), hasCode('PEER_PROTOCOL'), `cut at ${length}`);
    }
  });

  it('refuses a context that is answered twice', () => {
    assert.throws(() => decodeAssociateAccept(Buffer.concat([head, context(1, 0, EXPLICIT), context(1, 0, IMPLICIT)])), hasCode('PEER_PROTOCOL'));
  });
});

describe('commands', () => {
  it('are cut where the peer takes only small PDUs, the last fragment marked', () => {
    const command = Buffer.alloc(100, 7);
    const bytes = encodeCommand(5, command, 40);
    assert.equal(bytes.length, 100 + 3 * 12);
    const fragments: Buffer[] = [];
    const controls: number[] = [];
    for (let at = 0; at < bytes.length;) {
      const length = bytes.readUInt32BE(at + 6) - 2;
      assert.equal(bytes.readUInt32BE(at + 2), length + 6);
      controls.push(bytes.readUInt8(at + 11));
      fragments.push(bytes.subarray(at + 12, at + 12 + length));
      at += 12 + length;
    }
    assert.deepEqual(Buffer.concat(fragments), command);
    assert.deepEqual(controls, [1, 1, 3]);
  });
});

describe('presentation contexts', () => {
  it('128 fit one association; what asks for more goes to the next, in order', () => {
    const items = Array.from({ length: 150 }, (_, i) => ({ sopClassUID: `${CT}.${i % 75}`, transferSyntaxUID: i < 75 ? EXPLICIT : JPEG, n: i }));
    const groups = planContexts(items);
    assert.ok(groups.length > 1 && groups.every(({ contexts }) => contexts.length <= 128));
    assert.deepEqual(groups.flatMap((group) => group.items.map(({ n }) => n)).sort((a, b) => a - b), items.map(({ n }) => n));
    for (const { contexts, items: members } of groups) {
      assert.deepEqual(contexts.map(({ id }) => id), contexts.map((_, i) => 2 * i + 1));
      for (const { sopClassUID, transferSyntaxUID } of members) {
        for (const wanted of [transferSyntaxUID, IMPLICIT]) assert.ok(contexts.some((each) => each.abstractSyntax === sopClassUID && each.transferSyntax === wanted));
      }
    }
  });

  it('an explicit file goes to Implicit VR Little Endian only where nothing better was accepted, an encapsulated one never', () => {
    const [group] = planContexts([{ sopClassUID: CT, transferSyntaxUID: EXPLICIT }, { sopClassUID: CT, transferSyntaxUID: JPEG }, { sopClassUID: MR, transferSyntaxUID: IMPLICIT }]);
    const ids = new Map(group!.contexts.map(({ id, abstractSyntax, transferSyntax }) => [`${abstractSyntax} ${transferSyntax}`, id]));
    const all = new AcceptedContexts(group!.contexts, new Map(group!.contexts.map(({ id, transferSyntax }) => [id, transferSyntax])));
    assert.deepEqual(all.choose({ sopClassUID: CT, transferSyntaxUID: EXPLICIT }), { id: ids.get(`${CT} ${EXPLICIT}`), encoding: 'as-is' });
    const implicitOnly = new AcceptedContexts(group!.contexts, new Map([[ids.get(`${CT} ${IMPLICIT}`)!, IMPLICIT], [ids.get(`${MR} ${IMPLICIT}`)!, IMPLICIT]]));
    assert.deepEqual(implicitOnly.choose({ sopClassUID: CT, transferSyntaxUID: EXPLICIT }), { id: ids.get(`${CT} ${IMPLICIT}`), encoding: 'to-implicit' });
    assert.equal(implicitOnly.choose({ sopClassUID: CT, transferSyntaxUID: JPEG }), undefined);
    assert.deepEqual(implicitOnly.choose({ sopClassUID: MR, transferSyntaxUID: IMPLICIT }), { id: ids.get(`${MR} ${IMPLICIT}`), encoding: 'as-is' });
  });
});

describe('the status of a response', () => {
  it('is judged by PS3.4, B.2.3, and what it does not know is a refusal', () => {
    const verdict = (status: number): string => {
      const judged = judgeStoreStatus(status);
      return judged.kind === 'refused' ? judged.code : judged.warned ? 'warned' : 'stored';
    };
    assert.equal(verdict(0x0000), 'stored');
    for (const status of [0xb000, 0xb006, 0xb007, 0x0111]) assert.equal(verdict(status), 'warned', statusText(status));
    for (const status of [0xa700, 0xa701, 0xa7ff, 0x0213]) assert.equal(verdict(status), 'STORE_BUSY', statusText(status));
    for (const status of [0xa900, 0xa9ff]) assert.equal(verdict(status), 'STORE_MISMATCH', statusText(status));
    for (const status of [0xc000, 0xcfff, 0x0110, 0x0117, 0x0122, 0x0124, 0x0210, 0x0211, 0x0212, 0xa800, 0xff00, 0xfe00, 0x0001, 0xb001]) assert.equal(verdict(status), 'STORE_REFUSED', statusText(status));
    assert.equal(statusText(0x110), '0x0110');
  });
});
