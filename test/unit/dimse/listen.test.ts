import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { StorageListener } from '../../../nodes/engine/dimse/listen';
import { listenSettings } from '../../../nodes/engine/dimse/listen-settings';
import type { ListenOptions } from '../../../nodes/engine/dimse/listen-settings';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { ErrorCode } from '../../../nodes/engine/errors';
import { CT, EXPLICIT, IMPLICIT, RawClient, dataSet, dataSetOf, folderSink, temporaryFolder, until } from '../../support/listening';
import type { FolderSink } from '../../support/listening';

const VERIFICATION = '1.2.840.10008.1.1';
const PRIVATE = '1.3.12.2.1107.5.9.1';

async function listening(more: Partial<ListenOptions> = {}): Promise<{ port: number; sink: FolderSink; folder: string; listener: StorageListener } & AsyncDisposable> {
  const folder = temporaryFolder();
  const sink = folderSink(folder.path);
  const listener = new StorageListener(listenSettings({ port: 0, aet: 'EXDICOM', ...more }), sink);
  const port = await listener.start();
  return {
    port, sink, folder: folder.path, listener,
    [Symbol.asyncDispose]: async () => {
      await listener.stop();
      folder[Symbol.dispose]();
    },
  };
}

function deferred(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve = (): void => { /* set at once */ };
  const promise = new Promise<void>((given) => { resolve = given; });
  return { promise, resolve: () => { resolve(); } };
}

/** Result and transfer syntax of each context of an A-ASSOCIATE-AC, by its id. */
function contextsOf(body: Buffer): Record<number, string> {
  const contexts: Record<number, string> = {};
  for (let at = 68; at < body.length; at += 4 + body.readUInt16BE(at + 2)) {
    if (body[at] === 0x21) contexts[body[at + 4]!] = body[at + 6] === 0 ? body.toString('latin1', at + 12, at + 12 + body.readUInt16BE(at + 10)) : `refused ${body[at + 6]}`;
  }
  return contexts;
}

void test('C-ECHO is answered', async () => {
  await using server = await listening();
  using client = new RawClient(server.port);
  await client.associate([[VERIFICATION, IMPLICIT]]);
  client.send(client.command(1, [[0x0002, VERIFICATION], [0x0100, 0x0030], [0x0110, 7], [0x0800, 0x0101]]));
  assert.equal(await client.status(), 0);
  client.send(client.pdu(5, Buffer.alloc(4)));
  assert.equal((await client.next())?.type, 6, 'a release is answered');
  await until(() => client.closed);
});

void test('an instance is kept as a Part 10 file with its data set as received, in any fragments, and hashed', async () => {
  await using server = await listening();
  using client = new RawClient(server.port);
  await client.associate([[CT, EXPLICIT]]);
  const bytes = dataSet({ sopInstanceUID: '1.2.3.4' }, 300_000);
  client.send(client.storeRequest('1.2.3.4'));
  const cuts = [0, 1, 2, 2, 9_000, 100_000, 200_001, bytes.length];
  for (let i = 1; i < cuts.length; i++) client.send(client.value(1, i === cuts.length - 1 ? 2 : 0, bytes.subarray(cuts[i - 1], cuts[i])));
  assert.equal(await client.status(), 0);
  const [kept] = server.sink.kept;
  assert.ok(kept !== undefined);
  assert.deepEqual(dataSetOf(kept.path), bytes);
  const file = readFileSync(kept.path);
  assert.equal(kept.bytes, file.length);
  assert.equal(kept.sha256, createHash('sha256').update(file).digest('hex'));
  assert.equal(file.toString('latin1', 128, 132), 'DICM');
  assert.ok(file.includes(Buffer.from(`${EXPLICIT}\0`)));
  assert.equal(kept.transferSyntaxUID, EXPLICIT);
  assert.equal(kept.association.callingAET, 'SENDER');
  assert.equal(statSync(kept.path).mode & 0o777, 0o600);
});

