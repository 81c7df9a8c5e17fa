import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { Circuits } from '../../nodes/engine/dimse/circuit';
import { deliver } from '../../nodes/engine/dimse/deliver';
import { openDataSet } from '../../nodes/engine/dimse/part10-file';
import { deliveryLedger } from '../support/delivery-ledger';
import { orthancMissing, startOrthanc } from '../support/orthanc';
import type { Orthanc } from '../support/orthanc';
import { startFaultProxy } from '../support/fault-proxy';
import { JPEG, MR, alike, makeStudy, pacs, send } from '../support/store-study';
import type { Study } from '../support/store-study';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Digests of the data sets that Orthanc holds, by SOP Instance UID. */
async function held(orthanc: Orthanc, study: Study): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  for (const { id, sopInstanceUID } of await orthanc.instances()) {
    const bytes = await orthanc.bytes(`/instances/${id}/file`);
    const path = join(study.scratch(), 'held');
    writeFileSync(path, bytes);
    using file = openDataSet({ path, bytes: bytes.length });
    digests.set(sopInstanceUID, sha256(bytes.subarray(file.offset)));
  }
  return digests;
}

const expected = (study: Study): Map<string, string> => new Map(study.files.map(({ sopInstanceUID, instance }) => [sopInstanceUID, sha256(study.dataSet(instance))]));
const byKey = (map: ReadonlyMap<string, string>): Array<[string, string]> => [...map].sort(([a], [b]) => a.localeCompare(b));

describe('C-STORE to Orthanc', { skip: orthancMissing() }, () => {
  let running: Promise<Orthanc> | undefined;
  const orthanc = (): Promise<Orthanc> => running ??= startOrthanc({ noDelay: false });
  const emptied = async (): Promise<Orthanc> => {
    const server = await orthanc();
    for (const { id } of await server.instances()) await server.delete(`/instances/${id}`);
    return server;
  };
  after(async () => { await (await running)?.stop(); });

  for (const associations of [1, 4]) {
    it(`holds every instance, byte for byte, over ${associations}`, async () => {
      const server = await emptied();
      using study = makeStudy([...alike(40), { pixels: 3_000_000 }, { sopClassUID: MR }, { transferSyntaxUID: JPEG, pixels: 20_000 }].slice(0, 42));
      const { sent, summary } = await send(study, pacs(server.dicomPort, { calledAET: server.aet, associations }));
      assert.equal(sent.length, study.files.length);
      assert.equal(summary.associations, associations);
      assert.deepEqual(byKey(await held(server, study)), byKey(expected(study)));
    });
  }

  it('breaks at any byte, is sent again from what was confirmed, and ends with every instance once', async () => {
    const server = await emptied();
    using study = makeStudy(alike(12, { pixels: 30_000 }));
    const ledger = deliveryLedger(study.scratch());
    const circuits = new Circuits(3_600_000);
    const run = (port: number): Promise<unknown> => deliver(ledger, ledger.token, study.files, pacs(port, { calledAET: server.aet, timeouts: { response: 1_000 } }), {
      signal: new AbortController().signal, circuits, progress: () => { /* nobody looks */ },
    });
    for (const [kind, direction, at] of [['rst', 'up', 70_000], ['fin', 'down', 500], ['stall', 'up', 90_000], ['fin', 'up', 100_001]] as const) {
      await using proxy = await startFaultProxy(server.dicomPort, { kind, direction, after: at });
      await assert.rejects(run(proxy.port), { name: 'ExdicomError', retryable: true });
      const there = new Set((await server.instances()).map(({ sopInstanceUID }) => sopInstanceUID));
      for (const { instance, sopInstanceUID } of study.files) if (ledger.standing(instance).state === 'verified') assert.ok(there.has(sopInstanceUID));
    }
    await run(server.dicomPort);
    assert.deepEqual(byKey(await held(server, study)), byKey(expected(study)));
    assert.equal((await server.counts()).instances, 12);
  });

  it('level C-FIND finds there what was sent', async () => {
    const server = await emptied();
    using study = makeStudy(alike(5));
    const ledger = deliveryLedger(study.scratch());
    const delivered = await deliver(ledger, ledger.token, study.files, pacs(server.dicomPort, { calledAET: server.aet, level: 'C-FIND', verifyWait: 10_000 }), {
      signal: new AbortController().signal, circuits: new Circuits(), progress: () => { /* nobody looks */ },
    });
    assert.equal(delivered.verified, 5);
    assert.equal(delivered.level, 'C-FIND');
  });
});
