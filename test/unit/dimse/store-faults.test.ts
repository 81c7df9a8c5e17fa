import assert from 'node:assert/strict';
import { truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { StoreItem } from '../../../nodes/engine/dimse/store';
import { startFaultProxy } from '../../support/fault-proxy';
import { GARBAGE, startFaultScp } from '../../support/fault-scp';
import type { FaultScp, MessageAnswer } from '../../support/fault-scp';
import { CT, EXPLICIT, IMPLICIT, JPEG, MR, alike, makeStudy, pacs, send } from '../../support/store-study';

const DCMTK = '1.2.276.0.7230010.3.0.3.6.7';
const after = (count: number, answer: MessageAnswer) => ({ index }: { readonly index: number }): MessageAnswer => (index < count ? 0 : answer);
const inOrder = (scp: FaultScp): string[] => scp.messages.map(({ sopInstanceUID }) => sopInstanceUID);

describe('what counts as sent', () => {
  it('a success or warning status for the very message makes an instance sent, warnings told', async () => {
    const statuses = [0x0000, 0xb000, 0xb006, 0xb007, 0x0111];
    using study = makeStudy(alike(statuses.length));
    await using scp = await startFaultScp({ respond: ({ index }) => statuses[index] ?? 0 });
    const { summary, sent, results } = await send(study, pacs(scp.port));
    assert.deepEqual(sent, [1, 2, 3, 4, 5]);
    assert.equal(summary.warned, 4);
    assert.deepEqual([...results.values()].map((result) => result.kind === 'sent' && result.warned), [false, true, true, true, true]);
    for (const [index, message] of scp.messages.entries()) assert.deepEqual(message.dataSet, study.dataSet(index + 1));
    assert.equal(scp.ends.releases, 1);
  });

  it('every other status leaves its instance unsent, by its code, and the next one is sent', async () => {
    const statuses = [0xa700, 0, 0xa900, 0, 0xc000, 0, 0x0110, 0, 0x0122, 0x0124, 0x0213, 0xb123, 0xfe00];
    using study = makeStudy(alike(statuses.length));
    await using scp = await startFaultScp({ respond: ({ index }) => statuses[index] ?? 0 });
    const { sent, codes, results } = await send(study, pacs(scp.port));
    assert.deepEqual(sent, [2, 4, 6, 8]);
    assert.deepEqual(codes, {
      1: 'STORE_BUSY', 3: 'STORE_MISMATCH', 5: 'STORE_REFUSED', 7: 'STORE_REFUSED', 9: 'STORE_REFUSED', 10: 'STORE_REFUSED', 11: 'STORE_BUSY',
      12: 'STORE_REFUSED', 13: 'STORE_REFUSED',
    });
    assert.equal(results.get(3)?.status, 0xa900);
  });

  it('a pending status decides nothing: the response that follows does', async () => {
    using study = makeStudy(alike(4));
    await using scp = await startFaultScp({ respond: ({ index }) => ({ status: index === 2 ? 0xc000 : 0, pending: index }) });
    const { sent, codes } = await send(study, pacs(scp.port));
    assert.deepEqual(sent, [1, 2, 4]);
    assert.deepEqual(codes, { 3: 'STORE_REFUSED' });
    assert.equal(scp.messages.length, 4);
    assert.equal(scp.associations.length, 1);
  });

  it('a response without the UID of the instance counts for the message that it answers', async () => {
    using study = makeStudy(alike(2));
    await using scp = await startFaultScp({ respond: () => ({ status: 0, sopInstanceUID: '' }) });
    assert.deepEqual((await send(study, pacs(scp.port))).sent, [1, 2]);
  });

  it('a peer that is out of resources again and again is not offered the rest', async () => {
    using study = makeStudy(alike(20));
    await using scp = await startFaultScp({ respond: () => 0xa700 });
    const { sent, codes, summary } = await send(study, pacs(scp.port));
    assert.equal(sent.length, 0);
    assert.deepEqual(new Set(Object.values(codes)), new Set(['STORE_BUSY']));
    assert.equal(summary.failure?.code, 'STORE_BUSY');
    assert.equal(scp.messages.length, 5);
    assert.equal(scp.ends.releases, 1);
  });

  for (const [name, answer, code] of [
    ['a clean FIN', 'fin', 'PEER_CLOSED'],
    ['a reset', 'rst', 'PEER_CLOSED'],
    ['an A-RELEASE-RQ of the peer', 'release', 'PEER_CLOSED'],
    ['silence', 'silence', 'PEER_TIMEOUT'],
    ['a response to another message', { status: 0, messageId: 999 }, 'PEER_PROTOCOL'],
    ['a response for another instance', { status: 0, sopInstanceUID: '1.2.3.999' }, 'PEER_PROTOCOL'],
    ['a pending response and no other', 0xff00, 'PEER_TIMEOUT'],
    ['a response on another presentation context', { status: 0, contextId: 3 }, 'PEER_PROTOCOL'],
    ['a response to another command', { status: 0, commandField: 0x8030 }, 'PEER_PROTOCOL'],
    ['something that is not DICOM', { bytes: GARBAGE }, 'PEER_PROTOCOL'],
    ['a PDU that claims 4 GB', { bytes: Buffer.from([4, 0, 0xff, 0xff, 0xff, 0xff, 0, 0]) }, 'PEER_PROTOCOL'],
    ['a presentation data value longer than its PDU', { bytes: Buffer.from([4, 0, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0, 1, 3, 0, 0]) }, 'PEER_PROTOCOL'],
    ['an empty data PDU', { bytes: Buffer.from([4, 0, 0, 0, 0, 0]) }, 'PEER_PROTOCOL'],
    ['an association answer out of turn', { bytes: Buffer.from([2, 0, 0, 0, 0, 2, 0, 0]) }, 'PEER_PROTOCOL'],
  ] as const) {
    it(`${name} mid-study leaves the unanswered instances pending`, async () => {
      using study = makeStudy(alike(8));
      await using scp = await startFaultScp({ respond: after(3, answer) });
      const { sent, codes, results, summary } = await send(study, pacs(scp.port, { timeouts: { response: 300 } }));
      assert.deepEqual(sent, [1, 2, 3]);
      assert.deepEqual(codes, Object.fromEntries([4, 5, 6, 7, 8].map((instance) => [instance, code])));
      assert.deepEqual([...results.values()].map((result) => result.kind === 'unsent' && result.attempted), [false, false, false, true, false, false, false, false]);
      assert.equal(summary.failure?.code, code);
      assert.equal(scp.associations.length, 1);
      await eventually(() => scp.open() === 0);
    });
  }

  it('an A-ABORT mid-study costs the instance under way a new attempt, alone, and no other', async () => {
    for (let taken = 1; taken <= 5; taken += 1) {
      using study = makeStudy(alike(8));
      await using scp = await startFaultScp({ respond: after(taken, 'abort') });
      const { sent, summary } = await send(study, pacs(scp.port));
      assert.deepEqual(sent, [1, 2, 3, 4, 5, 6, 7, 8]);
      assert.equal(summary.failure, undefined);
      const answered = scp.messages.filter(({ index }) => index < taken).map(({ sopInstanceUID }) => sopInstanceUID);
      assert.equal(answered.length, 8);
      assert.equal(new Set(answered).size, 8);
    }
  });

  it('an instance over which the peer aborts again and again is refused, the others are sent', async () => {
    using study = makeStudy(alike(8));
    const poison = new Set([study.files[2]!.sopInstanceUID, study.files[3]!.sopInstanceUID]);
    await using scp = await startFaultScp({ respond: ({ sopInstanceUID }) => (poison.has(sopInstanceUID) ? 'abort' : 0) });
    const { sent, codes } = await send(study, pacs(scp.port));
    assert.deepEqual(sent, [1, 2, 5, 6, 7, 8]);
    assert.deepEqual(codes, { 3: 'STORE_REFUSED', 4: 'STORE_REFUSED' });
  });

  it('a peer that aborts over everything is not tried for ever, and nothing is refused for good', async () => {
    using study = makeStudy(alike(30));
    await using scp = await startFaultScp({ respond: () => 'abort' });
    const { codes, results } = await send(study, pacs(scp.port));
    assert.deepEqual(new Set(Object.values(codes)), new Set(['PEER_ABORTED']));
    assert.equal(scp.messages.length, 5);
    assert.equal([...results.values()].filter((result) => result.kind === 'unsent' && result.attempted).length, 5);
  });

  it('a single instance over which the peer aborts may be taken another time', async () => {
    using study = makeStudy(alike(1));
    await using scp = await startFaultScp({ respond: () => 'abort' });
    assert.deepEqual((await send(study, pacs(scp.port))).codes, { 1: 'PEER_ABORTED' });
    assert.equal(scp.messages.length, 2);
  });

  it('a response that drips in byte by byte ends at the response timeout', async () => {
    using study = makeStudy(alike(2));
    await using scp = await startFaultScp({ respond: () => ({ status: 0, drip: 60 }) });
    const { codes } = await send(study, pacs(scp.port, { timeouts: { response: 400 } }));
    assert.deepEqual(codes, { 1: 'PEER_TIMEOUT', 2: 'PEER_TIMEOUT' });
  });

  it('a response that takes long, but less than the timeout, counts', async () => {
    using study = makeStudy(alike(3));
    await using scp = await startFaultScp({ respond: () => ({ status: 0, delay: 150 }) });
    assert.deepEqual((await send(study, pacs(scp.port, { timeouts: { response: 2_000, progress: 100 } }))).sent, [1, 2, 3]);
  });

  it('a success before the data set is complete is no success; a refusal then is a refusal', async () => {
    using study = makeStudy(alike(2, { pixels: 6_000_000 }));
    {
      await using scp = await startFaultScp({ respondEarly: () => 0 });
      assert.deepEqual((await send(study, pacs(scp.port))).codes, { 1: 'PEER_PROTOCOL', 2: 'PEER_PROTOCOL' });
    }
    {
      await using scp = await startFaultScp({ respondEarly: ({ index }) => (index === 0 ? 0xa700 : undefined) });
      const { sent, codes } = await send(study, pacs(scp.port));
      assert.deepEqual(sent, [2]);
      assert.deepEqual(codes, { 1: 'STORE_BUSY' });
    }
  });
});

describe('negotiation', () => {
  for (const [name, answer, code] of [
    ['a rejection for good', { reject: [1, 1, 7] }, 'ASSOCIATION_REJECTED'],
    ['an unknown calling AE title', { reject: [1, 1, 3] }, 'ASSOCIATION_REJECTED'],
    ['a rejection for now', { reject: [2, 1, 1] }, 'ASSOCIATION_BUSY'],
    ['too many associations, said for good', { reject: [1, 3, 2] }, 'ASSOCIATION_BUSY'],
    ['an abort', 'abort', 'PEER_ABORTED'],
    ['a clean FIN', 'fin', 'PEER_CLOSED'],
    ['a reset', 'rst', 'PEER_CLOSED'],
    ['silence', 'silence', 'PEER_TIMEOUT'],
    ['another protocol', { bytes: GARBAGE }, 'PEER_PROTOCOL'],
    ['an answer cut off', { bytes: Buffer.from([2, 0, 0, 0, 0, 4, 0, 1, 0, 0]) }, 'PEER_PROTOCOL'],
  ] as const) {
    it(`${name} instead of an acceptance sends nothing and says why`, async () => {
      using study = makeStudy(alike(3));
      await using scp = await startFaultScp({ associate: () => answer });
      const { codes, summary } = await send(study, pacs(scp.port, { timeouts: { association: 300 } }));
      assert.deepEqual(codes, { 1: code, 2: code, 3: code });
      assert.equal(summary.associations, 0);
      assert.equal(summary.failure?.destination, `dicom:ANY-SCP@127.0.0.1:${scp.port}`);
      await eventually(() => scp.open() === 0);
    });
  }

  it('items that lie about their length in the answer are refused', async () => {
    using study = makeStudy(alike(1));
    const lying = Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 78, 0, 1, 0, 0]), Buffer.alloc(64), Buffer.from([0x21, 0, 0xff, 0xff, 1, 0, 0, 0, 0, 0])]);
    await using scp = await startFaultScp({ associate: () => ({ bytes: lying }) });
    assert.deepEqual((await send(study, pacs(scp.port))).codes, { 1: 'PEER_PROTOCOL' });
  });

  it('nothing listens: unreachable, in plain words', async () => {
    using study = makeStudy(alike(2));
    const scp = await startFaultScp();
    const { port } = scp;
    await scp[Symbol.asyncDispose]();
    const { codes, summary } = await send(study, pacs(port));
    assert.deepEqual(codes, { 1: 'PEER_UNREACHABLE', 2: 'PEER_UNREACHABLE' });
    assert.match(summary.failure?.detail ?? '', /nothing listens/);
  });

  it('one context per SOP Class and transfer syntax, and one Implicit VR Little Endian per SOP Class', async () => {
    using study = makeStudy([{}, {}, { transferSyntaxUID: JPEG }, { sopClassUID: MR, transferSyntaxUID: IMPLICIT }]);
    await using scp = await startFaultScp();
    assert.deepEqual((await send(study, pacs(scp.port))).sent, [1, 2, 3, 4]);
    assert.deepEqual(scp.associations[0]?.contexts.map(({ id, abstractSyntax, transferSyntaxes }) => [id, abstractSyntax, ...transferSyntaxes]), [
      [1, CT, EXPLICIT], [3, CT, IMPLICIT], [5, CT, JPEG], [7, MR, IMPLICIT],
    ]);
    assert.deepEqual(scp.messages.map(({ transferSyntax }) => transferSyntax), [EXPLICIT, EXPLICIT, JPEG, IMPLICIT]);
  });

  it('an instance whose context is refused stays unsent, the others go', async () => {
    using study = makeStudy([{}, { sopClassUID: MR }, {}, { transferSyntaxUID: JPEG }]);
    await using scp = await startFaultScp({ accept: (abstractSyntax, [first]) => (abstractSyntax === CT && first !== JPEG ? first : undefined) });
    const { sent, codes } = await send(study, pacs(scp.port));
    assert.deepEqual(sent, [1, 3]);
    assert.deepEqual(codes, { 2: 'NO_CONTEXT', 4: 'NO_CONTEXT' });
  });

  it('no context at all: every instance is NO_CONTEXT and the association is released', async () => {
    using study = makeStudy(alike(3));
    await using scp = await startFaultScp({ accept: () => undefined });
    assert.deepEqual((await send(study, pacs(scp.port))).codes, { 1: 'NO_CONTEXT', 2: 'NO_CONTEXT', 3: 'NO_CONTEXT' });
    assert.equal(scp.ends.releases, 1);
  });

  it('a context accepted with a transfer syntax that was not proposed is not used', async () => {
    using study = makeStudy(alike(1));
    await using scp = await startFaultScp({ accept: () => JPEG });
    assert.deepEqual((await send(study, pacs(scp.port))).codes, { 1: 'NO_CONTEXT' });
  });

  it('more than 128 contexts open further associations', async () => {
    using study = makeStudy(Array.from({ length: 100 }, (_, i) => ({ sopClassUID: `${CT}.${i + 1}` })));
    await using scp = await startFaultScp();
    const { sent } = await send(study, pacs(scp.port));
    assert.equal(sent.length, 100);
    assert.deepEqual(scp.associations.map(({ contexts }) => contexts.length), [128, 72]);
  });

  it('keeps to the maximum PDU length of the peer, however small', async () => {
    for (const maxPdu of [64, 4_096, 16_384, 0]) {
      using study = makeStudy([{ pixels: 100_000 }, { pixels: 100_000 }]);
      await using scp = await startFaultScp({ maxPdu });
      assert.deepEqual((await send(study, pacs(scp.port))).sent, [1, 2]);
      assert.deepEqual(scp.messages.map(({ dataSet }) => dataSet), [study.dataSet(1), study.dataSet(2)]);
      if (maxPdu > 0) assert.ok(scp.largestPdu <= maxPdu);
    }
  });

  it('a maximum PDU length that leaves no room for data is refused', async () => {
    using study = makeStudy(alike(1));
    await using scp = await startFaultScp({ maxPdu: 6 });
    assert.deepEqual((await send(study, pacs(scp.port))).codes, { 1: 'PEER_PROTOCOL' });
  });
});