void test('command and data set in one PDU, and two instances without waiting, are both answered in order', async () => {
  await using server = await listening();
  using client = new RawClient(server.port);
  await client.associate([[CT, EXPLICIT]]);
  const one = client.storeRequest('1.2.3.1', { messageId: 1 }).subarray(6);
  const [first, second] = [dataSet({ sopInstanceUID: '1.2.3.1' }), dataSet({ sopInstanceUID: '1.2.3.2' })];
  client.send(client.pdu(4, Buffer.concat([one, client.value(1, 2, first).subarray(6)])), client.storeRequest('1.2.3.2', { messageId: 2 }), client.value(1, 2, second));
  assert.equal(await client.status(), 0);
  assert.equal(await client.status(), 0);
  assert.deepEqual(server.sink.kept.map(({ path }) => dataSetOf(path)), [first, second]);
});

void test('the first transfer syntax that can be kept is chosen; other services and JPIP are refused', async () => {
  await using server = await listening({ privateSopClasses: false });
  using client = new RawClient(server.port);
  const answer = await client.associate([
    [CT, '1.2.840.10008.1.2.4.70', IMPLICIT], [CT, '1.2.840.10008.1.2.4.94', '1.2.840.10008.1.2.4.90'], [CT, '1.2.840.10008.1.2.4.94'],
    [CT, '1.2.840.10008.1.2.1.99'], [CT, '1.2.840.10008.1.2.2'], [VERIFICATION, EXPLICIT, IMPLICIT],
    ['1.2.840.10008.5.1.4.1.2.2.1', IMPLICIT], [PRIVATE, IMPLICIT], [CT, '1.2.3.4'],
  ]);
  assert.deepEqual(contextsOf(answer!.body), {
    1: '1.2.840.10008.1.2.4.70', 3: '1.2.840.10008.1.2.4.90', 5: 'refused 4', 7: '1.2.840.10008.1.2.1.99', 9: '1.2.840.10008.1.2.2', 11: EXPLICIT,
    13: 'refused 3', 15: 'refused 3', 17: 'refused 4',
  });
});

void test('private SOP Classes are taken where the setting allows them', async () => {
  await using server = await listening({ privateSopClasses: true });
  using client = new RawClient(server.port);
  assert.deepEqual(contextsOf((await client.associate([[PRIVATE, IMPLICIT]]))!.body), { 1: IMPLICIT });
});

void test('success is answered after the sink has it, not before', async () => {
  await using server = await listening();
  const kept = deferred();
  server.sink.beforeCommit = () => kept.promise;
  using client = new RawClient(server.port);
  await client.associate([[CT, EXPLICIT]]);
  client.send(client.storeRequest('1.2.3.4'), client.value(1, 2, dataSet({ sopInstanceUID: '1.2.3.4' })));
  await pause(150);
  assert.equal(client.answers.length, 0);
  kept.resolve();
  assert.equal(await client.status(), 0);
});

void test('with the gate closed the sender is told A700, nothing is written, and the association goes on', async () => {
  await using server = await listening();
  server.sink.open = false;
  using client = new RawClient(server.port);
  await client.associate([[CT, EXPLICIT]]);
  const request = [client.storeRequest('1.2.3.4'), client.value(1, 0, Buffer.alloc(9_000)), client.value(1, 2, dataSet({ sopInstanceUID: '1.2.3.4' }))];
  client.send(...request);
  assert.equal(await client.status(), 0xa700);
  assert.deepEqual(readdirSync(server.folder), []);
  server.sink.open = true;
  client.send(client.storeRequest('1.2.3.4'), client.value(1, 2, dataSet({ sopInstanceUID: '1.2.3.4' })));
  assert.equal(await client.status(), 0);
});

const FAILURES: ReadonlyArray<readonly [code: ErrorCode, status: number]> = [
  ['STORE_MISMATCH', 0xa900], ['DICOM_UNREADABLE', 0xc000], ['DICOM_INCOMPLETE', 0xc000], ['DISK_FULL', 0xa700], ['LEDGER_CLOSED', 0xa700], ['INTERNAL', 0x0110],
];
for (const [code, status] of FAILURES) {
  void test(`an instance that the sink refuses as ${code} is answered with 0x${status.toString(16)} and not kept`, async () => {
    await using server = await listening();
    server.sink.beforeCommit = () => Promise.reject(new ExdicomError(code));
    using client = new RawClient(server.port);
    await client.associate([[CT, EXPLICIT]]);
    client.send(client.storeRequest('1.2.3.4'), client.value(1, 2, dataSet({ sopInstanceUID: '1.2.3.4' })));
    assert.equal(await client.status(), status);
    assert.deepEqual(readdirSync(server.folder), []);
    assert.equal(server.listener.status.notStored, 1);
  });
}

