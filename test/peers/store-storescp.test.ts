import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { identifyFile } from '../../nodes/engine/dicom/identify';
import { openDataSet } from '../../nodes/engine/dimse/part10-file';
import type { StoreItem } from '../../nodes/engine/dimse/store';
import { closePool } from '../../nodes/engine/workers/pool';
import { programsMissing, run, startStorescp } from '../support/dcmtk';
import { startFaultProxy } from '../support/fault-proxy';
import { CT, EXPLICIT, IMPLICIT, JPEG, MR, alike, makeStudy, pacs, send } from '../support/store-study';

const data = join(process.cwd(), '..', 'shared', 'data');

function dataSetOf(path: string): Buffer {
  using file = openDataSet({ path, bytes: statSync(path).size });
  return readFileSync(path).subarray(file.offset);
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Every instance below a folder, each SOP Instance UID once. */
function instancesBelow(folder: string): StoreItem[] {
  const items = new Map<string, StoreItem>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile()) continue;
    const found = identifyFile(path);
    if (found.kind !== 'instance' || items.has(found.identity.sopInstanceUID)) continue;
    const { sopClassUID, sopInstanceUID, transferSyntaxUID } = found.identity;
    items.set(sopInstanceUID, { instance: items.size + 1, path, bytes: statSync(path).size, sopClassUID, sopInstanceUID, transferSyntaxUID });
  }
  return [...items.values()];
}