describe('our own files', () => {
  it('one bad file never stops the study', async () => {
    using study = makeStudy(alike(6));
    unlinkSync(study.files[1]!.path);
    truncateSync(study.files[2]!.path, 200);
    writeFileSync(study.files[3]!.path, Buffer.alloc(study.files[3]!.bytes, 0xff));
    await using scp = await startFaultScp();
    const { sent, codes } = await send(study, pacs(scp.port), {}, study.files.map((file, index) => (index === 4 ? { ...file, path: study.folder } : file)));
    assert.deepEqual(sent.filter((instance) => instance !== 4), [1, 6]);
    assert.equal(codes[2], 'STORAGE_FAILED');
    assert.equal(codes[3], 'STORAGE_FAILED');
    assert.equal(codes[5], 'STORAGE_FAILED');
  });

  it('a UID that no peer could take costs only its instance, and nothing of it is proposed', async () => {
    using study = makeStudy(alike(5));
    await using scp = await startFaultScp();
    const long = `1.${'2'.repeat(70)}`;
    const spoilt = [{}, { sopInstanceUID: long }, { sopClassUID: long }, { sopInstanceUID: '' }, {}];
    const { sent, codes } = await send(study, pacs(scp.port), {}, study.files.map((file, index): StoreItem => ({ ...file, ...spoilt[index] })));
    assert.deepEqual(sent, [1, 5]);
    assert.deepEqual(codes, { 2: 'DICOM_INCOMPLETE', 3: 'DICOM_INCOMPLETE', 4: 'DICOM_INCOMPLETE' });
    assert.equal(scp.associations[0]?.contexts.length, 2);
  });

  it('a file that gets shorter while it is sent costs its association, and only itself', async () => {
    using study = makeStudy([{}, { pixels: 20_000_000 }, {}, {}]);
    await using scp = await startFaultScp({ respondEarly: ({ sopInstanceUID }) => {
      if (sopInstanceUID === study.files[1]!.sopInstanceUID) truncateSync(study.files[1]!.path, 4_000_000);
      return undefined;
    } });
    const { sent, codes } = await send(study, pacs(scp.port));
    assert.deepEqual(sent, [1, 3, 4]);
    assert.deepEqual(codes, { 2: 'STORAGE_FAILED' });
    assert.equal(scp.associations.length, 2);
    assert.equal(scp.ends.aborts, 1);
  });
});

