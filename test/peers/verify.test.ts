import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { echo } from '../../nodes/engine/dimse/echo';
import { pacsSettings } from '../../nodes/engine/dimse/peer';
import type { PacsOptions, PacsSettings } from '../../nodes/engine/dimse/peer';
import { verify } from '../../nodes/engine/dimse/verify';
import type { ToVerify, VerifyResult } from '../../nodes/engine/dimse/verify';
import { ExdicomError } from '../../nodes/engine/errors';
import type { ErrorCode } from '../../nodes/engine/errors';
import { programsMissing, startStorescp } from '../support/dcmtk';
import { part10 } from '../support/listening';
import { orthancMissing, startOrthanc } from '../support/orthanc';
import type { Orthanc } from '../support/orthanc';

const noOrthanc = orthancMissing();
const noStorescp = programsMissing('storescp');
const never = new AbortController().signal;

/** Three studies of two series and four instances each. */
const STUDIES = ['2.25.101', '2.25.102', '2.25.103'];
const ITEMS: readonly ToVerify[] = STUDIES.flatMap((study, s) => Array.from({ length: 4 }, (_, i): ToVerify => ({
  instance: 4 * s + i + 1, studyInstanceUID: study, seriesInstanceUID: `${study}.1`, sopInstanceUID: `${study}.1.${i + 1}`,
})));

let orthanc: Orthanc;
before(async () => {
  if (noOrthanc === false) orthanc = await startOrthanc();
});
after(async () => {
  if (noOrthanc === false) await orthanc.stop();
});

const peerOf = (site: Pick<Orthanc, 'dicomPort'>, more: Partial<PacsOptions> = {}): PacsSettings => pacsSettings({ host: '127.0.0.1', port: site.dicomPort, calledAET: 'ORTHANC', level: 'C-FIND', verifyWait: 0, ...more });
const put = async (site: Orthanc, items: readonly ToVerify[]): Promise<void> => {
  for (const { sopInstanceUID, studyInstanceUID } of items) await site.post('/instances', part10({ sopInstanceUID, studyInstanceUID }));
};
const verified = async (peer: PacsSettings, items: readonly ToVerify[] = ITEMS): Promise<VerifyResult> => verify(items, peer, { signal: never, progress: () => { /* not looked at */ }, onVerified: () => { /* nor this */ } });
const counted = ({ results }: VerifyResult): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { state, level, code } of results) {
    const key = `${state} ${level ?? code ?? ''}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
};
const failing = (code: ErrorCode, words: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof ExdicomError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? '', words);
  return true;
};

void test('Orthanc: an empty archive is UNVERIFIABLE, a complete one verifies every instance, one without some says which', { skip: noOrthanc }, async () => {
  const peer = peerOf(orthanc);
  const empty = await verified(peer);
  assert.deepEqual(counted(empty), { 'failed UNVERIFIABLE': 12 });
  await put(orthanc, ITEMS);
  const full = await verified(peer);
  assert.deepEqual(counted(full), { 'verified C-FIND': 12 });
  const gone = (await orthanc.instances()).filter(({ sopInstanceUID }) => ['2.25.102.1.2', '2.25.103.1.4'].includes(sopInstanceUID));
  for (const { id } of gone) await orthanc.delete(`/instances/${id}`);
  const partial = await verified(peer);
  assert.deepEqual(counted(partial), { 'verified C-FIND': 10, 'failed NOT_FOUND': 2 });
  assert.deepEqual(partial.results.filter(({ state }) => state === 'failed').map(({ instance }) => instance).sort((a, b) => a - b), [6, 12]);
});

void test('Orthanc: instances that arrive while we wait are verified', { skip: noOrthanc }, async () => {
  const items = [1, 2].map((n): ToVerify => ({ instance: n, studyInstanceUID: '2.25.104', seriesInstanceUID: '2.25.104.1', sopInstanceUID: `2.25.104.1.${n}` }));
  await put(orthanc, items.slice(0, 1));
  const waiting = verified(peerOf(orthanc, { verifyWait: 20_000 }), items);
  setTimeout(() => { void put(orthanc, items.slice(1)); }, 300);
  assert.deepEqual(counted(await waiting), { 'verified C-FIND': 2 });
});

void test('Orthanc: a series of 600 instances is verified by one query', { skip: noOrthanc }, async () => {
  const items = Array.from({ length: 600 }, (_, i): ToVerify => ({ instance: i + 1, studyInstanceUID: '2.25.105', seriesInstanceUID: '2.25.105.1', sopInstanceUID: `2.25.105.1.${i + 1}` }));
  for (let from = 0; from < items.length; from += 50) await Promise.all(items.slice(from, from + 50).map((item) => put(orthanc, [item])));
  assert.deepEqual(counted(await verified(peerOf(orthanc), items)), { 'verified C-FIND': 600 });
});

void test('Orthanc as the query peer of a storescp that keeps the instances', { skip: noOrthanc === false ? noStorescp : noOrthanc }, async () => {
  await using storescp = await startStorescp();
  const items = ITEMS.slice(0, 4);
  await put(orthanc, items);
  const peer = pacsSettings({ host: '127.0.0.1', port: storescp.port, calledAET: 'STORE', level: 'C-FIND', verifyWait: 0, queryPeer: { host: '127.0.0.1', port: orthanc.dicomPort, calledAET: 'ORTHANC' } });
  assert.deepEqual(counted(await verified(peer, items)), { 'verified C-FIND': 4 });
});

void test('Orthanc that lets nobody query: QUERY_FAILED', { skip: noOrthanc }, async () => {
  await using closed = await startOrthanc({ config: { DicomAlwaysAllowFind: false, DicomAlwaysAllowEcho: false } });
  await assert.rejects(verified(peerOf(closed)), failing('QUERY_FAILED', /aborts over the query/));
});

void test('storescp takes no C-FIND: QUERY_FAILED, never missing', { skip: noStorescp }, async () => {
  await using storescp = await startStorescp();
  const peer = pacsSettings({ host: '127.0.0.1', port: storescp.port, calledAET: 'STORE', level: 'C-FIND', verifyWait: 0 });
  await assert.rejects(verified(peer), failing('QUERY_FAILED', /does not take C-FIND/));
});

void test('C-ECHO to storescp and to Orthanc, tuned and as packaged', { skip: noOrthanc === false ? noStorescp : noOrthanc }, async () => {
  await using storescp = await startStorescp({ noDelay: false });
  for (const [port, calledAET] of [[storescp.port, 'STORE'], [orthanc.dicomPort, 'ORTHANC']] as const) {
    const { milliseconds } = await echo(pacsSettings({ host: '127.0.0.1', port, calledAET }), never);
    assert.ok(milliseconds > 0);
  }
});

void test('Orthanc that checks the called AE title says so', { skip: noOrthanc }, async () => {
  await using strict = await startOrthanc({ config: { DicomCheckCalledAet: true } });
  await assert.rejects(echo(peerOf(strict, { calledAET: 'OTHER' }), never), failing('ASSOCIATION_REJECTED', /called AE title/));
});

void test('storescp that refuses every association', { skip: noStorescp }, async () => {
  await using storescp = await startStorescp({ options: ['--refuse'] });
  await assert.rejects(echo(pacsSettings({ host: '127.0.0.1', port: storescp.port, calledAET: 'STORE' }), never), failing('ASSOCIATION_REJECTED', /./));
});
