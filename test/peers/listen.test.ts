import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { identifyFile } from '../../nodes/engine/dicom/identify';
import type { DicomIdentity } from '../../nodes/engine/dicom/identity';
import { TRANSFER_SYNTAXES } from '../../nodes/engine/dicom/transfer-syntaxes';
import { StorageListener } from '../../nodes/engine/dimse/listen';
import { listenSettings } from '../../nodes/engine/dimse/listen-settings';
import type { ListenOptions } from '../../nodes/engine/dimse/listen-settings';
import { pacsSettings } from '../../nodes/engine/dimse/peer';
import { store } from '../../nodes/engine/dimse/store';
import { closePool } from '../../nodes/engine/workers/pool';
import { programsMissing, run, startStorescp } from '../support/dcmtk';
import { dataSetOf, folderSink, part10, temporaryFolder, until } from '../support/listening';
import type { FolderSink } from '../support/listening';
import { freePort, orthancMissing, startOrthanc } from '../support/orthanc';

after(closePool);

const DATA = join(process.cwd(), '../shared/data');
const noDcmtk = programsMissing('storescu', 'dcmsend', 'echoscu', 'storescp');
const noData = existsSync(DATA) ? false : 'the shared data is not there';
const FAST = { TCP_NODELAY: '1' };

async function listening(more: Partial<ListenOptions> = {}): Promise<{ port: string; sink: FolderSink; folder: string; listener: StorageListener } & AsyncDisposable> {
  const folder = temporaryFolder();
  const sink = folderSink(folder.path);
  const listener = new StorageListener(listenSettings({ port: 0, aet: 'EXDICOM', checkCalledAET: false, ...more }), sink);
  const port = String(await listener.start());
  return {
    port, sink, folder: folder.path, listener,
    [Symbol.asyncDispose]: async () => {
      await listener.stop();
      folder[Symbol.dispose]();
    },
  };
}

/** Writes Part 10 files into a folder of their own. */
function files(folder: string, count: number, pixels?: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const path = join(folder, `out-${i}`);
    writeFileSync(path, part10({ sopInstanceUID: `2.25.9.${i + 1}` }, pixels));
    return path;
  });
}

void test('echoscu is answered', { skip: noDcmtk }, async () => {
  await using server = await listening({ checkCalledAET: true });
  assert.equal((await run('echoscu', ['-aec', 'EXDICOM', '127.0.0.1', server.port], FAST)).code, 0);
  assert.notEqual((await run('echoscu', ['-aec', 'OTHER', '127.0.0.1', server.port], FAST)).code, 0);
});