void test('where no file can be made the sender is told A700 after its data set', async () => {
  await using server = await listening();
  server.sink.begin = () => Promise.resolve(join(server.folder, 'missing', '1.dcm') as Awaited<ReturnType<FolderSink['begin']>>);
  using client = new RawClient(server.port);
  await client.associate([[CT, EXPLICIT]]);
  client.send(client.storeRequest('1.2.3.4'), client.value(1, 2, dataSet({ sopInstanceUID: '1.2.3.4' })));
  assert.equal(await client.status(), 0xa700);
});

for (const [when, failing] of [['at once', 1], ['in the middle', 2], ['with the last bytes', 4]] as const) {
  void test(`a disk that is full ${when} is told as A700 after the data set, and nothing is kept`, async (t) => {
    await using server = await listening();
    const probe = await open(join(server.folder, 'probe'), 'wx');
    const handles = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    rmSync(join(server.folder, 'probe'));
    // Called with its handle below.
    // oxlint-disable-next-line typescript/unbound-method
    const writev = handles.writev;
    let writes = 0;
    t.mock.method(handles, 'writev', function full(this: FileHandle, parts: Buffer[]) {
      writes += 1;
      return writes >= failing ? Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' })) : writev.call(this, parts);
    });
    using client = new RawClient(server.port);
    await client.associate([[CT, EXPLICIT]]);
    const bytes = dataSet({ sopInstanceUID: '1.2.3.4' }, 900_000);
    const pieces = Array.from({ length: Math.ceil(bytes.length / 100_000) }, (_, i) => bytes.subarray(i * 100_000, (i + 1) * 100_000));
    client.send(client.storeRequest('1.2.3.4'), ...pieces.map((piece, i) => client.value(1, i === pieces.length - 1 ? 2 : 0, piece)));
    assert.equal(await client.status(), 0xa700);
    assert.deepEqual(readdirSync(server.folder), []);
    assert.deepEqual(server.sink.kept, []);
  });
}

void test('requests that make no sense are answered with a status, and the association goes on', async () => {
  await using server = await listening();
  using client = new RawClient(server.port);
  await client.associate([[CT, EXPLICIT]]);
  const bytes = client.value(1, 2, dataSet({ sopInstanceUID: '1.2.3.4' }));
  client.send(client.storeRequest('1.2.3.4', { sopClassUID: '1.2.840.10008.5.1.4.1.1.4' }), bytes);
  assert.equal(await client.status(), 0x0122, 'another SOP Class than that of the context');
  client.send(client.storeRequest('../../etc/passwd'), bytes);
  assert.equal(await client.status(), 0x0117, 'no UID');
  client.send(client.command(1, [[0x0002, CT], [0x0100, 0x0020], [0x0110, 1], [0x0800, 0x0102]]), bytes);
  assert.equal(await client.status(), 0x0211, 'another service');
  client.send(client.command(1, [[0x0002, CT], [0x0100, 1], [0x0110, 1], [0x0800, 0x0101], [0x1000, '1.2.3.4']]));
  assert.equal(await client.status(), 0xc000, 'no data set');
  assert.deepEqual(server.sink.kept, []);
});

const CUTS: ReadonlyArray<readonly [how: string, cut: (client: RawClient) => void]> = [
  ['an abort', (client) => { client.send(client.pdu(7, Buffer.alloc(4))); }],
  ['a clean end of the connection', (client) => { client.socket.end(); }],
  ['a reset', (client) => { client.socket.resetAndDestroy(); }],
  ['a release in the middle', (client) => { client.send(client.pdu(5, Buffer.alloc(4))); }],
];
for (const [how, cut] of CUTS) {
  void test(`of a data set that ${how} cuts off nothing is kept`, async () => {
    await using server = await listening();
    using client = new RawClient(server.port);
    await client.associate([[CT, EXPLICIT]]);
    client.send(client.storeRequest('1.2.3.4'), client.value(1, 0, Buffer.alloc(15_000)));
    await until(() => readdirSync(server.folder).length === 1);
    cut(client);
    await until(() => server.sink.ends.length === 1);
    assert.deepEqual(readdirSync(server.folder), []);
    assert.deepEqual(server.sink.kept, []);
  });
}

