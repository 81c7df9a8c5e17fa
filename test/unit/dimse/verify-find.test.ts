import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { DataSetType, Field, encodeCommandSet } from '../../../nodes/engine/dimse/command-set';
import { MOST_ANSWERS, Tag, decodeIdentifier, encodeIdentifier, openFinder } from '../../../nodes/engine/dimse/find';
import { DATA_HEADER, CONTROL, encodeCommand, writeDataHeader } from '../../../nodes/engine/dimse/pdu';
import { pacsSettings } from '../../../nodes/engine/dimse/peer';
import type { PacsSettings } from '../../../nodes/engine/dimse/peer';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { ErrorCode } from '../../../nodes/engine/errors';
import { startFaultScp } from '../../support/fault-scp';
import type { MessageAnswer } from '../../support/fault-scp';

const never = new AbortController().signal;
const peerAt = (port: number, response = 500): PacsSettings => pacsSettings({ host: '127.0.0.1', port, calledAET: 'QR', timeouts: { association: 500, response, release: 200 } });
const KEYS = [[Tag.QueryRetrieveLevel, 'IMAGE'], [Tag.SOPInstanceUID, ''], [Tag.StudyInstanceUID, '1.2.3']] as const;

/** A C-FIND-RSP, with the identifier that comes with a pending one. */
function found(status: number, uid?: string, messageId = 1): Buffer {
  const command = encodeCommand(1, encodeCommandSet([
    [Field.commandField, 0x8020], [Field.messageIdBeingRespondedTo, messageId], [Field.dataSetType, uid === undefined ? DataSetType.none : DataSetType.present], [Field.status, status],
  ]), 16_000);
  if (uid === undefined) return command;
  const identifier = encodeIdentifier([[Tag.SOPInstanceUID, uid]]);
  const header = Buffer.alloc(DATA_HEADER);
  writeDataHeader(header, 0, 1, CONTROL.last, identifier.length);
  return Buffer.concat([command, header, identifier]);
}

const answering = (...parts: readonly Buffer[]) => startFaultScp({ respond: (): MessageAnswer => ({ bytes: Buffer.concat(parts) }) });
const failing = (code: ErrorCode) => (error: unknown): boolean => {
  assert.ok(error instanceof ExdicomError, String(error));
  assert.equal(error.code, code, error.message);
  return true;
};

void test('a query carries its keys in ascending order and gets the values of every match', async () => {
  await using scp = await answering(found(0xff00, '1.2.3.1'), found(0xff01, '1.2.3.22'), found(0));
  await using finder = await openFinder(peerAt(scp.port), never);
  const { matches, failure } = await finder.find(KEYS);
  assert.deepEqual(matches.map((match) => match.get(Tag.SOPInstanceUID)), ['1.2.3.1', '1.2.3.22']);
  assert.equal(failure, undefined);
  assert.equal(scp.messages[0]?.dataSet.toString('latin1'), '\x08\0\x18\0\0\0\0\0\x08\0\x52\0\x06\0\0\0IMAGE \x20\0\x0d\0\x06\0\0\x001.2.3\0');
  await finder.close();
  assert.equal(scp.ends.releases, 1);
});

void test('a second query on the same association gets its own answers', async () => {
  await using scp = await startFaultScp({ respond: ({ messageId }) => ({ bytes: Buffer.concat([found(0xff00, `1.2.${messageId}`, messageId), found(0, undefined, messageId)]) }) });
  await using finder = await openFinder(peerAt(scp.port), never);
  assert.equal((await finder.find(KEYS)).matches[0]?.get(Tag.SOPInstanceUID), '1.2.1');
  assert.equal((await finder.find(KEYS)).matches[0]?.get(Tag.SOPInstanceUID), '1.2.2');
});

void test('a failure status is told with the matches before it', async () => {
  await using scp = await answering(found(0xff00, '1.2.3.1'), found(0xa700));
  await using finder = await openFinder(peerAt(scp.port), never);
  const { matches, failure } = await finder.find(KEYS);
  assert.equal(matches.length, 1);
  assert.equal(failure, '0xA700');
});

void test('a peer that takes no C-FIND: QUERY_FAILED, with the association released', async () => {
  await using scp = await startFaultScp({ accept: () => undefined });
  await assert.rejects(openFinder(peerAt(scp.port), never), failing('QUERY_FAILED'));
  assert.equal(scp.ends.releases, 1);
});