describe('connections that break', () => {
  for (const kind of ['rst', 'fin'] as const) {
    it(`a ${kind} in the middle of a data set leaves it and what follows unsent`, async () => {
      using study = makeStudy(alike(4, { pixels: 200_000 }));
      await using scp = await startFaultScp();
      await using proxy = await startFaultProxy(scp.port, { kind, direction: 'up', after: 500_000 });
      const { sent, codes } = await send(study, pacs(proxy.port));
      assert.deepEqual(sent, [1, 2]);
      assert.deepEqual(codes, { 3: 'PEER_CLOSED', 4: 'PEER_CLOSED' });
    });
  }

  it('a response cut off in the middle is no response', async () => {
    using study = makeStudy(alike(3));
    await using scp = await startFaultScp();
    await using whole = await startFaultProxy(scp.port);
    await send(study, pacs(whole.port), {}, study.files.slice(0, 1));
    const withoutRelease = whole.passed.down - 10;
    await using proxy = await startFaultProxy(scp.port, { kind: 'fin', direction: 'down', after: withoutRelease + 20 });
    const { sent, codes } = await send(study, pacs(proxy.port));
    assert.deepEqual(sent, [1]);
    assert.deepEqual(codes, { 2: 'PEER_CLOSED', 3: 'PEER_CLOSED' });
  });

  it('a peer that stops reading ends at the progress timeout, and the socket is closed', async () => {
    using study = makeStudy([{ pixels: 60_000_000 }, {}]);
    await using scp = await startFaultScp();
    await using proxy = await startFaultProxy(scp.port, { kind: 'deaf', direction: 'up', after: 1_000_000 });
    const { codes, summary } = await send(study, pacs(proxy.port, { timeouts: { progress: 500, response: 60_000 } }));
    assert.deepEqual(codes, { 1: 'PEER_TIMEOUT', 2: 'PEER_TIMEOUT' });
    assert.match(summary.failure?.detail ?? '', /stopped reading/);
  });

  it('a network that goes silent ends at the response timeout', async () => {
    using study = makeStudy(alike(3));
    await using scp = await startFaultScp();
    await using proxy = await startFaultProxy(scp.port, { kind: 'stall', direction: 'up', after: 1_500 });
    const { codes } = await send(study, pacs(proxy.port, { timeouts: { response: 300, association: 300 } }));
    assert.ok(Object.values(codes).length >= 1);
    assert.deepEqual(new Set(Object.values(codes)), new Set(['PEER_TIMEOUT']));
  });

  it('a peer that never answers the release costs nothing but its timeout', async () => {
    for (const release of ['silence', 'fin', 'collide'] as const) {
      using study = makeStudy(alike(2));
      await using scp = await startFaultScp({ release });
      assert.deepEqual((await send(study, pacs(scp.port, { timeouts: { release: 200 } }))).sent, [1, 2]);
      await eventually(() => scp.open() === 0);
    }
  });
});