const REJECTIONS: ReadonlyArray<readonly [who: string, options: Partial<ListenOptions>, titles: { called?: string; calling?: string }, answer: readonly number[]]> = [
  ['that calls another AE title', { checkCalledAET: true }, { called: 'OTHER' }, [1, 1, 7]],
  ['whose AE title is not on the list', { callingAETs: ['CT01', 'MR01'] }, { calling: 'XX99' }, [1, 1, 3]],
];
for (const [who, options, titles, answer] of REJECTIONS) {
  void test(`an association ${who} is rejected with that reason`, async () => {
    await using server = await listening(options);
    using client = new RawClient(server.port);
    const rejection = await client.associate([[CT, EXPLICIT]], titles);
    assert.equal(rejection?.type, 3);
    assert.deepEqual([...rejection.body.subarray(1)], answer);
    await until(() => client.closed);
    assert.equal(server.listener.status.refused, 1);
  });
}

void test('titles on the list, and any called title where it is not checked, are let in', async () => {
  await using server = await listening({ callingAETs: ['CT01'], checkCalledAET: false });
  using client = new RawClient(server.port);
  assert.equal((await client.associate([[CT, EXPLICIT]], { called: 'OTHER', calling: 'CT01' }))?.type, 2);
});

void test('titles padded with NUL are the titles in front of it', async () => {
  await using server = await listening({ callingAETs: ['SENDER'] });
  using client = new RawClient(server.port);
  assert.equal((await client.associate([[CT, EXPLICIT]], { called: 'EXDICOM'.padEnd(16, '\0'), calling: 'SENDER\0'.padEnd(16) }))?.type, 2);
});

void test('an address that is not on the list gets no answer', async () => {
  await using server = await listening({ addresses: ['192.0.2.0/24', '2001:db8::1'] });
  using client = new RawClient(server.port);
  assert.equal(await client.associate([[CT, EXPLICIT]]), undefined);
  assert.equal(server.listener.status.lastRefusal, 'address is not on the list');
});

void test('addresses are judged by network, whether they come as IPv4 or mapped into IPv6', () => {
  const { isAllowed } = listenSettings({ port: 104, aet: 'A', addresses: ['10.1.0.0/16', ' 192.0.2.7 ', '2001:db8::/32'] });
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '192.0.2.7', '2001:db8::99']) assert.equal(isAllowed(address), true, address);
  for (const address of ['10.2.0.1', '192.0.2.8', '::ffff:192.0.2.8', '2001:db9::1', '', 'no address']) assert.equal(isAllowed(address), false, address);
  assert.equal(listenSettings({ port: 104, aet: 'A' }).isAllowed('203.0.113.1'), true);
});

void test('settings that are not valid are named', () => {
  const wrong: ReadonlyArray<readonly [Partial<ListenOptions>, RegExp]> = [
    [{ port: 70_000 }, /port/], [{ aet: '' }, /AE title/], [{ aet: 'SEVENTEEN LETTERS' }, /AE title/], [{ aet: 'A\\B' }, /AE title/], [{ host: 'a b' }, /host/],
    [{ addresses: ['10.0.0.0/33'] }, /addresses/], [{ addresses: ['ten'] }, /addresses/], [{ addresses: ['10.0.0.0/'] }, /addresses/],
    [{ callingAETs: [''] }, /calling AE titles/], [{ associations: 0 }, /associations/], [{ maxPdu: 10 }, /PDU/],
  ];
  for (const [options, words] of wrong) {
    assert.throws(() => listenSettings({ port: 104, aet: 'A', ...options }), (error: unknown) => error instanceof ExdicomError && error.code === 'CONFIG_INVALID' && words.test(error.detail ?? ''), JSON.stringify(options));
  }
  assert.equal(listenSettings({ port: 104, aet: ' ARCHIVE ' }).sourceKey, 'dicom:ARCHIVE@127.0.0.1:104');
});

