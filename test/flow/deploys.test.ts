import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { programsMissing, startStorescp } from '../support/dcmtk';
import type { Storescp } from '../support/dcmtk';
import { imported, importedId } from '../support/deploy-flow';
import { startFaultScp } from '../support/fault-scp';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import type { MainFlow } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';

const receipts = (red: NodeRed): Receipt[] => red.at('d-finish').map(({ payload }) => payload as Receipt);
const core = (id: string, type: string, properties: Record<string, unknown>): FlowNode => ({ id, type, z: 'f', ...properties });
const delay = (seconds: number, wires: readonly string[]): FlowNode => core('hold', 'delay', {
  pauseType: 'delay', timeout: String(seconds), timeoutUnits: 'seconds', rate: '1', nbRateUnits: '1', rateUnits: 'second', wires: [wires],
});

/** The main flow into a PACS outside of Node-RED. */
function toPacs(port: number, { change = {}, add = [] }: MainFlow = {}): FlowNode[] {
  return mainFlow({
    change: { out: { type: 'exdicom-c-store-out', name: '', pacs: 'pacs' }, ...change },
    add: [{ id: 'pacs', type: 'exdicom-pacs', name: 'PACS', host: '127.0.0.1', port: String(port), aet: 'TEST-PACS', callingAet: 'TEST', verification: 'response', findWait: '0' }, ...add],
  });
}

/** How often something was offered to it. */
const offered = (pacs: Storescp): number => pacs.log().match(/Received Store Request/g)?.length ?? 0;

describe('a deploy', () => {
  it('of one changed node, with the message in a user\'s node, costs nothing but time', async () => {
    const flow = (seconds: number): FlowNode[] => mainFlow({ change: { extract: { wires: [['hold', 'd-extract']] } }, add: [delay(seconds, ['anonymize'])] });
    await using red = await NodeRed.start({ flows: flow(600) });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-extract').length > 0);
    await red.deploy(flow(0), 'nodes');
    await red.until(() => red.at('d-finish').length > 0);
    assert.equal(receipts(red)[0]?.job.outcome, 'complete');
    assert.equal((await filesBelow(join(red.userDir, 'data', 'received'))).length, 24);
  });

  it('that takes one of a job\'s messages away does not fail the job for it', async () => {
    const flow = (seconds: number): FlowNode[] => mainFlow({
      change: { anonymize: { wires: [['half', 'other'], ['d-aside']] } },
      add: [
        core('half', 'function', { func: 'msg.payload = msg.payload.slice(0, 12); return msg;', outputs: 1, timeout: 0, noerr: 0, initialize: '', finalize: '', libs: [], wires: [['out']] }),
        core('other', 'function', { func: 'msg.payload = msg.payload.slice(12); return msg;', outputs: 1, timeout: 0, noerr: 0, initialize: '', finalize: '', libs: [], wires: [['hold']] }),
        delay(seconds, ['out']),
      ],
    });
    await using red = await NodeRed.start({ flows: flow(600) });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-out').length > 0);
    await red.deploy(flow(0), 'nodes');
    await red.until(() => red.at('d-finish').length > 0);
    assert.equal(receipts(red)[0]?.job.outcome, 'complete');
  });

  for (const type of ['full', 'nodes'] as const) {
    it(`of ${type === 'full' ? 'everything' : 'the out node'} in the middle of a sending sends nothing twice`, async () => {
      await using pacs = await startFaultScp({ respond: () => ({ status: 0, delay: 100 }) });
      await using red = await NodeRed.start({ flows: toPacs(pacs.port) });
      await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
      for (let deploys = 1; deploys <= 3; deploys += 1) {
        await red.until(() => pacs.messages.length >= 5 * deploys);
        await red.deploy(toPacs(pacs.port, { change: { out: { type: 'exdicom-c-store-out', pacs: 'pacs', name: `PACS ${deploys}` } } }), type);
      }
      await red.until(() => red.at('d-finish').length > 0);
      assert.equal(receipts(red)[0]?.job.outcome, 'complete');
      assert.equal(receipts(red)[0]?.job.attempts, 4);
      assert.deepEqual([pacs.messages.length, new Set(pacs.messages.map(({ sopInstanceUID }) => sopInstanceUID)).size], [24, 24]);
    });
  }
});