describe('associations side by side', () => {
  it('share the work, each instance sent once', async () => {
    using study = makeStudy(alike(40));
    await using scp = await startFaultScp({ respond: () => ({ status: 0, delay: 5 }) });
    const { sent, summary } = await send(study, pacs(scp.port, { associations: 4 }));
    assert.equal(sent.length, 40);
    assert.equal(summary.associations, 4);
    assert.deepEqual(inOrder(scp).sort(), study.files.map(({ sopInstanceUID }) => sopInstanceUID).sort());
    assert.equal(new Set(scp.messages.map(({ association }) => association)).size, 4);
  });

  it('where the peer takes fewer, the work is done by those', async () => {
    using study = makeStudy(alike(20));
    await using scp = await startFaultScp({ associate: ({ number }) => (number < 2 ? 'accept' : { reject: [2, 3, 2] }), respond: () => ({ status: 0, delay: 2 }) });
    const { sent, summary } = await send(study, pacs(scp.port, { associations: 4 }));
    assert.equal(sent.length, 20);
    assert.equal(summary.associations, 2);
  });

  it('where one breaks, the others go on with what it had not begun', async () => {
    using study = makeStudy(alike(30));
    await using scp = await startFaultScp({ respond: ({ association, index }) => (association === 1 && index === 2 ? 'fin' : { status: 0, delay: 3 }) });
    const { sent, codes } = await send(study, pacs(scp.port, { associations: 3 }));
    assert.equal(sent.length, 29);
    assert.deepEqual(Object.values(codes), ['PEER_CLOSED']);
  });

  it('out of resources on one of several: fewer go on, and everything else is sent', async () => {
    using study = makeStudy(alike(30));
    let busy = 0;
    await using scp = await startFaultScp({ respond: () => ({ status: busy++ === 4 ? 0xa701 : 0, delay: 3 }) });
    const { sent, codes } = await send(study, pacs(scp.port, { associations: 3 }));
    assert.equal(sent.length, 29);
    assert.deepEqual(Object.values(codes), ['STORE_BUSY']);
  });
});

