import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { exampleFlow, idOf } from '../support/example-flow';
import { drop, filesBelow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';

const KEY = 'k'.repeat(40);
const OTHER = 'o'.repeat(40);

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
  return port;
}

interface Place extends AsyncDisposable {
  readonly userDir: string;
  readonly data: string;
  readonly flow: readonly FlowNode[];
  start(key: string): Promise<NodeRed>;
  /** Names and digests of what the embedded PACS holds. */
  received(): Promise<Array<readonly [name: string, digest: string]>>;
  /** Waits until it holds so many files, and the originals of so many jobs are put away. */
  settled(red: NodeRed, files: number, jobs: number): Promise<void>;
}

/** Flow 01 with a data folder and a port of its own. */
async function place(): Promise<Place> {
  const userDir = await mkdtemp(join(tmpdir(), 'exdicom-key-'));
  const data = join(userDir, 'somewhere');
  const flow = exampleFlow('01');
  const port = String(await freePort());
  return {
    userDir, data, flow,
    start: (key) => NodeRed.start({ flows: flow, userDir, env: { EXDICOM_DATA: data, EXDICOM_DEID_KEY: key, EXDICOM_LISTEN_PORT: port, EXDICOM_PACS_PORT: port } }),
    received: async () => {
      const folder = join(data, 'received');
      return Promise.all((await filesBelow(folder)).map(async (name) => [name, createHash('sha256').update(await readFile(join(folder, name))).digest('hex')] as const));
    },
    settled: async (red, files, jobs) => {
      const count = async (folder: string): Promise<number> => (await filesBelow(join(data, folder))).length;
      while (await count('received') < files || await count('done') < jobs) {
        assert.equal(red.exited, undefined);
        await setTimeout(100);
      }
    },
    [Symbol.asyncDispose]: () => rm(userDir, { recursive: true, force: true }),
  };
}

const codes = (red: NodeRed): unknown[] => red.messages.filter(({ message }) => message['error'] !== undefined).map(({ message }) => (message['error'] as { code?: unknown }).code);

describe('the key of flow 01', () => {
  it('makes the same files of the same studies in two fresh ledgers, whatever else came before', async () => {
    await using one = await place();
    await using two = await place();
    const [first, second, third] = [await sampleStudy(one.userDir), await sampleStudy(one.userDir), await sampleStudy(one.userDir)];
    for (const [at, studies] of [[one, [first, second]], [two, [third, second, first]]] as const) {
      await using red = await at.start(KEY);
      for (const [n, study] of studies.entries()) await drop(at.userDir, `${n}.zip`, study, join(at.data, 'inbox'));
      await at.settled(red, studies.length * 24, studies.length);
      await red.stop();
    }
    // The receiver numbers its files as they come.
    const [fewer, more] = (await Promise.all([one.received(), two.received()])).map((files) => new Set(files.map(([, digest]) => digest)));
    assert.deepEqual([fewer?.size, more?.size], [48, 72]);
    assert.deepEqual(fewer?.isSubsetOf(more ?? new Set()), true);
  });

  it('missing or changed stops every job with its code, and nothing is sent until the former one is back', async () => {
    await using at = await place();
    const inbox = join(at.data, 'inbox');
    {
      await using red = await at.start(KEY);
      await drop(at.userDir, 'one.zip', await sampleStudy(at.userDir), inbox);
      await at.settled(red, 24, 1);
      await red.stop();
    }
    const before = await at.received();
    const second = await sampleStudy(at.userDir);
    for (const [key, code] of [['', 'KEY_MISSING'], [OTHER, 'KEY_CHANGED'], ['short', 'KEY_TOO_SHORT']] as const) {
      await using red = await at.start(key);
      // The job of the first round is taken up again in the following ones.
      if (code === 'KEY_MISSING') await drop(at.userDir, 'two.zip', second, inbox);
      await red.until(() => codes(red).length > 0);
      assert.deepEqual([...new Set(codes(red))], [code]);
      assert.equal(red.status(idOf(at.flow, 'exdicom-c-store-out')) === 'done 24', false);
      assert.deepEqual(await at.received(), before, code);
      assert.deepEqual(await filesBelow(inbox), ['two.zip']);
      // A key that is missing is never made anew.
      await assert.rejects(stat(join(at.userDir, 'exdicom-deid-key')), { code: 'ENOENT' });
      assert.doesNotMatch(JSON.stringify([red.logs, red.messages, red.statuses]), /o{16}|k{16}/);
      await red.stop();
    }
    await using red = await at.start(KEY);
    await at.settled(red, 48, 2);
    assert.deepEqual((await at.received()).filter(([name]) => before.some(([known]) => known === name)), before);
  });
});
