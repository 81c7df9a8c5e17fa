/** Studies that are on their way in while their listener is changed in the editor. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import type { JobToken } from '../../nodes/engine/model';
import { CT, EXPLICIT, RawClient, dataSet } from '../support/listening';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';
import { freePort } from '../support/orthanc';

const at = { z: 'f', x: 0, y: 0 };

/** A listener that waits long before a study is quiet, unless told otherwise. */
function flows(port: number, properties: object = {}): FlowNode[] {
  return [
    { id: 'f', type: 'tab', label: 'receiving' },
    { id: 'ledger', type: 'exdicom-ledger', name: '', directory: 'data', quiet: '1', reserve: '1' },
    { id: 'receive', type: 'exdicom-c-store-in', name: '', ledger: 'ledger', port: String(port), aet: 'EXDICOM', quiet: '3600', ...at, wires: [['d-receive']], ...properties },
    { id: 'd-receive', type: 'debug', active: false, ...at, wires: [] },
  ];
}

async function send(port: number, ...sops: readonly string[]): Promise<void> {
  using client = new RawClient(port);
  await client.associate([[CT, EXPLICIT]]);
  for (const sopInstanceUID of sops) {
    client.send(client.storeRequest(sopInstanceUID), client.value(1, 2, dataSet({ sopInstanceUID, studyInstanceUID: '2.25.1' })));
    assert.equal(await client.status(), 0);
  }
}

const jobsAt = (red: NodeRed, node: string): string[] => red.at(node).map(({ job }) => (job as JobToken).name);

describe('a study on its way in', () => {
  for (const deploy of ['nodes', 'full'] as const) {
    it(`goes on where its listener gets another port by a deploy of ${deploy === 'nodes' ? 'the node' : 'everything'}`, async () => {
      const [port, other] = [await freePort(), await freePort()];
      await using red = await NodeRed.start({ flows: flows(port) });
      await red.until(() => red.status('receive') === 'idle');
      await send(port, '2.25.1.1', '2.25.1.2');
      await red.deploy(flows(other, { quiet: '1' }), deploy);
      await red.until(() => jobsAt(red, 'd-receive').length > 0);
      assert.deepEqual(jobsAt(red, 'd-receive'), ['c-store-in 0001']);
    });
  }

  it('goes on where its listener has another port and AE title after a kill', async () => {
    const [port, other] = [await freePort(), await freePort()];
    await using red = await NodeRed.start({ flows: flows(port) });
    await red.until(() => red.status('receive') === 'idle');
    await send(port, '2.25.1.1', '2.25.1.2');
    await red.kill();
    await using again = await NodeRed.start({ userDir: red.userDir, flows: flows(other, { quiet: '1', aet: 'ELSEWHERE' }) });
    await again.until(() => jobsAt(again, 'd-receive').length > 0);
    assert.deepEqual(jobsAt(again, 'd-receive'), ['c-store-in 0001']);
  });
});

describe('a listener', () => {
  it('is the source of its jobs also while its port is taken, and where another node has the same one', async () => {
    const port = await freePort();
    const second: FlowNode[] = [
      { id: 'second', type: 'exdicom-c-store-in', name: '', ledger: 'ledger', port: String(port), aet: 'EXDICOM', quiet: '1', ...at, wires: [['d-second']] },
      { id: 'd-second', type: 'debug', active: false, ...at, wires: [] },
    ];
    await using red = await NodeRed.start({ flows: [...flows(port, { quiet: '1' })] });
    await red.until(() => red.status('receive') === 'idle');
    await send(port, '2.25.1.1');
    await red.until(() => jobsAt(red, 'd-receive').length > 0);
    await red.kill();
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    try {
      await using again = await NodeRed.start({ userDir: red.userDir, flows: [...flows(port), ...second] });
      await again.until(() => again.status('receive') === 'failed: port in use');
      await again.until(() => jobsAt(again, 'd-receive').length > 0);
      assert.deepEqual([jobsAt(again, 'd-receive'), jobsAt(again, 'd-second')], [['c-store-in 0001'], []]);
      await again.stop();
      assert.deepEqual(again.logs.filter(({ text }) => text.includes('in no flow')), []);
    } finally {
      other.close();
    }
  });

  it('says in the log why a caller is not let in, once for each reason', async () => {
    const port = await freePort();
    await using red = await NodeRed.start({ flows: flows(port, { checkAet: true }) });
    await red.until(() => red.status('receive') === 'idle');
    for (const called of ['WRONG', 'WRONG', 'EXDICOM', 'WRONG']) {
      using client = new RawClient(port);
      await client.associate([[CT, EXPLICIT]], { called });
    }
    using tls = new RawClient(port);
    tls.send(Buffer.from('16030100050100000100', 'hex'));
    await tls.next();
    const told = (): string[] => red.logs.flatMap(({ text }) => (text.includes('not let in') ? [text.replace(/^.*?a caller/, 'a caller')] : []));
    await red.until(() => told().length > 1);
    assert.deepEqual(told(), ['a caller was not let in: called AE title is not ours', 'a caller was not let in: no association request: TLS, or no DICOM at all']);
  });
});