describe('the nudge', () => {
  const split = { respond: () => ({ status: 0, split: true }) } as const;

  it('writes the next header while a DCMTK peer holds a response back, for every instance but the last', async () => {
    using study = makeStudy(alike(6));
    await using scp = await startFaultScp({ ...split, implementationClassUID: DCMTK });
    assert.deepEqual((await send(study, pacs(scp.port))).sent, [1, 2, 3, 4, 5, 6]);
    assert.equal(scp.nudges, 5);
    assert.deepEqual(scp.messages.map(({ dataSet }) => dataSet), study.files.map(({ instance }) => study.dataSet(instance)));
  });

  it('is not for other peers, nor where it is switched off', async () => {
    using study = makeStudy(alike(2));
    await using other = await startFaultScp(split);
    await send(study, pacs(other.port));
    assert.equal(other.nudges, 0);
    await using dcmtk = await startFaultScp({ ...split, implementationClassUID: DCMTK });
    await send(study, pacs(dcmtk.port, { nudge: false }));
    assert.equal(dcmtk.nudges, 0);
  });

  it('an abort that follows one switches it off for this destination', async () => {
    using study = makeStudy(alike(3));
    let harsh = true;
    await using scp = await startFaultScp({ respond: ({ index }) => (harsh && index === 1 ? 'abort' : { status: 0, split: true }), implementationClassUID: DCMTK });
    assert.deepEqual((await send(study, pacs(scp.port))).sent, [1, 2, 3]);
    assert.equal(scp.nudges, 1);
    harsh = false;
    assert.deepEqual((await send(study, pacs(scp.port))).sent, [1, 2, 3]);
    assert.equal(scp.nudges, 1);
  });

  it('stays on where the peer aborts over the same instance without one', async () => {
    using study = makeStudy(alike(4));
    const poison = study.files[1]!.sopInstanceUID;
    await using scp = await startFaultScp({ respond: ({ sopInstanceUID }) => (sopInstanceUID === poison ? 'abort' : { status: 0, split: true }), implementationClassUID: DCMTK });
    assert.deepEqual((await send(study, pacs(scp.port))).codes, { 2: 'STORE_REFUSED' });
    const before = scp.nudges;
    await send(study, pacs(scp.port), {}, study.files.slice(2));
    assert.equal(scp.nudges, before + 1);
  });

  it('a stop between the nudge and the rest of the PDU closes the connection without another byte', async () => {
    using study = makeStudy(alike(4));
    const stop = new AbortController();
    await using scp = await startFaultScp({ respond: ({ index }) => (index === 1 ? { status: 0, split: true } : 0), implementationClassUID: DCMTK });
    await assert.rejects(send(study, pacs(scp.port), { signal: stop.signal, onResult: ({ instance }) => { if (instance === 2) stop.abort(new Error('stopped')); } }), /stopped/);
    await eventually(() => scp.open() === 0);
    assert.equal(scp.cutOff, 6);
    assert.equal(scp.messages.length, 2);
  });
});

