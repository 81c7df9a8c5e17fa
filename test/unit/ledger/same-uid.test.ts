import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import test from 'node:test';
import type { FoundEntry } from '../../../nodes/engine/ledger/ledger-types';
import type { JobToken, OwnPath } from '../../../nodes/engine/model';
import { Bench } from './fixture';

/** Entries as `extract` finds them: a digest of the data set only where it was needed. */
async function without(bench: Bench, token: JobToken, instances: readonly string[]): Promise<FoundEntry[]> {
  return (await bench.entries(token, instances)).map((entry) => {
    if (entry.file === undefined) return entry;
    const { dataSetSha256: _none, ...file } = entry.file;
    return { ...entry, file };
  });
}

test('files with the same bytes are duplicates though nobody looked at their data sets', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const [one, two] = await without(bench, token, ['1.1#a', '1.2#b']);
  const copy = `${one!.file!.path}.copy.dcm` as OwnPath;
  copyFileSync(one!.file!.path, copy);
  const { summary } = await bench.ledger.recordExtraction(token.id, 's', [one!, two!, { ...one!, file: { ...one!.file!, path: copy } }]);
  assert.deepEqual([summary.instances, summary.skipped], [2, [{ entry: 3, code: 'DUPLICATE' }]]);
});

test('an extraction that is done again finds its instances, under their numbers, by their bytes', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const first = await bench.ledger.recordExtraction(token.id, 's', await without(bench, token, ['1.1#a', '1.2#b']));
  // The first time they were told apart from others, the second time there is nothing to tell them apart from.
  const again = await bench.ledger.recordExtraction(token.id, 't', await bench.entries(token, ['1.2#b', '1.1#a']));
  const last = await bench.ledger.recordExtraction(token.id, 'u', await without(bench, token, ['1.2#b', '1.1#a']));
  const numbers = ({ files }: typeof first): ReadonlyArray<readonly unknown[]> => files.map(({ sopInstanceUID, instance }) => [sopInstanceUID, instance]);
  assert.deepEqual(numbers(first), [['1.1', 1], ['1.2', 2]]);
  assert.deepEqual(numbers(again), [['1.2', 2], ['1.1', 1]]);
  assert.deepEqual(numbers(last), [['1.2', 2], ['1.1', 1]]);
});

test('other bytes under a UID are a conflict unless their data sets are the same', async () => {
  await using bench = await Bench.open();
  const token = await bench.take();
  const found = await bench.entries(token, ['1.1#a', '1.1#b', '1.1#c']);
  const same = { ...found[2]!, file: { ...found[2]!.file!, dataSetSha256: found[0]!.file!.dataSetSha256! } };
  const { summary } = await bench.ledger.recordExtraction(token.id, 's', [found[0]!, found[1]!, same]);
  assert.deepEqual(summary.skipped, [{ entry: 2, code: 'UID_CONFLICT' }, { entry: 3, code: 'DUPLICATE' }]);
});
