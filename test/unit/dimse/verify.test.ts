import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tag } from '../../../nodes/engine/dimse/find';
import type { Answers, Finder, Key } from '../../../nodes/engine/dimse/find';
import { pacsSettings } from '../../../nodes/engine/dimse/peer';
import type { PacsOptions, PacsSettings, Peer } from '../../../nodes/engine/dimse/peer';
import { verify } from '../../../nodes/engine/dimse/verify';
import type { ToVerify, VerifyContext } from '../../../nodes/engine/dimse/verify';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { DeliveryResult, Shown } from '../../../nodes/engine/ledger/ledger-types';

/** A peer that no other test has asked before: the process remembers what it knows of a destination. */
let port = 20_000;
const fresh = (more: Partial<PacsOptions> = {}): PacsSettings => pacsSettings({ host: 'pacs', port: ++port, calledAET: 'PACS', level: 'C-FIND', verifyWait: 0, ...more });

const instancesOf = (count: number, study = '1.2'): ToVerify[] => Array.from({ length: count }, (_, i): ToVerify => ({
  instance: i + 1, sopInstanceUID: `${study}.${1 + i % 2}.${i + 1}`, seriesInstanceUID: `${study}.${1 + i % 2}`, studyInstanceUID: study,
}));

interface Query { readonly level: string; readonly study: string; readonly series: string | undefined; readonly round: number }
const COUNT = -1;