void test('more associations than allowed are told to come later, until one ends', async () => {
  await using server = await listening({ associations: 1 });
  using first = new RawClient(server.port);
  await first.associate([[CT, EXPLICIT]]);
  using second = new RawClient(server.port);
  const rejection = await second.associate([[CT, EXPLICIT]]);
  assert.equal(rejection?.type, 3);
  assert.deepEqual([...rejection.body.subarray(1)], [2, 3, 2]);
  first.socket.destroy();
  await until(() => server.listener.status.associations === 0);
  using third = new RawClient(server.port);
  assert.equal((await third.associate([[CT, EXPLICIT]]))?.type, 2);
});

void test('a connection that asks for nothing, and an association that stands idle, are aborted', async () => {
  await using server = await listening({ timeouts: { association: 100, idle: 100 } });
  using silent = new RawClient(server.port);
  using idle = new RawClient(server.port);
  await idle.associate([[CT, EXPLICIT]]);
  assert.equal((await idle.next())?.type, 7);
  await until(() => silent.closed && idle.closed);
  await until(() => server.sink.ends.length === 1);
});

void test('a connection that brings its request too slowly is aborted when its time is over, whatever still comes', async () => {
  await using server = await listening({ timeouts: { association: 200 } });
  using client = new RawClient(server.port);
  const started = performance.now();
  client.socket.write(Buffer.from([1, 0, 0, 0, 0, 200]));
  while (!client.closed && performance.now() - started < 2_000) {
    client.socket.write(Buffer.alloc(1));
    await pause(20);
  }
  assert.ok(performance.now() - started < 1_000);
});

void test('a slow sender that goes on sending is no idle one', async () => {
  await using server = await listening({ timeouts: { association: 300, idle: 300 } });
  using client = new RawClient(server.port);
  await client.associate([[CT, EXPLICIT]]);
  const bytes = Buffer.concat([client.storeRequest('1.2.3.4'), client.value(1, 2, dataSet({ sopInstanceUID: '1.2.3.4' }))]);
  for (let at = 0; at < bytes.length; at += 12) {
    client.socket.write(bytes.subarray(at, at + 12));
    await pause(30);
  }
  assert.equal(await client.status(), 0);
});