describe('C-STORE to storescp', { skip: programsMissing('storescp') }, () => {
  after(closePool);

  for (const noDelay of [true, false]) {
    it(`what arrives is what lies on disk, byte for byte (${noDelay ? 'tuned' : 'as packaged, with the nudge'})`, async () => {
      using study = makeStudy([...alike(30), { pixels: 5_000_000 }, { sopClassUID: MR, transferSyntaxUID: IMPLICIT, pixels: 100_000 }, { transferSyntaxUID: JPEG, pixels: 40_000 }]);
      await using scp = await startStorescp({ noDelay });
      const { sent } = await send(study, pacs(scp.port));
      assert.equal(sent.length, 33);
      assert.deepEqual(scp.files().map((path) => sha256(dataSetOf(path))).sort(), study.files.map(({ instance }) => sha256(study.dataSet(instance))).sort());
    });
  }

  it('the nudge spares the delayed acknowledgement that a packaged storescp waits for', async () => {
    using study = makeStudy(alike(25));
    await using scp = await startStorescp({ noDelay: false });
    const nudged = await send(study, pacs(scp.port));
    const without = await send(study, pacs(scp.port, { nudge: false }));
    assert.equal(nudged.sent.length + without.sent.length, 50);
    assert.ok(nudged.summary.milliseconds < without.summary.milliseconds);
  });

  it('a peer that takes only Implicit VR Little Endian gets the same values', { skip: programsMissing('dcmdump') }, async () => {
    using study = makeStudy([{}, { pixels: 2_000_000 }]);
    await using scp = await startStorescp({ options: ['+B', '+xi'] });
    assert.deepEqual((await send(study, pacs(scp.port))).sent, [1, 2]);
    const dump = async (path: string): Promise<string> => {
      const { code, stdout } = await run('dcmdump', ['-q', '+W', mkdtempSync(join(study.scratch(), 'raw-')), '-Un', path]);
      assert.equal(code, 0);
      return stdout.split('\n').filter((line) => /^\((?!0002|7fe0)/.test(line)).join('\n');
    };
    const [sent, received] = await Promise.all([
      Promise.all(study.files.map(({ path }) => dump(path))), Promise.all(scp.files().map((path) => dump(path))),
    ]);
    assert.deepEqual(received.sort(), sent.sort());
    assert.equal(scp.files().every((path) => readFileSync(path).includes(Buffer.from(`${IMPLICIT}\0`))), true);
  });

  it('real files become implicit as dcmconv makes them', { skip: programsMissing('dcmconv') || (existsSync(join(data, 'dicom')) ? false : 'no ../shared/data') }, async () => {
    const items = instancesBelow(join(data, 'dicom')).filter(({ transferSyntaxUID, bytes }) => transferSyntaxUID === EXPLICIT && bytes < 3_000_000).slice(0, 80);
    using study = makeStudy([]);
    await using scp = await startStorescp({ options: ['+B', '+xi'] });
    const { sent, codes } = await send(study, pacs(scp.port), {}, items);
    assert.ok(sent.length > 30);
    const converted = mkdtempSync(join(tmpdir(), 'exdicom-dcmconv-'));
    try {
      const received = new Map(scp.files().map((path) => [path.slice(path.lastIndexOf('/') + 1).replace(/^[^.]*\./, ''), path]));
      let equal = 0;
      const other: string[] = [];
      for (const { instance, path, sopInstanceUID } of items) {
        if (!sent.includes(instance)) continue;
        const target = join(converted, 'file');
        // Both as dcmconv writes them, so that only values and structure are compared.
        const normal = async (file: string): Promise<Buffer> => {
          const { code } = await run('dcmconv', ['-q', '+ti', '-e', '-g', file, target]);
          return code === 0 ? dataSetOf(target) : Buffer.alloc(0);
        };
        const [ours, theirs] = [await normal(received.get(sopInstanceUID) ?? ''), await normal(path)];
        if (ours.length > 0 && ours.equals(theirs)) equal += 1;
        else if (theirs.length > 0) other.push(path);
      }
      assert.deepEqual(other, []);
      assert.ok(equal > 30);
      assert.deepEqual(Object.values(codes).filter((code) => code !== 'DICOM_UNREADABLE' && code !== 'NO_CONTEXT'), []);
    } finally {
      rmSync(converted, { recursive: true, force: true });
    }
  });

  it('real files of every transfer syntax arrive byte for byte, or are told as NO_CONTEXT', { skip: existsSync(join(data, 'dicom')) ? false : 'no ../shared/data' }, async () => {
    const items = instancesBelow(join(data, 'dicom'));
    using study = makeStudy([]);
    await using scp = await startStorescp();
    const { sent, codes } = await send(study, pacs(scp.port), {}, items);
    assert.ok(sent.length > 200);
    assert.equal(scp.files().length, sent.length);
    const there = new Set(scp.files().map((path) => sha256(dataSetOf(path))));
    for (const item of items) {
      const dataSet = dataSetOf(item.path);
      // One of an odd length cannot go as it is.
      if (sent.includes(item.instance) && dataSet.length % 2 === 0) assert.ok(there.has(sha256(dataSet)), item.path);
    }
    assert.deepEqual([...new Set(Object.values(codes))].filter((code) => code !== 'NO_CONTEXT'), []);
  });

  for (const [option, code] of [['--refuse', 'ASSOCIATION_REJECTED'], ['--abort-after', 'PEER_ABORTED'], ['--abort-during', 'PEER_ABORTED']] as const) {
    it(`storescp ${option}: nothing counts as sent`, async () => {
      using study = makeStudy(alike(4, { pixels: 100_000 }));
      await using scp = await startStorescp({ options: ['+xa', option] });
      const { sent, codes } = await send(study, pacs(scp.port));
      assert.deepEqual(sent, []);
      assert.deepEqual(new Set(Object.values(codes)), new Set([code]));
    });
  }

  it('a slow peer is waited for, since each response has its own time', async () => {
    using study = makeStudy(alike(3));
    await using scp = await startStorescp({ options: ['+xa', '--sleep-after', '1'] });
    assert.deepEqual((await send(study, pacs(scp.port, { timeouts: { response: 2_500, progress: 500 } }))).sent, [1, 2, 3]);
  });

  it('a peer slower than the response timeout is not', async () => {
    using study = makeStudy(alike(3));
    await using scp = await startStorescp({ options: ['+xa', '--sleep-after', '3'] });
    const { codes } = await send(study, pacs(scp.port, { timeouts: { response: 500 } }));
    // It answers the first at once, and sleeps then.
    assert.deepEqual(codes, { 2: 'PEER_TIMEOUT', 3: 'PEER_TIMEOUT' });
  });

  it('a SOP Class that it does not take costs only its instances', async () => {
    using study = makeStudy([{}, { sopClassUID: '1.2.840.99999.1' }, {}]);
    await using scp = await startStorescp();
    const { sent, codes } = await send(study, pacs(scp.port));
    assert.deepEqual(sent, [1, 3]);
    assert.deepEqual(codes, { 2: 'NO_CONTEXT' });
    assert.equal(study.files[0]!.sopClassUID, CT);
  });
});

describe('DICOM over TLS', { skip: programsMissing('storescp', 'openssl') }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-tls-'));
  after(() => { rmSync(folder, { recursive: true, force: true }); });
  const [key, certificate, otherKey, otherCertificate] = ['key', 'cert', 'other-key', 'other-cert'].map((name) => join(folder, name)) as [string, string, string, string];
  const make = async (to: readonly [string, string], name: string, days: string): Promise<void> => {
    const { code, stderr } = await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', to[0], '-out', to[1], '-days', days, '-subj', `/CN=${name}`, '-addext', `subjectAltName=${name === 'localhost' ? 'DNS:localhost,IP:127.0.0.1' : `DNS:${name}`}`]);
    assert.equal(code, 0, stderr);
  };
  const ready = (async () => {
    await make([key, certificate], 'localhost', '2');
    await make([otherKey, otherCertificate], 'elsewhere.invalid', '2');
  })();
  const tls = (options: ConnectionOptions = {}): { tls: ConnectionOptions } => ({ tls: { ca: readFileSync(certificate), ...options } });

  it('sends over a verified connection', async () => {
    await ready;
    using study = makeStudy(alike(5, { pixels: 300_000 }));
    await using scp = await startStorescp({ options: ['+B', '+xa', '+tls', key, certificate, '-ic'] });
    const { sent } = await send(study, pacs(scp.port, { host: 'localhost', ...tls() }));
    assert.equal(sent.length, 5);
    assert.deepEqual(scp.files().map((path) => sha256(dataSetOf(path))).sort(), study.files.map(({ instance }) => sha256(study.dataSet(instance))).sort());
  });

  it('an authority that is not trusted, another host name, a port without TLS: TLS_FAILED, in plain words', async () => {
    await ready;
    using study = makeStudy(alike(2));
    await using scp = await startStorescp({ options: ['+xa', '+tls', key, certificate, '-ic'] });
    await using other = await startStorescp({ options: ['+xa', '+tls', otherKey, otherCertificate, '-ic'] });
    await using plain = await startStorescp();
    for (const [port, options, words] of [
      [scp.port, { tls: {} }, /not trusted/], [other.port, tls({ ca: readFileSync(otherCertificate) }), /another host name/], [plain.port, tls(), undefined],
    ] as const) {
      const { codes, summary } = await send(study, pacs(port, { ...options, timeouts: { connect: 2_000 } }));
      if (words === undefined) {
        assert.ok(['TLS_FAILED', 'PEER_CLOSED', 'PEER_UNREACHABLE'].includes(codes[1] ?? ''));
      } else {
        assert.deepEqual(codes, { 1: 'TLS_FAILED', 2: 'TLS_FAILED' });
        assert.match(summary.failure?.detail ?? '', words);
      }
    }
  });

  it('a peer that stops reading ends at the progress timeout here as well', async () => {
    await ready;
    using study = makeStudy([{ pixels: 60_000_000 }]);
    await using scp = await startStorescp({ options: ['+xa', '+tls', key, certificate, '-ic', '--ignore'] });
    await using proxy = await startFaultProxy(scp.port, { kind: 'deaf', direction: 'up', after: 2_000_000 });
    const { codes, summary } = await send(study, pacs(proxy.port, { host: 'localhost', ...tls(), timeouts: { progress: 500 } }));
    assert.deepEqual(codes, { 1: 'PEER_TIMEOUT' });
    assert.match(summary.failure?.detail ?? '', /stopped reading/);
  });

  it('a peer that wants a certificate from us says so, whenever it does', async () => {
    await ready;
    using study = makeStudy(alike(2));
    await using scp = await startStorescp({ options: ['+xa', '+tls', key, certificate, '-rc', '+cf', certificate] });
    const refused = await send(study, pacs(scp.port, { host: 'localhost', ...tls() }));
    assert.deepEqual(refused.sent, []);
    assert.equal(refused.summary.failure?.code, 'TLS_FAILED');
    const taken = await send(study, pacs(scp.port, { host: 'localhost', ...tls({ key: readFileSync(key), cert: readFileSync(certificate) }) }));
    assert.deepEqual(taken.sent, [1, 2]);
  });
});
