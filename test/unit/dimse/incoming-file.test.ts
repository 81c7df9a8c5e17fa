import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { IncomingFile } from '../../../nodes/engine/dimse/incoming-file';
import type { OwnPath } from '../../../nodes/engine/model';
import { CT, EXPLICIT, temporaryFolder } from '../../support/listening';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

void test('pieces without a byte in them are not held, however many come', async () => {
  using folder = temporaryFolder();
  const file = await IncomingFile.create(join(folder.path, 'one.dcm') as OwnPath, { sopClassUID: CT, sopInstanceUID: '2.25.1', transferSyntaxUID: EXPLICIT });
  // Each is a view on all that arrived with it. Memory is given back whenever the system likes, so what is asked is who is still known.
  const arrived: Array<WeakRef<ArrayBuffer>> = [];
  for (let n = 0; n < 500; n += 1) {
    const memory = new ArrayBuffer(65_536);
    arrived.push(new WeakRef(memory));
    await file.write(Buffer.from(memory, 12, 0));
  }
  await setImmediate();
  collect();
  const held = arrived.filter((memory) => memory.deref() !== undefined).length;
  await file.discard();
  // The last may lie on the stack.
  assert.ok(held < 5, `${held} of ${arrived.length}`);
});