const HOSTILE: ReadonlyArray<readonly [what: string, bytes: (client: RawClient) => Buffer]> = [
  ['a PDU longer than we proposed', (client) => client.pdu(4, Buffer.alloc(10)).fill(Buffer.from([0x7f, 0xff, 0xff, 0xff]), 2, 6)],
  ['a value longer than its PDU', (client) => client.pdu(4, Buffer.from([0x7f, 0xff, 0xff, 0xff, 1, 3]))],
  ['a context that was not accepted', (client) => client.command(9, [[0x0100, 0x0030], [0x0110, 1], [0x0800, 0x0101]])],
  ['a data set without a command', (client) => client.value(1, 2, Buffer.alloc(100))],
  ['a command instead of a data set', (client) => Buffer.concat([client.storeRequest('1.2.3.4'), client.storeRequest('1.2.3.5')])],
  ['a command without end', (client) => Buffer.concat(Array.from({ length: 80 }, () => client.value(1, 1, Buffer.alloc(1_000))))],
  ['something that is no PDU', () => Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['a second association request', (client) => client.pdu(1, Buffer.alloc(200))],
];
for (const [what, bytes] of HOSTILE) {
  void test(`${what} ends the association, keeps nothing, and the next one is served`, async () => {
    await using server = await listening();
    using client = new RawClient(server.port);
    await client.associate([[CT, EXPLICIT]]);
    client.send(bytes(client));
    assert.equal((await client.next())?.type, 7);
    await until(() => client.closed);
    await until(() => readdirSync(server.folder).length === 0);
    using next = new RawClient(server.port);
    await next.associate([[CT, EXPLICIT]]);
    next.send(next.storeRequest('1.2.3.4'), next.value(1, 2, dataSet({ sopInstanceUID: '1.2.3.4' })));
    assert.equal(await next.status(), 0);
  });
}

void test('while the sink works no more is read than fits in the buffers', async () => {
  await using server = await listening();
  const kept = deferred();
  server.sink.beforeCommit = () => kept.promise;
  using client = new RawClient(server.port);
  await client.associate([[CT, EXPLICIT]]);
  const total = 64 * 1024 * 1024;
  client.send(client.storeRequest('1.2.3.1'), client.value(1, 2, dataSet({ sopInstanceUID: '1.2.3.1' })), client.storeRequest('1.2.3.2', { messageId: 2 }));
  const piece = client.value(1, 0, Buffer.alloc(16_000));
  for (let sent = 0; sent < total; sent += piece.length) client.socket.write(piece);
  let left = -1;
  for (let i = 0; i < 40 && client.socket.writableLength !== left; i++) {
    left = client.socket.writableLength;
    await pause(50);
  }
  assert.ok(client.socket.writableLength > total / 2, 'most of it waits at the sender');
  kept.resolve();
  assert.equal(await client.status(), 0);
  await until(() => client.socket.writableLength === 0);
});

void test('a stop answers for the instance that is being kept, aborts the others, and leaves nothing half done', async () => {
  await using server = await listening();
  const kept = deferred();
  server.sink.beforeCommit = () => kept.promise;
  using busy = new RawClient(server.port);
  using idle = new RawClient(server.port);
  using halfway = new RawClient(server.port);
  for (const client of [busy, idle, halfway]) await client.associate([[CT, EXPLICIT]]);
  busy.send(busy.storeRequest('1.2.3.1'), busy.value(1, 2, dataSet({ sopInstanceUID: '1.2.3.1' })));
  halfway.send(halfway.storeRequest('1.2.3.2'), halfway.value(1, 0, Buffer.alloc(15_000)));
  await until(() => readdirSync(server.folder).length === 2);
  const stopping = server.listener.stop();
  assert.equal((await idle.next())?.type, 7);
  kept.resolve();
  assert.equal(await busy.status(), 0);
  assert.equal((await busy.next())?.type, 7);
  await stopping;
  assert.equal(server.sink.ends.length, 3);
  assert.deepEqual(server.sink.kept.map(({ sopInstanceUID }) => sopInstanceUID), ['1.2.3.1']);
  assert.equal(readdirSync(server.folder).length, 1);
  using late = new RawClient(server.port);
  await until(() => late.closed);
});

void test('listening on 127.0.0.1 is not listening on the other addresses of the machine', async (t) => {
  const other = Object.values(networkInterfaces()).flat().find((address) => address?.family === 'IPv4' && !address.internal)?.address;
  if (other === undefined) {
    t.skip('this machine has no other address');
    return;
  }
  await using server = await listening();
  using client = new RawClient(server.port, other);
  await until(() => client.closed);
  assert.equal(client.socket.bytesRead, 0);
});

void test('a port that is taken: LISTEN_FAILED, in words', async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => { holder.listen(0, '127.0.0.1', resolve); });
  const address = holder.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  using folder = temporaryFolder();
  const listener = new StorageListener(listenSettings({ port, aet: 'EXDICOM' }), folderSink(folder.path));
  await assert.rejects(listener.start(), (error: unknown) => error instanceof ExdicomError && error.code === 'LISTEN_FAILED' && /taken/.test(error.detail ?? '') && error.retryable);
  await new Promise((resolve) => { holder.close(resolve); });
  assert.equal(await listener.start(), port, 'the same listener can try again');
  await listener.stop();
});

void test('a TLS handshake that its other side never goes on with keeps no listener from stopping', async () => {
  await using server = await listening({ tls: {} });
  using client = new RawClient(server.port);
  await until(() => client.socket.readyState === 'open');
  await pause(50);
  const start = performance.now();
  await server.listener.stop();
  assert.ok(performance.now() - start < 3_000);
  await until(() => client.closed);
});

void test('who is not on the list is closed at a TLS port without a handshake, and holds no place there', async () => {
  await using server = await listening({ tls: {}, addresses: ['192.0.2.1'] });
  using client = new RawClient(server.port);
  await until(() => client.closed);
  assert.equal(server.listener.status.lastRefusal, 'address is not on the list');
});
