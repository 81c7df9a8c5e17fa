import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';

const receiptOf = (message: Record<string, unknown> | undefined): Receipt => message?.['payload'] as Receipt;
const codeOf = (message: Record<string, unknown>): unknown => (message['error'] as { code?: unknown }).code;

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return (server.address() as AddressInfo).port;
}

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listening(server);
  await new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
  return port;
}

/** A peer that takes the connection and never says a word. */
async function silentPeer(): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => { sockets.add(socket); socket.on('error', () => undefined); });
  const port = await listening(server);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
    },
  };
}

/** The main flow with c-store-out instead of folder-out, and an embedded PACS: c-store-in, folder-out, finish. */
function pacsFlow({ port, listen }: { readonly port: number; readonly listen: number }): FlowNode[] {
  const at = { z: 'f', x: 0, y: 0 };
  const main = mainFlow().filter(({ id }) => id !== 'out');
  return [
    ...main,
    { id: 'pacs', type: 'exdicom-pacs', name: 'PACS', host: '127.0.0.1', port: String(port), aet: 'TEST-PACS', callingAet: 'TEST', verification: 'response', findWait: '0' },
    { id: 'out', type: 'exdicom-c-store-out', name: '', ledger: '', pacs: 'pacs', ...at, wires: [['finish', 'd-out']] },
    { id: 'receive', type: 'exdicom-c-store-in', name: '', ledger: 'ledger', port: String(listen), aet: 'TEST-PACS', quiet: '1', ...at, wires: [['store', 'd-receive']] },
    { id: 'store', type: 'exdicom-folder-out', name: 'received', ledger: '', folder: 'received', layout: 'uid', identifiedAllowed: true, ...at, wires: [['closed']] },
    { id: 'closed', type: 'exdicom-finish', name: '', required: [], allowLeftOut: false, ...at, wires: [['d-closed']] },
    { id: 'd-receive', type: 'debug', active: false, ...at, wires: [] },
    { id: 'd-closed', type: 'debug', active: false, ...at, wires: [] },
  ];
}

describe('a PACS', () => {
  it('gets the study, and its receiving half keeps it', async () => {
    const port = await freePort();
    await using red = await NodeRed.start({ flows: pacsFlow({ port, listen: port }) });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length > 0 && red.at('d-closed').length > 0);
    assert.equal(receiptOf(red.at('d-finish')[0]).job.outcome, 'complete');
    const destination = receiptOf(red.at('d-finish')[0]).destinations[0];
    assert.deepEqual([destination?.label, destination?.address, destination?.levels], ['PACS', `dicom:TEST-PACS@127.0.0.1:${port}`, { response: 24 }]);
    assert.equal(receiptOf(red.at('d-closed')[0]).job.outcome, 'complete');
    assert.equal((await filesBelow(join(red.userDir, 'data', 'received'))).length, 24);
    assert.deepEqual(red.at('d-catch'), []);
  });

  it('that is silent holds a message, which ends once as interrupted at a deploy, and the job goes on afterwards', async () => {
    await using silent = await silentPeer();
    const listen = await freePort();
    await using red = await NodeRed.start({ flows: pacsFlow({ port: silent.port, listen }) });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-anonymize').length > 0);
    await red.until(() => red.status('out')?.startsWith('working') === true);
    await red.deploy(pacsFlow({ port: listen, listen }), 'nodes');
    await red.until(() => red.at('d-finish').length > 0);
    assert.equal(receiptOf(red.at('d-finish')[0]).job.outcome, 'complete');
    assert.deepEqual(red.at('d-catch').map(codeOf), ['INTERRUPTED']);
    assert.doesNotMatch(JSON.stringify(red.logs), /Close timed out/);
  });

  it('that is not there parks the job, and says until when', async () => {
    const nobody = await freePort();
    await using red = await NodeRed.start({ flows: pacsFlow({ port: nobody, listen: await freePort() }) });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-catch').length > 0);
    assert.deepEqual(red.at('d-catch').slice(0, 1).map(codeOf), ['PEER_UNREACHABLE']);
    await red.until(() => /^waiting \d\d:\d\d \(1\)$/.test(red.status('out') ?? ''));
    assert.deepEqual(red.at('d-finish'), []);
    assert.deepEqual(await filesBelow(join(red.userDir, 'data', 'inbox')), ['study.zip']);
  });

  it('is tested from its dialog, with values that are not deployed', async () => {
    const port = await freePort();
    await using silent = await silentPeer();
    await using red = await NodeRed.start({ flows: pacsFlow({ port, listen: port }) });
    const echo = async (body: object): Promise<Record<string, unknown>> => {
      const response = await fetch(`http://127.0.0.1:${red.started?.port}/exdicom/pacs/echo`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
      return response.json() as Promise<Record<string, unknown>>;
    };
    const form = { host: '127.0.0.1', port: String(port), aet: 'TEST-PACS', callingAet: 'TEST', tls: '' };
    await red.until(() => red.status('receive') === 'idle');
    const good = await echo(form);
    assert.equal(good['ok'], true);
    assert.equal(typeof good['milliseconds'], 'number');
    assert.equal((await echo({ id: 'pacs' }))['ok'], true);
    assert.equal((await echo({ ...form, port: '${NOT_SET:-' + String(port) + '}' }))['ok'], true);

    const refused = await echo({ ...form, port: String(await freePort()) });
    assert.deepEqual([refused['ok'], refused['code']], [false, 'PEER_UNREACHABLE']);
    assert.match(String(refused['message']), /No connection/);
    const mute = await echo({ ...form, port: String(silent.port), associationTimeout: '1' });
    assert.deepEqual([mute['ok'], mute['code']], [false, 'PEER_TIMEOUT']);
    for (const wrong of [{ ...form, port: 'x' }, { ...form, aet: '' }, { ...form, host: '' }, { ...form, tls: 'nothing' }]) assert.equal((await echo(wrong))['code'], 'CONFIG_INVALID');
  });
});

describe('flow 01, as it is in the examples menu', () => {
  it('runs from the inbox to the small PACS below, without a setting', async () => {
    const example = JSON.parse(await readFile(join('examples', 'flows', '01 - Folder to PACS.json'), 'utf8')) as FlowNode[];
    // Only the waiting is shortened.
    const quick: Readonly<Record<string, object>> = { 'exdicom-folder-in': { interval: '0.2', stable: '0.2' }, 'exdicom-c-store-in': { quiet: '1' } };
    const flows = example.map((node) => ({ ...node, ...quick[node.type] }));
    const port = String(await freePort());
    await using red = await NodeRed.start({ flows, env: { EXDICOM_LISTEN_PORT: port, EXDICOM_PACS_PORT: port, EXDICOM_DATA: '' } });
    const data = join(red.userDir, 'exdicom');
    await red.until(() => red.status(example.find(({ type }) => type === 'exdicom-folder-in')?.id ?? '') === 'idle');
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir), join(data, 'inbox'));
    const debugs = (): Receipt[] => red.messages.map(({ message }) => message['payload'] as Receipt).filter((payload) => typeof payload === 'object' && payload !== null && 'receipt' in payload);
    await red.until(() => debugs().length === 2);
    assert.deepEqual(debugs().map(({ job }) => job.outcome), ['complete', 'complete']);
    assert.equal((await filesBelow(join(data, 'received'))).length, 24);
    assert.deepEqual(red.logs.filter(({ level }) => level <= 20), []);
  });
});