describe('stopping', () => {
  it('aborts the message under way, closes the socket, and leaves what had no answer without a result', async () => {
    using study = makeStudy(alike(5));
    const stop = new AbortController();
    const results: number[] = [];
    await using scp = await startFaultScp({ respond: after(2, 'silence') });
    const sending = send(study, pacs(scp.port), { signal: stop.signal, onResult: ({ instance }) => { results.push(instance); } });
    await eventually(() => scp.messages.length === 3);
    stop.abort(new Error('redeployed'));
    await assert.rejects(sending, /redeployed/);
    assert.deepEqual(results, [1, 2]);
    await eventually(() => scp.ends.aborts === 1 && scp.open() === 0);
  });

  it('comes to an end with a peer that neither reads nor answers', { timeout: 60_000 }, async () => {
    using study = makeStudy([{ pixels: 60_000_000 }]);
    const stop = new AbortController();
    await using scp = await startFaultScp();
    await using proxy = await startFaultProxy(scp.port, { kind: 'deaf', direction: 'up', after: 500_000 });
    const sending = send(study, pacs(proxy.port, { timeouts: { progress: 3_600_000 } }), { signal: stop.signal });
    await eventually(() => proxy.passed.up >= 500_000);
    stop.abort(new Error('stopped'));
    await assert.rejects(sending, /stopped/);
  });

  it('while it negotiates: nothing is sent', async () => {
    using study = makeStudy(alike(1));
    const stop = new AbortController();
    await using scp = await startFaultScp({ associate: () => 'silence' });
    const sending = send(study, pacs(scp.port), { signal: stop.signal });
    await eventually(() => scp.associations.length === 1);
    stop.abort(new Error('stopped'));
    await assert.rejects(sending, /stopped/);
    await eventually(() => scp.open() === 0);
  });

  it('before it began: nothing is opened', async () => {
    using study = makeStudy(alike(1));
    await using scp = await startFaultScp();
    await assert.rejects(send(study, pacs(scp.port), { signal: AbortSignal.abort(new Error('stopped')) }), /stopped/);
    assert.equal(scp.associations.length, 0);
  });
});

async function eventually(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i += 1) {
    if (i > 1_000) assert.fail('did not happen');
    await pause(10);
  }
}
