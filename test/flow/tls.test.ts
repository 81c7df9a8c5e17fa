/** DICOM over TLS through core's tls-config, ours on both ends; certificates of DCMTK's clients are asked for where that is set. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { programsMissing, run } from '../support/dcmtk';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';
import { freePort } from '../support/orthanc';

/** DCMTK stalls 40 ms per response otherwise. */
const FAST = { TCP_NODELAY: '1' };

describe('TLS', { skip: programsMissing('openssl', 'echoscu') }, () => {
  let folder: string;
  let [key, certificate, otherKey, otherCertificate] = ['', '', '', ''];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'exdicom-tls-'));
    const make = async (name: string): Promise<[string, string]> => {
      const paths: [string, string] = [join(folder, `${name}-key.pem`), join(folder, `${name}.pem`)];
      const { code, stderr } = await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', paths[0], '-out', paths[1], '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']);
      assert.equal(code, 0, stderr);
      return paths;
    };
    [key, certificate] = await make('ours');
    [otherKey, otherCertificate] = await make('other');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const at = { z: 'f', x: 0, y: 0 };
  const tlsNode = (id: string, properties: object = {}): FlowNode => ({ id, type: 'tls-config', name: '', cert: certificate, key, ca: certificate, certname: '', keyname: '', caname: '', servername: 'localhost', verifyservercert: true, alpnprotocol: '', ...properties });
  const receiver = (port: number, properties: object): FlowNode[] => [
    { id: 'receive', type: 'exdicom-c-store-in', name: '', ledger: 'ledger', port: String(port), aet: 'TEST-PACS', quiet: '1', ...properties, ...at, wires: [['store']] },
    { id: 'store', type: 'exdicom-folder-out', name: 'received', ledger: '', folder: 'received', layout: 'uid', identifiedAllowed: true, ...at, wires: [['closed']] },
    { id: 'closed', type: 'exdicom-finish', name: '', required: [], allowLeftOut: false, ...at, wires: [['d-closed']] },
    { id: 'd-closed', type: 'debug', active: false, ...at, wires: [] },
  ];
  const echo = async (port: number, ...options: string[]): Promise<number | null> => (await run('echoscu', [...options, '-to', '3', '-ta', '3', '127.0.0.1', String(port)], FAST)).code;

  it('takes a study from c-store-out to c-store-in, each with its certificate, and lets in nobody without', async () => {
    const port = await freePort();
    await using red = await NodeRed.start({
      flows: [
        ...mainFlow().filter(({ id }) => id !== 'out'), tlsNode('tls'),
        { id: 'pacs', type: 'exdicom-pacs', name: 'PACS', host: '127.0.0.1', port: String(port), aet: 'TEST-PACS', callingAet: 'TEST', verification: 'response', tls: 'tls' },
        { id: 'out', type: 'exdicom-c-store-out', name: '', ledger: '', pacs: 'pacs', ...at, wires: [['finish', 'd-out']] },
        ...receiver(port, { tls: 'tls', clientCertificate: true }),
      ],
    });
    await red.until(() => red.status('receive') === 'idle');
    assert.equal(await echo(port, '+tls', key, certificate, '+cf', certificate), 0);
    assert.notEqual(await echo(port, '+tls', otherKey, otherCertificate, '+cf', certificate), 0);
    assert.notEqual(await echo(port, '+tla', '+cf', certificate), 0);
    assert.notEqual(await echo(port), 0);
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-closed').length === 1 && red.at('d-finish').length === 1);
    for (const id of ['d-finish', 'd-closed']) assert.deepEqual(red.at(id).map(({ payload }) => (payload as Receipt).job.outcome), ['complete']);
    assert.equal((await filesBelow(join(red.userDir, 'data', 'received'))).length, 24);
  });

  it('asks callers for nothing unless told so; a C-ECHO leaves no trace in the status', async () => {
    const port = await freePort();
    await using red = await NodeRed.start({ flows: [...mainFlow(), tlsNode('tls'), ...receiver(port, { tls: 'tls' })] });
    await red.until(() => red.status('receive') === 'idle');
    assert.equal(await echo(port, '+tla', '+cf', certificate), 0);
    await pause(1200); // statuses come at most once a second
    assert.deepEqual([...new Set(red.statuses.filter(({ node }) => node === 'receive').map(({ text }) => text))], ['idle']);
  });

  it('does not listen at all where what it needs for that is missing', async () => {
    const [bare, authority, none] = [await freePort(), await freePort(), await freePort()];
    const listener = (id: string, port: number, tls: string): FlowNode => ({ id, type: 'exdicom-c-store-in', name: '', ledger: 'ledger', port: String(port), aet: 'TEST-PACS', quiet: '1', tls, clientCertificate: true, ...at, wires: [[]] });
    await using red = await NodeRed.start({
      flows: [
        ...mainFlow(), tlsNode('bare', { cert: '', key: '' }), tlsNode('no-authority', { ca: '' }),
        listener('receive-bare', bare, 'bare'), listener('receive-authority', authority, 'no-authority'), listener('receive-none', none, ''),
      ],
    });
    for (const id of ['receive-bare', 'receive-authority', 'receive-none']) await red.until(() => red.status(id)?.startsWith('failed') === true);
    for (const port of [bare, authority, none]) assert.notEqual(await echo(port), 0);
  });
});