/** The first file of the shared data in each transfer syntax, with what it is. */
function oneOfEach(): ReadonlyMap<string, { readonly path: string; readonly identity: DicomIdentity }> {
  const found = new Map<string, { path: string; identity: DicomIdentity }>();
  for (const folder of ['synthetic/transfer_syntax', 'synthetic/objects', 'dicom']) {
    for (const entry of readdirSync(join(DATA, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const what = identifyFile(path);
      if (what.kind !== 'instance' || !what.identity.part10 || found.has(what.identity.transferSyntaxUID)) continue;
      if (TRANSFER_SYNTAXES.has(what.identity.transferSyntaxUID)) found.set(what.identity.transferSyntaxUID, { path, identity: what.identity });
    }
  }
  return found;
}

void test('in every transfer syntax a data set that is sent as it lies on disk is kept byte for byte', { skip: noData }, async () => {
  const originals = oneOfEach();
  assert.ok(originals.size >= 18, `${originals.size} transfer syntaxes`);
  await using server = await listening();
  const peer = pacsSettings({ host: '127.0.0.1', port: Number(server.port), calledAET: 'EXDICOM' });
  const items = [...originals.values()].map(({ path, identity }, i) => ({ instance: i + 1, path, bytes: statSync(path).size, ...identity }));
  const { sent, failure } = await store(items, peer, { signal: new AbortController().signal, onResult: () => { /* counted */ }, progress: () => { /* not looked at */ } });
  assert.equal(failure, undefined);
  assert.equal(sent, items.length);
  for (const kept of server.sink.kept) {
    const { path, identity } = originals.get(kept.transferSyntaxUID)!;
    assert.deepEqual(dataSetOf(kept.path), readFileSync(path).subarray(identity.dataSetOffset), kept.transferSyntaxUID);
    const again = identifyFile(kept.path);
    assert.ok(again.kind === 'instance' && again.identity.part10, kept.transferSyntaxUID);
    assert.deepEqual({ ...again.identity, dataSetOffset: 0 }, { ...identity, dataSetOffset: 0 }, kept.transferSyntaxUID);
  }
  assert.equal(server.sink.kept.length, items.length);
});

void test('what dcmsend makes of a data set in its transfer syntaxes is kept as storescp keeps it bit by bit', { skip: noDcmtk === false ? noData : noDcmtk }, async () => {
  await using server = await listening();
  await using storescp = await startStorescp({ options: ['+B', '+xa', '--promiscuous'] });
  const compared = new Set<string>();
  for (const { path } of oneOfEach().values()) {
    for (const port of [server.port, String(storescp.port)]) await run('dcmsend', ['--no-halt', '--no-uid-checks', '--decompress-never', '127.0.0.1', port, path], FAST);
    const [ours, theirs] = [server.sink.kept.splice(0), storescp.files()];
    // We take transfer syntaxes that storescp does not.
    for (const other of theirs) {
      const [kept] = ours;
      assert.ok(kept !== undefined, basename(path));
      assert.deepEqual(dataSetOf(kept.path), dataSetOf(other), kept.transferSyntaxUID);
      compared.add(kept.transferSyntaxUID);
      rmSync(other);
    }
  }
  assert.ok(compared.size >= 9, [...compared].join(' '));
});

void test('storescu in implicit and explicit, with small PDUs', { skip: noDcmtk }, async () => {
  await using server = await listening();
  using folder = temporaryFolder();
  const [path] = files(folder.path, 1, 50_000);
  for (const [option, syntax] of [['-xi', '1.2.840.10008.1.2'], ['-xe', '1.2.840.10008.1.2.1']] as const) {
    const { code, stderr } = await run('storescu', [option, '--max-send-pdu', '4096', '127.0.0.1', server.port, path!], FAST);
    assert.equal(code, 0, stderr);
    assert.equal(server.sink.kept.at(-1)?.transferSyntaxUID, syntax);
  }
});

void test('with the gate closed storescu is told that there are no resources', { skip: noDcmtk }, async () => {
  await using server = await listening();
  server.sink.open = false;
  using folder = temporaryFolder();
  const { stdout, stderr } = await run('storescu', ['-v', '127.0.0.1', server.port, ...files(folder.path, 1)], FAST);
  assert.match(stdout + stderr, /a700|OutOfResources/i);
  assert.deepEqual(readdirSync(server.folder), []);
});

void test('storescu that calls another AE title, or is not on the list, is told so', { skip: noDcmtk }, async () => {
  await using server = await listening({ checkCalledAET: true, callingAETs: ['CT01'] });
  using folder = temporaryFolder();
  const [path] = files(folder.path, 1);
  const called = await run('storescu', ['-aet', 'CT01', '-aec', 'OTHER', '127.0.0.1', server.port, path!], FAST);
  assert.match(called.stdout + called.stderr, /Called AE Title Not Recognized/i);
  const calling = await run('storescu', ['-aet', 'XX99', '-aec', 'EXDICOM', '127.0.0.1', server.port, path!], FAST);
  assert.match(calling.stdout + calling.stderr, /Calling AE Title Not Recognized/i);
  assert.equal((await run('storescu', ['-aet', 'CT01', '-aec', 'EXDICOM', '127.0.0.1', server.port, path!], FAST)).code, 0);
});

void test('storescu that aborts after its instances has them kept', { skip: noDcmtk }, async () => {
  await using server = await listening();
  using folder = temporaryFolder();
  await run('storescu', ['--abort', '127.0.0.1', server.port, ...files(folder.path, 3)], FAST);
  await until(() => server.sink.ends.length === 1);
  assert.equal(server.sink.kept.length, 3);
});

void test('a storescu that is killed in the middle of an instance leaves nothing of it', { skip: noDcmtk }, async () => {
  await using server = await listening();
  using folder = temporaryFolder();
  const [path] = files(folder.path, 1, 60_000_000);
  const child = spawn('storescu', ['--max-send-pdu', '4096', '127.0.0.1', server.port, path!], { stdio: 'ignore', env: { ...process.env, ...FAST } });
  await until(() => readdirSync(server.folder).length === 1);
  child.kill('SIGKILL');
  await until(() => server.sink.ends.length === 1);
  assert.deepEqual(server.sink.kept, []);
  assert.deepEqual(readdirSync(server.folder), []);
});

void test('several dcmsend at once lose nothing', { skip: noDcmtk }, async () => {
  await using server = await listening();
  using folder = temporaryFolder();
  const paths = files(folder.path, 40);
  const runs = await Promise.all([0, 1, 2, 3].map((n) => run('dcmsend', ['127.0.0.1', server.port, ...paths.filter((_, i) => i % 4 === n)], FAST)));
  assert.deepEqual(runs.map(({ code }) => code), [0, 0, 0, 0]);
  assert.equal(new Set(server.sink.kept.map(({ sopInstanceUID }) => sopInstanceUID)).size, 40);
});

void test('Orthanc as the sender: every instance arrives with the data set that Orthanc holds', { skip: orthancMissing() }, async () => {
  await using server = await listening();
  await using orthanc = await startOrthanc({ modalities: { ours: { aet: 'EXDICOM', port: Number(server.port) } } });
  for (let i = 0; i < 5; i++) await orthanc.post('/instances', part10({ sopInstanceUID: `2.25.9.${i + 1}` }, 5_000));
  assert.ok(await orthanc.post('/modalities/ours/echo', {}));
  const held = await orthanc.instances();
  await orthanc.post('/modalities/ours/store', { Resources: held.map(({ id }) => id), Synchronous: true });
  assert.equal(server.sink.kept.length, 5);
  for (const kept of server.sink.kept) {
    const { id } = held.find(({ sopInstanceUID }) => sopInstanceUID === kept.sopInstanceUID)!;
    const file = await orthanc.bytes(`/instances/${id}/file`);
    assert.deepEqual(dataSetOf(kept.path), file.subarray(132 + 12 + file.readUInt32LE(140)));
  }
});

void test('DICOM over TLS, with a certificate asked of the client', { skip: noDcmtk === false ? programsMissing('openssl') : noDcmtk }, async () => {
  using folder = temporaryFolder();
  const [key, certificate] = [join(folder.path, 'key.pem'), join(folder.path, 'certificate.pem')];
  const made = await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, '-days', '2', '-subj', '/CN=localhost']);
  assert.equal(made.code, 0, made.stderr);
  const [pemKey, pemCertificate] = [readFileSync(key), readFileSync(certificate)];
  await using server = await listening({ tls: { key: pemKey, cert: pemCertificate, ca: pemCertificate, requestCert: true, rejectUnauthorized: true } });
  const [path] = files(folder.path, 1);
  const own = await run('storescu', ['+tls', key, certificate, '+cf', certificate, '127.0.0.1', server.port, path!], FAST);
  assert.equal(own.code, 0, own.stderr);
  assert.equal(server.sink.kept.length, 1);
  const anonymous = await run('storescu', ['+tla', '+cf', certificate, '-to', '3', '127.0.0.1', server.port, path!], FAST);
  assert.notEqual(anonymous.code, 0);
  const plain = await run('storescu', ['-ta', '3', '127.0.0.1', server.port, path!], FAST);
  assert.notEqual(plain.code, 0);
  assert.equal(server.sink.kept.length, 1);
});

void test('a port of ours is free again after the listener has stopped', { skip: noDcmtk }, async () => {
  const port = await freePort();
  for (let i = 0; i < 2; i++) {
    await using server = await listening({ port });
    assert.equal((await run('echoscu', ['127.0.0.1', server.port], FAST)).code, 0);
  }
});
