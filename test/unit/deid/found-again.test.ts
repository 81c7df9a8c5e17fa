import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { extract } from '../../../nodes/engine/archive/extract';
import { DEFAULT_SETTINGS } from '../../../nodes/engine/archive/settings';
import { anonymize } from '../../../nodes/engine/deid/anonymize';
import { inCharacterSets } from '../../../nodes/engine/deid/character-sets';
import { identityParts, mapUid, pseudonym } from '../../../nodes/engine/deid/keyed';
import { compileProfile } from '../../../nodes/engine/deid/profile';
import type { JobToken } from '../../../nodes/engine/model';
import { closePool } from '../../../nodes/engine/workers/pool';
import { Bench, destination, until } from '../ledger/fixture';
import { ct, el, KEY, part10, settings } from './data-sets';

after(closePool);

const context = { signal: new AbortController().signal, progress: () => undefined };
const instance = (patientId: string | Buffer, uid: string, ...more: ReturnType<typeof ct>): Buffer => part10(ct(
  el(0x00080018, 'UI', `1.2.77.1.${uid}`), el(0x00100020, 'LO', patientId), el(0x0020000d, 'UI', `1.2.77.2.${uid}`), el(0x0020000e, 'UI', `1.2.77.3.${uid}`), ...more,
));

test('what was de-identified is found by the original PatientID and UIDs with the key, also what went to quarantine, when its job has closed', async () => {
  await using bench = await Bench.open();
  const profile = compileProfile(settings({ scope: 'site', allowedRisks: [] }));
  const one = async (...files: readonly Buffer[]): Promise<JobToken> => {
    const items = files.map((content, n) => ({ content, name: `${n}.dcm` }));
    const taken = await bench.ledger.take({ sourceKey: bench.source.sourceKey, kind: 'message', prefix: 'extract', items, issuer: 'CLINIC' }, context.signal);
    assert.ok(taken.kind === 'job');
    const { token } = taken;
    const { files: found } = await extract(bench.ledger, token, DEFAULT_SETTINGS, context);
    const { files: made } = await anonymize(bench.ledger, token, found, { profile, key: KEY }, context);
    await bench.deliver(token, destination('pacs'), made);
    await bench.ledger.finish(token, 'finish');
    await until(async () => (await bench.ledger.job(token.id)).state === 'closed');
    return token;
  };
  const good = await one(instance('A-1', '5'), instance('A-1', '6'));
  const accented = await one(instance(Buffer.from('Ä-1', 'latin1'), '8', el(0x00080005, 'CS', 'ISO_IR 100')));
  const chinese = await one(instance(Buffer.from('王-1'), '9', el(0x00080005, 'CS', 'ISO_IR 192')));
  const aside = await one(instance('B-2', '7', el(0x00280301, 'CS', 'YES')));
  const outcomes = (await bench.ledger.jobs()).map(({ outcome }) => outcome);
  assert.deepEqual(outcomes, ['complete', 'complete', 'complete', 'with-exceptions']);

  const byPatient = async (issuer: string, patientId: string, key = KEY): Promise<string[]> =>
    (await bench.ledger.find({ keyed: [pseudonym(key, 'site', 'patient', identityParts({ issuer, patientId, studyInstanceUID: '' })!)] })).map(({ id }) => id);
  const byUid = async (uid: string): Promise<string[]> => (await bench.ledger.find({ keyed: [mapUid(KEY, 'site', uid)] })).map(({ id }) => id);
  assert.deepEqual(await byPatient('CLINIC', ' A-1 '), [good.id]);
  assert.deepEqual(await byPatient('CLINIC', 'B-2'), [aside.id]);
  for (const [id, job] of [['Ä-1', accented], ['王-1', chinese], ['B-2', aside]] as const) {
    const found = await Promise.all([...new Set(inCharacterSets(id).values())].map((bytes) => byPatient('CLINIC', bytes)));
    assert.deepEqual(found.flat(), [job.id], 'whatever character set its file is in');
  }
  assert.deepEqual(await byPatient('', 'A-1'), [], 'of another issuer it is another patient');
  assert.deepEqual(await byPatient('CLINIC', 'A-1', Buffer.from('another key of forty characters or so...')), []);
  for (const [level, name] of [['1', 'instance'], ['2', 'study'], ['3', 'series']] as const) {
    assert.deepEqual(await byUid(`1.2.77.${level}.6`), [good.id], name);
    assert.deepEqual(await byUid(`1.2.77.${level}.7`), [aside.id], `${name} in quarantine`);
  }
});