void test('a peer that lists without end is cut off', async () => {
  // Many matches for each write: a fault of the peer, not of the network.
  const thousand = Buffer.concat(Array.from({ length: 1_000 }, (_, i) => found(0xff00, `1.2.3.${i}`)));
  await using scp = await startFaultScp({ respond: () => ({ bytes: Buffer.concat(Array.from({ length: MOST_ANSWERS / 1_000 + 1 }, () => thousand)) }) });
  // What it says again is as good as silence, and here its number counts.
  await using finder = await openFinder(peerAt(scp.port, 60_000), never);
  await assert.rejects(finder.find(KEYS), failing('QUERY_FAILED'));
  await assert.rejects(finder.find(KEYS), 'the association is not used again');
});

void test('a peer that says the same again and again, and never comes to an end, is given up', async () => {
  for (const again of [found(0xff00, '1.2.3.1'), found(0xff00)]) {
    // A response every 100 ms.
    const drip = new PassThrough();
    const timer = setInterval(() => { drip.write(again); }, 100);
    await using scp = await startFaultScp({ respond: () => ({ stream: drip }) });
    await using finder = await openFinder(peerAt(scp.port), never);
    const limit = setTimeout(() => { void finder[Symbol.asyncDispose](); }, 3_000);
    await assert.rejects(finder.find(KEYS), failing('PEER_TIMEOUT'));
    clearTimeout(limit);
    clearInterval(timer);
  }
});

void test('a peer that finds something new now and then is waited for', async () => {
  const drip = new PassThrough();
  let count = 0;
  const timer = setInterval(() => { drip.write(count < 8 ? found(0xff00, `1.2.3.${++count}`) : found(0)); }, 100);
  await using scp = await startFaultScp({ respond: () => ({ stream: drip }) });
  await using finder = await openFinder(peerAt(scp.port), never);
  assert.equal((await finder.find(KEYS)).matches.length, 8);
  clearInterval(timer);
});

const BREAKS: ReadonlyArray<readonly [behaviour: string, answer: MessageAnswer, code: ErrorCode]> = [
  ['closes in the middle of its answers', 'fin', 'PEER_CLOSED'],
  ['aborts over the query', 'abort', 'QUERY_FAILED'],
  ['resets the connection', 'rst', 'PEER_CLOSED'],
  ['stops in the middle of its answers', { bytes: found(0xff00, '1.2.3.1') }, 'PEER_TIMEOUT'],
  ['answers another request', { bytes: found(0, undefined, 77) }, 'PEER_PROTOCOL'],
  ['answers C-STORE', { status: 0 }, 'PEER_PROTOCOL'],
];
for (const [behaviour, answer, code] of BREAKS) {
  void test(`a peer that ${behaviour}: ${code}, never an empty answer`, async () => {
    await using scp = await startFaultScp({ respond: () => answer });
    await using finder = await openFinder(peerAt(scp.port), never);
    await assert.rejects(finder.find(KEYS), failing(code));
  });
}

void test('what was not asked for is stepped over, sequences of undefined length too', () => {
  const element = (tag: number, value: Buffer, length = value.length): Buffer => {
    const header = Buffer.alloc(8);
    header.writeUInt16LE(tag >>> 16, 0);
    header.writeUInt16LE(tag & 0xffff, 2);
    header.writeUInt32LE(length, 4);
    return Buffer.concat([header, value]);
  };
  const end = (tag: number): Buffer => element(tag, Buffer.alloc(0));
  const item = element(0xfffee000, Buffer.concat([element(0x00080018, Buffer.from('9.9\0')), end(0xfffee00d)]), 0xffffffff);
  const identifier = Buffer.concat([
    element(0x00080005, Buffer.from('ISO_IR 100')),
    element(0x00081115, Buffer.concat([item, element(0xfffee000, Buffer.alloc(4)), end(0xfffee0dd)]), 0xffffffff),
    element(Tag.StudyInstanceUID, Buffer.from('1.2.3\0')),
    element(Tag.NumberOfStudyRelatedInstances, Buffer.from(' 12 ')),
  ]);
  const values = decodeIdentifier(identifier, new Set([Tag.SOPInstanceUID, Tag.StudyInstanceUID, Tag.NumberOfStudyRelatedInstances]));
  assert.deepEqual([...values], [[Tag.StudyInstanceUID, '1.2.3'], [Tag.NumberOfStudyRelatedInstances, '12']]);
});

void test('an identifier with lengths that do not fit is refused, wherever it is cut off', () => {
  const whole = encodeIdentifier([[Tag.SOPInstanceUID, '1.2.3.4'], [Tag.StudyInstanceUID, '1.2.3']]);
  const boundaries = new Set([0, 16, whole.length]);
  for (let length = 0; length <= whole.length; length++) {
    const cut = whole.subarray(0, length);
    if (boundaries.has(length)) decodeIdentifier(cut, new Set());
    else assert.throws(() => decodeIdentifier(cut, new Set()), failing('PEER_PROTOCOL'));
  }
});
