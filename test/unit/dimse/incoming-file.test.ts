import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
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
  collect();
  const before = process.memoryUsage().arrayBuffers;
  // Each is a view on all that arrived with it.
  for (let n = 0; n < 500; n += 1) await file.write(Buffer.alloc(65_536).subarray(12, 12));
  collect();
  const grown = process.memoryUsage().arrayBuffers - before;
  await file.discard();
  assert.ok(grown < 2_000_000, `${grown} bytes`);
});