/** A peer that answers queries: UIDs at IMAGE level, a number at STUDY level, or a status. */
function answering(answer: (query: Query) => readonly string[] | number | { readonly status: string }): { open: (peer: Peer, signal: AbortSignal) => Promise<Finder>; queries: Query[]; asked: string[] } {
  const queries: Query[] = [];
  const asked: string[] = [];
  const open = (peer: Peer): Promise<Finder> => {
    asked.push(peer.address);
    return Promise.resolve({
      find: (keys: readonly Key[]): Promise<Answers> => {
        const values = new Map(keys);
        const query = { level: values.get(Tag.QueryRetrieveLevel) ?? '', study: values.get(Tag.StudyInstanceUID) ?? '', series: values.get(Tag.SeriesInstanceUID), round: asked.length };
        queries.push(query);
        const said = answer(query);
        if (typeof said === 'number') {
          return Promise.resolve({ matches: said === COUNT ? [] : [new Map([[Tag.StudyInstanceUID, query.study], [Tag.NumberOfStudyRelatedInstances, String(said)]])] });
        }
        return Promise.resolve('status' in said ? { matches: [], failure: said.status } : { matches: said.map((uid) => new Map([[Tag.SOPInstanceUID, uid]])) });
      },
      close: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  };
  return { open, queries, asked };
}

const context = (more: Partial<VerifyContext> = {}): VerifyContext => ({ signal: new AbortController().signal, progress: () => { /* not looked at */ }, onVerified: () => { /* not looked at */ }, ...more });
const outcome = (results: readonly DeliveryResult[]): string[] => [...results].sort((a, b) => a.instance - b.instance).map(({ instance, state, level, code }) => `${instance} ${state} ${level ?? code ?? ''}`);
const uids = (items: readonly ToVerify[], series?: string): string[] => items.filter(({ seriesInstanceUID }) => series === undefined || seriesInstanceUID === series).map(({ sopInstanceUID }) => sopInstanceUID);

void test('instances found by Study and Series are proven one by one, and told before the next query', async () => {
  const items = instancesOf(5);
  const told: DeliveryResult[][] = [];
  const progress: string[] = [];
  const peer = answering(({ series }) => {
    assert.equal(told.length, peer.queries.length - 1, 'what the query before proved is recorded first');
    return uids(items, series);
  });
  const shown: Shown[] = [];
  const { results } = await verify(items, fresh(), context({
    onShown: (more) => { shown.push(more); return Promise.resolve(); },
    onVerified: (proven) => { told.push([...proven]); },
    progress: (done, total) => { progress.push(`${done}/${total}`); },
  }), peer.open);
  assert.deepEqual(outcome(results), [1, 2, 3, 4, 5].map((n) => `${n} verified C-FIND`));
  assert.deepEqual(peer.queries.map(({ level, series }) => `${level} ${series ?? ''}`), ['IMAGE 1.2.1', 'IMAGE 1.2.2']);
  assert.deepEqual(progress, ['3/5', '5/5']);
  assert.equal(told.flat().length, 5);
  assert.deepEqual(shown, [{ any: true, image: true }], 'told once, for the ledger to remember');
});

void test('a peer that only answers by Study alone proves at the level "C-FIND study"', async () => {
  const items = instancesOf(3);
  const { results } = await verify(items, fresh(), context(), answering(({ series }) => (series === undefined ? uids(items) : [])).open);
  assert.deepEqual(outcome(results), [1, 2, 3].map((n) => `${n} verified C-FIND study`));
});

void test('a peer that only counts proves at the level "C-FIND count", when it has as many as were sent of the study', async () => {
  const items = instancesOf(3);
  const counting = (count: number) => answering(({ level }) => (level === 'STUDY' ? count : [])).open;
  assert.deepEqual(outcome((await verify(items, fresh(), context(), counting(3))).results), [1, 2, 3].map((n) => `${n} verified C-FIND count`));
  assert.deepEqual(outcome((await verify(items, fresh(), context(), counting(2))).results), [1, 2, 3].map((n) => `${n} failed UNVERIFIABLE`));
  const sent = { sentOfStudy: () => 10 };
  assert.deepEqual(outcome((await verify(items, fresh(), context(sent), counting(9))).results), [1, 2, 3].map((n) => `${n} failed UNVERIFIABLE`));
  assert.deepEqual(outcome((await verify(items, fresh(), context(sent), counting(10))).results), [1, 2, 3].map((n) => `${n} verified C-FIND count`));
});

void test('a count proves nothing at a destination that has shown instances at IMAGE level', async () => {
  const [shown, hidden] = [instancesOf(2, '1.7'), instancesOf(2, '1.8')];
  const peer = fresh();
  const open = answering(({ level, study, series }) => (level === 'STUDY' ? 99 : study === '1.7' ? uids(shown, series) : [])).open;
  await verify(shown, peer, context(), open);
  assert.deepEqual(outcome((await verify(hidden, peer, context(), open)).results), ['1 failed NOT_FOUND', '2 failed NOT_FOUND']);
});

void test('where only some of a study are shown, the rest is not found, whatever the count says', async () => {
  const items = instancesOf(4);
  const peer = answering(({ level, series }) => (level === 'STUDY' ? 99 : uids(items, series).filter((uid) => !uid.endsWith('.3'))));
  assert.deepEqual(outcome((await verify(items, fresh(), context(), peer.open)).results), ['1 verified C-FIND', '2 verified C-FIND', '3 failed NOT_FOUND', '4 verified C-FIND']);
});

void test('answers that were not asked for prove nothing', async () => {
  const items = instancesOf(1);
  const { results } = await verify(items, fresh(), context(), answering(({ level }) => (level === 'IMAGE' ? ['1.2.1.10', '1.2.1', ''] : COUNT)).open);
  assert.deepEqual(outcome(results), ['1 failed UNVERIFIABLE']);
});

void test('nothing found is UNVERIFIABLE until an instance was ever found there, and NOT_FOUND from then on', async () => {
  const [first, second] = [instancesOf(1, '1.3'), instancesOf(1, '1.4')];
  const peer = fresh();
  const empty = answering(({ level }) => (level === 'STUDY' ? COUNT : [])).open;
  const before = await verify(first, peer, context(), empty);
  assert.deepEqual(outcome(before.results), ['1 failed UNVERIFIABLE']);
  await verify(second, peer, context(), answering(() => uids(second)).open);
  assert.deepEqual(outcome((await verify(first, peer, context(), empty)).results), ['1 failed NOT_FOUND']);
});

void test('what the ledger remembers of a destination counts after a restart', async () => {
  const { results } = await verify(instancesOf(1), fresh(), context({ shownBefore: { any: true, image: false } }), answering(({ level }) => (level === 'STUDY' ? COUNT : [])).open);
  assert.deepEqual(outcome(results), ['1 failed NOT_FOUND']);
  // A count proves nothing where instances could be seen once.
  const counting = answering(({ level }) => (level === 'STUDY' ? 1 : []));
  assert.deepEqual(outcome((await verify(instancesOf(1), fresh(), context({ shownBefore: { any: true, image: true } }), counting.open)).results), ['1 failed NOT_FOUND']);
  assert.deepEqual(outcome((await verify(instancesOf(1), fresh(), context({ shownBefore: { any: true, image: false } }), counting.open)).results), ['1 verified C-FIND count']);
});

void test('an instance that shows up within the wait is verified, and only what is missing is asked for again', async () => {
  const items = [...instancesOf(2, '1.5'), ...instancesOf(2, '1.6').map((item) => ({ ...item, instance: item.instance + 2 }))];
  const peer = answering(({ level, study, series, round }) => (level === 'STUDY' ? COUNT : study === '1.6' && round < 2 ? [] : uids(items, series)));
  const { results } = await verify(items, fresh({ verifyWait: 10_000 }), context(), peer.open);
  assert.deepEqual(outcome(results), [1, 2, 3, 4].map((n) => `${n} verified C-FIND`));
  assert.equal(peer.asked.length, 2);
  assert.ok(peer.queries.every(({ study, round }) => round === 1 || study === '1.6'));
});

void test('a peer that refuses every way fails the query, with its status; what was only sent stays sent', async () => {
  const refusing = answering(() => ({ status: '0xC000' })).open;
  await assert.rejects(verify(instancesOf(2), fresh(), context(), refusing), (error: unknown) => error instanceof ExdicomError && error.code === 'QUERY_FAILED' && error.detail === '0xC000' && error.retryable);
});

void test('a peer that refuses one way and answers another proves', async () => {
  const items = instancesOf(2);
  const open = answering(({ series }) => (series === undefined ? uids(items) : { status: '0xA900' })).open;
  assert.deepEqual(outcome((await verify(items, fresh(), context(), open)).results), ['1 verified C-FIND study', '2 verified C-FIND study']);
});

void test('refused at a destination that showed instances before is a failed query, not a missing instance', async () => {
  const items = instancesOf(2);
  const peer = fresh();
  await verify(items, peer, context(), answering(({ series }) => uids(items, series)).open);
  await assert.rejects(verify(instancesOf(2, '1.9'), peer, context(), answering(() => ({ status: '0xA700' })).open), (error: unknown) => error instanceof ExdicomError && error.code === 'QUERY_FAILED');
});

void test('one failed query among answers proves no absence', async () => {
  const items = instancesOf(2);
  const peer = fresh();
  await verify(items, peer, context(), answering(({ series }) => uids(items, series)).open);
  // One series cannot be asked for, so nobody knows whether its instance is there: it must not be sent again.
  const open = answering(({ series }) => (series === '1.2.1' ? uids(items, series) : { status: '0xC001' })).open;
  await assert.rejects(verify(items, peer, context(), open), (error: unknown) => error instanceof ExdicomError && error.code === 'QUERY_FAILED');
});

void test('the query peer is asked where there is one', async () => {
  const items = instancesOf(1);
  const peer = answering(() => uids(items));
  await verify(items, fresh({ queryPeer: { host: 'Archive', port: 104, calledAET: 'QR' } }), context(), peer.open);
  assert.deepEqual(peer.asked, ['dicom:QR@archive:104']);
});

void test('an abort ends the wait at once, with the reason of the signal', async () => {
  const stop = new AbortController();
  const reason = new Error('closing');
  const waiting = verify(instancesOf(1), fresh({ verifyWait: 600_000 }), context({ signal: stop.signal }), answering(({ level }) => {
    setTimeout(() => { stop.abort(reason); }, 20);
    return level === 'STUDY' ? COUNT : [];
  }).open);
  await assert.rejects(waiting, (error: unknown) => error === reason || (error instanceof Error && error.cause === reason));
});
