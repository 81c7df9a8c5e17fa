import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return String(port);
}

test('npm start answers whoever asks early when it has its flow, not with an error before', async () => {
  const data = await mkdtemp(join(tmpdir(), 'exdicom-start-'));
  const [port, listenPort] = [await freePort(), await freePort()];
  const child = spawn(process.execPath, ['scripts/start.mjs'], { stdio: 'ignore', env: { ...process.env, PORT: port, EXDICOM_DATA: data, EXDICOM_LISTEN_PORT: listenPort } });
  try {
    let response: Response | undefined;
    for (let wait = 0; wait < 1200 && response === undefined; wait += 1) {
      response = await fetch(`http://127.0.0.1:${port}/flows`).catch(() => undefined);
      if (response === undefined) await setTimeout(50);
    }
    assert.equal(response?.status, 200);
    assert.ok((await response.json() as unknown[]).length > 0);
  } finally {
    child.kill();
    await once(child, 'exit');
    await rm(data, { recursive: true, force: true });
    await rm(join('.node-red', createHash('sha256').update(data).digest('hex').slice(0, 8)), { recursive: true, force: true });
  }
});