describe('the job of a message', () => {
  it('goes on in the same flow imported anew with other ids, where its source is another node', async () => {
    const flow = (seconds: number): FlowNode[] => mainFlow({ change: { extract: { wires: [['hold', 'd-extract']] } }, add: [delay(seconds, ['anonymize'])] }).filter(({ id }) => id !== 'in');
    await using red = await NodeRed.start({ flows: flow(600) });
    await writeFile(join(red.userDir, 'study.zip'), await sampleStudy(red.userDir));
    red.receive('extract', { payload: join(red.userDir, 'study.zip') });
    await red.until(() => red.at('d-extract').length > 0);
    await red.deploy(imported(flow(0)));
    await red.until(() => red.at(importedId('d-finish')).length > 0);
    const receipt = red.at(importedId('d-finish'))[0]?.['payload'] as Receipt;
    assert.deepEqual([receipt.job.outcome, receipt.job.attempts], ['complete', 2]);
  });

  it('waits, and is told of, when its source is taken out of the flow; it goes nowhere else', async () => {
    const flow = (id: string, tab: string): FlowNode[] => mainFlow({ change: { extract: { wires: [['hold', 'd-extract']] }, f: { label: tab } }, add: [delay(600, ['anonymize'])] })
      .filter((node) => node.id !== 'in').map((node) => JSON.parse(JSON.stringify(node).replaceAll('"extract"', `"${id}"`)) as FlowNode);
    await using red = await NodeRed.start({ flows: flow('extract', 'Tab') });
    await writeFile(join(red.userDir, 'study.zip'), await sampleStudy(red.userDir));
    red.receive('extract', { payload: join(red.userDir, 'study.zip') });
    await red.until(() => red.at('d-extract').length > 0);
    await red.deploy(flow('elsewhere', 'Another'));
    await red.until(() => red.logs.some(({ text }) => text.includes('1 job waits for a source')));
    assert.equal(red.at('d-extract').length, 1);
  });

  it('waits as well where another instance of its subflow, or a tab of the same name, is left', async () => {
    const at = (id: string, type: string, properties: Record<string, unknown>): FlowNode => core(id, type, { x: 0, y: 0, ...properties });
    const flow = (tabs: readonly string[], instances: readonly string[]): FlowNode[] => [
      ...mainFlow().filter(({ id }) => id === 'ledger'),
      { id: 'sub', type: 'subflow', name: 'Sub', info: '', category: '', env: [], in: [{ x: 0, y: 0, wires: [{ id: 'inside' }] }], out: [{ x: 0, y: 0, wires: [{ id: 'inside', port: 0 }] }] },
      at('inside', 'exdicom-extract', { z: 'sub', ledger: 'ledger', wires: [[]] }),
      ...tabs.flatMap((tab): FlowNode[] => [
        { id: tab, type: 'tab', label: 'Tab' }, at(`extract-${tab}`, 'exdicom-extract', { z: tab, ledger: 'ledger', wires: [[`seen-${tab}`]] }),
        ...instances.flatMap((instance) => [
          at(`into-${instance}`, 'function', { z: tab, func: 'return msg;', outputs: 1, timeout: 0, noerr: 0, initialize: '', finalize: '', libs: [], wires: [[instance]] }),
          at(instance, 'subflow:sub', { z: tab, name: '', wires: [[`seen-${tab}`]] }),
        ]),
        at(`seen-${tab}`, 'debug', { z: tab, active: false, wires: [] }),
      ]),
    ];
    for (const [before, after, to] of [[['t1'], ['t1'], 'into-i2'], [['t1', 't2'], ['t1'], 'extract-t2']] as const) {
      const instances = before.length === 1 ? ['i1', 'i2'] : [];
      await using red = await NodeRed.start({ flows: flow(before, instances) });
      await writeFile(join(red.userDir, 'study.zip'), await sampleStudy(red.userDir));
      red.receive(to, { payload: join(red.userDir, 'study.zip') });
      await red.until(() => red.messages.length > 0);
      await red.deploy(flow(after, instances.slice(0, 1)));
      await red.until(() => red.logs.some(({ text }) => text.includes('1 job waits for a source')));
      assert.equal(red.messages.length, 1);
    }
  });
});

describe('two wires to the same nodes', { skip: programsMissing('storescp') }, () => {
  for (const from of ['in', 'extract', 'anonymize']) {
    it(`out of ${from} send nothing twice and spoil nothing`, async () => {
      await using pacs = await startStorescp();
      const to = { in: 'extract', extract: 'anonymize', anonymize: 'out' }[from] ?? '';
      const through = core('through', 'function', { func: 'return msg;', outputs: 1, timeout: 0, noerr: 0, initialize: '', finalize: '', libs: [], wires: [[to]] });
      await using red = await NodeRed.start({ flows: toPacs(pacs.port, { change: { [from]: { wires: [[to, 'through']] } }, add: [through] }) });
      for (const name of ['one.zip', 'two.zip', 'three.zip']) await drop(red.userDir, name, await sampleStudy(red.userDir));
      await red.until(() => red.at('d-finish').length === 3);
      assert.deepEqual(receipts(red).map(({ job, destinations }) => [job.outcome, destinations[0]?.verified]), Array.from({ length: 3 }, () => ['complete', 24]));
      assert.deepEqual(red.at('d-catch'), []);
      assert.equal(pacs.files().length, 72);
      assert.equal(offered(pacs), 72);
    });
  }
});
