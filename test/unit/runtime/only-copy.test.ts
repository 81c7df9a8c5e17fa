import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { Intake } from '../../../nodes/engine/ledger/ledger-types';
import type { JobToken, SourceKey } from '../../../nodes/engine/model';
import { onlyCopies } from '../../../nodes/runtime/only-copy';
import { Bench, destination, until } from '../ledger/fixture';

const SOURCE = 'message:extract/n1' as SourceKey;
const names = async (folder: string): Promise<string[]> => (await readdir(folder, { recursive: true })).toSorted();

function attach(bench: Bench): JobToken[] {
  const sent: JobToken[] = [];
  bench.ledger.attachSource({ sourceKey: SOURCE, send: (token) => { sent.push(token); }, ...onlyCopies(bench.ledger, 'H') });
  return sent;
}

async function take(bench: Bench, ...contents: readonly string[]): Promise<JobToken> {
  const items: Intake['items'] = contents.map((content) => ({ content: Buffer.from(content), name: 'message' }));
  const taken = await bench.ledger.take({ sourceKey: SOURCE, kind: 'message', prefix: 'extract', items }, new AbortController().signal);
  assert.ok(taken.kind === 'job');
  return taken.token;
}

const closed = (bench: Bench, { id }: Pick<JobToken, 'id'>): Promise<void> => until(async () => (await bench.ledger.job(id)).state === 'closed');

describe('what nobody else has', () => {
  it('is kept with its reason when its job is cancelled, and sent again from there, as often as it fails', async () => {
    await using bench = await Bench.open();
    const { done, failed, work } = bench.ledger.folders;
    const sent = attach(bench);
    const first = await take(bench, 'one', 'two');
    await bench.ledger.cancel(first.id, 'X');
    await closed(bench, first);
    assert.deepEqual(await names(join(failed, first.name)), ['0001', '0002', 'reason.json']);
    const reason = JSON.parse(await readFile(join(failed, first.name, 'reason.json'), 'utf8')) as { outcome: string };
    assert.equal(reason.outcome, 'cancelled');

    const second = await bench.ledger.sendAgain(first.id);
    await until(() => sent.length === 1);
    assert.deepEqual([second.issuer, second.againOf], ['H', first.id]);
    assert.deepEqual(await Promise.all((await bench.ledger.spool(second.id)).map(({ path }) => readFile(path, 'utf8'))), ['one', 'two']);
    await bench.ledger.fail(sent[0]!, new ExdicomError('ARCHIVE_DAMAGED'));
    await closed(bench, second);
    assert.deepEqual(await names(join(failed, second.name)), [first.name, join(first.name, '0001'), join(first.name, '0002'), join(first.name, 'reason.json'), 'reason.json']);

    const third = await bench.ledger.sendAgain(second.id);
    await bench.ledger.cancel(third.id);
    await closed(bench, third);
    assert.ok((await names(join(failed, second.name))).includes(join(first.name, '0002')), 'put back where it was kept');
    const fourth = await bench.ledger.sendAgain(third.id);
    const token = { ...sent.at(-1)!, id: fourth.id, name: fourth.name };
    await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
    await until(() => sent.some(({ id }) => id === fourth.id));
    await bench.ledger.finish(token, 'finish');
    await closed(bench, fourth);
    assert.equal((await bench.ledger.job(fourth.id)).outcome, 'complete');
    assert.ok((await names(join(done, fourth.name))).includes(join(first.name, '0001')), 'nothing is deleted at once');
    assert.deepEqual(await names(work), []);
  });

  it('goes with a job that is complete, after which it cannot be sent again', async () => {
    await using bench = await Bench.open();
    attach(bench);
    const token = await take(bench, 'one');
    await bench.deliver(token, destination('pacs'), await bench.prepare(token, await bench.extract(token, ['1.1#a'])));
    await bench.ledger.finish(token, 'finish');
    await closed(bench, token);
    await assert.rejects(bench.ledger.sendAgain(token.id), { code: 'SOURCE_GONE' });
  });
});
