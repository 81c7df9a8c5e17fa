/** What other readers can read is never called unreadable. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { settleFile } from '../../../nodes/engine/archive/settle';
import type { OwnPath } from '../../../nodes/engine/model';
import { dataSet } from '../../support/archives';
import { drop } from './dropping';

const SHARED = join(process.cwd(), '..', 'shared', 'data');

describe('files that dcmdump and pydicom both read', { skip: existsSync(SHARED) ? false : 'the shared data is not here' }, () => {
  it('are instances or indexes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'exdicom-readable-'));
    try {
      const rows = readFileSync(join(SHARED, 'TOOLS.tsv'), 'utf8').trimEnd().split('\n').slice(1).map((line) => line.split('\t'));
      const readable = rows.flatMap(([path = '', dcmdump, , , pydicom]) => (dcmdump === 'ok' && pydicom === 'ok' && existsSync(join(SHARED, path)) ? [path] : []));
      assert.ok(readable.length > 300);
      const refused = readable.flatMap((path, n) => {
        // The path is foreign, but nothing is written to it: a second link or a copy is made.
        const { kind } = settleFile(join(SHARED, path) as OwnPath, n, { folder, salt: 's', issuer: '' }, { own: false });
        return kind === 'instance' || kind === 'index' ? [] : [`${path} ${kind}`];
      });
      assert.deepEqual(refused, []);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('instances without a SOP Instance UID', () => {
  it('are instances of their own, which anonymize sets aside', async () => {
    const nameless = (pixel: number): Buffer => dataSet({ sop: '', pixels: Buffer.alloc(64, pixel) });
    const { entries } = await drop({ a: nameless(1), b: nameless(2) });
    assert.deepEqual(entries.map(({ kind, code, file }) => [kind, code, file?.sopInstanceUID]), [['instance', undefined, ''], ['instance', undefined, '']]);
  });
});
