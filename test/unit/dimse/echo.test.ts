import assert from 'node:assert/strict';
import dns from 'node:dns';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { echo } from '../../../nodes/engine/dimse/echo';
import { pacsSettings } from '../../../nodes/engine/dimse/peer';
import type { PacsOptions, PacsSettings } from '../../../nodes/engine/dimse/peer';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { ErrorCode } from '../../../nodes/engine/errors';
import { GARBAGE, startFaultScp } from '../../support/fault-scp';
import type { FaultScpOptions } from '../../support/fault-scp';
import { freePort } from '../../support/orthanc';

const TIMEOUTS = { connect: 2_000, association: 200, response: 200, progress: 200, release: 200 };
const never = new AbortController().signal;
const peerAt = (port: number, more: Partial<PacsOptions> = {}): PacsSettings => pacsSettings({ host: '127.0.0.1', port, calledAET: 'PACS', timeouts: TIMEOUTS, ...more });

function failing(code: ErrorCode, words: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ExdicomError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.detail ?? '', words);
    assert.match(error.destination ?? '', /^dicom:PACS@/);
    return true;
  };
}

void test('a peer that answers is alive, is released, and the time is told', async () => {
  await using scp = await startFaultScp({ respondEarly: () => ({ status: 0, commandField: 0x8030 }) });
  const { milliseconds } = await echo(peerAt(scp.port), never);
  assert.ok(milliseconds > 0);
  assert.deepEqual(scp.associations[0]?.contexts, [{ id: 1, abstractSyntax: '1.2.840.10008.1.1', transferSyntaxes: ['1.2.840.10008.1.2'] }]);
  assert.equal(scp.ends.releases, 1);
});

const CASES: ReadonlyArray<readonly [behaviour: string, options: FaultScpOptions, code: ErrorCode, words: RegExp]> = [
  ['does not know itself by the called AE title', { associate: () => ({ reject: [1, 1, 7] }) }, 'ASSOCIATION_REJECTED', /called AE title/],
  ['does not know our AE title', { associate: () => ({ reject: [1, 1, 3] }) }, 'ASSOCIATION_REJECTED', /calling AE title/],
  ['has too many associations', { associate: () => ({ reject: [2, 3, 2] }) }, 'ASSOCIATION_BUSY', /too many associations/],
  ['accepts the connection and says nothing', { associate: () => 'silence' }, 'PEER_TIMEOUT', /association/],
  ['closes instead of answering', { associate: () => 'fin' }, 'PEER_CLOSED', /association/],
  ['aborts instead of answering', { associate: () => 'abort' }, 'PEER_ABORTED', /source 2/],
  ['is no DICOM peer', { associate: () => ({ bytes: GARBAGE }) }, 'PEER_PROTOCOL', /PDU/],
  ['takes no C-ECHO', { accept: () => undefined }, 'NO_CONTEXT', /C-ECHO/],
  ['never answers the echo', { respondEarly: () => 'silence' }, 'PEER_TIMEOUT', /no response/],
  ['aborts instead of answering the echo', { respondEarly: () => 'abort' }, 'PEER_ABORTED', /source 2/],
  ['closes instead of answering the echo', { respondEarly: () => 'fin' }, 'PEER_CLOSED', /closed/],
  ['releases instead of answering the echo', { respondEarly: () => 'release' }, 'PEER_CLOSED', /released/],
  ['answers with a failure', { respondEarly: () => ({ status: 0x0122, commandField: 0x8030 }) }, 'PEER_PROTOCOL', /0x0122/],
  ['answers something else', { respondEarly: () => 0 }, 'PEER_PROTOCOL', /no C-ECHO response/],
];
for (const [behaviour, options, code, words] of CASES) {
  void test(`a peer that ${behaviour}: ${code}, in words, and the socket is gone`, async () => {
    await using scp = await startFaultScp(options);
    await assert.rejects(echo(peerAt(scp.port), never), failing(code, words));
    for (let i = 0; i < 100 && scp.open() > 0; i++) await new Promise((resolve) => { setTimeout(resolve, 10); });
    assert.equal(scp.open(), 0);
  });
}

void test('a port on which nothing listens: connection refused', async () => {
  await assert.rejects(echo(peerAt(await freePort()), never), failing('PEER_UNREACHABLE', /refused/));
});

void test('a host name that nobody knows', async () => {
  await assert.rejects(echo(peerAt(104, { host: 'no-such-host.invalid' }), never), failing('PEER_UNREACHABLE', /host name unknown|name server/));
});

/** Takes connections of which its queue holds two, and none further before it is told; then it closes each. */
const SLOW_LISTENER = `
  const { createServer } = require('node:net');
  const { parentPort, workerData } = require('node:worker_threads');
  const server = createServer((socket) => { socket.on('error', () => undefined).end(); });
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(workerData, 0, 0);
  });`;

void test('a host name with several addresses: the first may take its time, and the next may not be there', async (t) => {
  const told = new Int32Array(new SharedArrayBuffer(4));
  const listener = new Worker(SLOW_LISTENER, { eval: true, workerData: told });
  t.after(() => listener.terminate());
  const [port] = await once(listener, 'message') as [number];
  const waiting = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
  t.after(() => { for (const socket of waiting) socket.destroy(); });
  await Promise.all(waiting.map((socket) => once(socket, 'connect')));
  t.mock.method(dns, 'lookup', (_host: string, _options: unknown, answer: (error: null, addresses: object[]) => void) => {
    answer(null, [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }]);
  });
  setTimeout(() => {
    Atomics.store(told, 0, 1);
    Atomics.notify(told, 0);
  }, 400);
  await assert.rejects(echo(peerAt(port, { host: 'pacs.example', timeouts: { ...TIMEOUTS, connect: 10_000 } }), never), failing('PEER_CLOSED', /./));
});

void test('TLS towards a port that does not speak it: TLS_FAILED', async () => {
  await using scp = await startFaultScp({ associate: () => ({ bytes: GARBAGE }) });
  // The peer reads our hello as PDUs and waits for the rest, or answers with something that is no TLS.
  await assert.rejects(echo(peerAt(scp.port, { tls: {} }), never), (error: unknown) => error instanceof ExdicomError && ['TLS_FAILED', 'PEER_CLOSED', 'PEER_UNREACHABLE'].includes(error.code));
});

void test('TLS towards a port that is silent is told from a host that does not answer', async (t) => {
  const silent = createServer().listen(0, '127.0.0.1');
  t.after(() => { silent.close(); });
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  await assert.rejects(echo(peerAt(port, { tls: {}, timeouts: { ...TIMEOUTS, connect: 300 } }), never), failing('PEER_UNREACHABLE', /TLS handshake had no answer within 0.3 s/));
});

void test('an abort while the peer is silent ends at once with the reason of the signal', async () => {
  await using scp = await startFaultScp({ respondEarly: () => 'silence' });
  const stop = new AbortController();
  const reason = new Error('closing');
  const waiting = echo(peerAt(scp.port, { timeouts: { ...TIMEOUTS, response: 60_000 } }), stop.signal);
  setTimeout(() => { stop.abort(reason); }, 50);
  await assert.rejects(waiting, (error: unknown) => error === reason);
});
