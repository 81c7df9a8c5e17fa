import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, it } from 'node:test';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import type { JobToken } from '../../nodes/engine/model';
import { programsMissing, startStorescp } from '../support/dcmtk';
import type { Storescp } from '../support/dcmtk';
import { startFaultScp } from '../support/fault-scp';
import { jobStates, receiptsIn } from '../support/ledger-file';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';
import { freePort } from '../support/orthanc';

const KEY = 'a key for tests, of more than 32 characters';
const at = { z: 'f', x: 0, y: 0 };
const debug = (id: string): FlowNode => ({ id, type: 'debug', active: false, ...at, wires: [] });

interface Wanted {
  readonly port: number;
  /** Properties of a retry node behind the catch node; without them there is none. */
  readonly retry?: Readonly<Record<string, string>>;
  readonly pacs?: Readonly<Record<string, string>>;
}

/** The main flow to a PACS, whose jobs would wait an hour by the ledger's own policy. */
function flow({ port, retry, pacs = {} }: Wanted): FlowNode[] {
  const main = mainFlow({ change: { ledger: { retryDelay: '3600', retryCap: '3600' }, catch: { wires: [retry === undefined ? ['d-catch'] : ['d-catch', 'retry']] } } });
  return [
    ...main.filter(({ id }) => id !== 'out'),
    {
      id: 'pacs', type: 'exdicom-pacs', name: 'PACS', host: '127.0.0.1', port: String(port), aet: 'TEST-PACS', callingAet: 'TEST', verification: 'response', findWait: '0',
      probeInterval: '1', ...pacs,
    },
    { id: 'out', type: 'exdicom-c-store-out', name: '', ledger: '', pacs: 'pacs', ...at, wires: [['finish', 'd-out']] },
    ...(retry === undefined ? [] : [
      { id: 'retry', type: 'exdicom-retry', name: '', ...retry, ...at, wires: [['d-parked'], ['d-gave-up']] }, debug('d-parked'), debug('d-gave-up'),
    ]),
    { id: 'ask', type: 'exdicom-jobs', name: '', ledger: 'ledger', action: 'message', ...at, wires: [['d-ask']] }, debug('d-ask'),
  ];
}

const named = (scp: Storescp): string[] => scp.files().map((path) => basename(path));
const receipts = (red: NodeRed): Receipt[] => red.at('d-finish').map(({ payload }) => payload as Receipt);
const retryOf = (message: Record<string, unknown> | undefined): Record<string, unknown> => message?.['retry'] as Record<string, unknown>;

/** What a `jobs` node says of a job. */
async function asked(red: NodeRed, job: string): Promise<Record<string, unknown>> {
  const before = red.at('d-ask').length;
  red.receive('ask', { payload: { action: 'job', job } });
  await red.until(() => red.at('d-ask').length > before);
  return red.at('d-ask').at(-1)?.['payload'] as Record<string, unknown>;
}

async function dropStudies(red: NodeRed, names: readonly string[]): Promise<void> {
  for (const name of names) await drop(red.userDir, `${name}.zip`, await sampleStudy(red.userDir));
}

describe('a PACS that restarts', { skip: programsMissing('storescp') }, () => {
  it('costs nothing without a retry node: what came meanwhile waits, and goes on in its order as soon as it answers', async () => {
    const before = await startStorescp();
    const { port } = before;
    await using red = await NodeRed.start({ flows: flow({ port }), env: { EXDICOM_DEID_KEY: KEY } });
    await dropStudies(red, ['one']);
    await red.until(() => receipts(red).length === 1);
    const first = named(before);
    await before.stop();

    await dropStudies(red, ['two', 'three', 'four']);
    await red.until(() => red.at('d-catch').length === 3);
    // How many wait shows at the node, and who is asked for them.
    await red.until(() => /^waiting \d\d:\d\d \(3\)$/.test(red.status('out') ?? '') && /^waiting \d\d:\d\d \(3\)$/.test(red.status('pacs') ?? ''));

    await using after = await startStorescp({ port });
    await red.until(() => receipts(red).length === 4);
    assert.deepEqual(receipts(red).map(({ job, destinations }) => [job.outcome, destinations[0]?.verified]), Array.from({ length: 4 }, () => ['complete', 24]));
    assert.deepEqual(receipts(red).slice(1).map(({ job }) => job.attempts), [2, 2, 2]);
    const second = named(after);
    assert.deepEqual([first.length, second.length, new Set([...first, ...second]).size], [24, 72, 96]);
    await red.until(() => red.status('pacs') === 'idle');
    // One line when it went, one for each probe in vain, one when it was back.
    const lines = red.logs.map(({ text }) => text).filter((text) => /PEER_UNREACHABLE|answers again/.test(text));
    assert.match(lines[0] ?? '', /^PEER_UNREACHABLE: No connection to the destination\./);
    assert.match(lines.at(-1) ?? '', /^it answers again, 2 more jobs go on \(dicom:[A-Z-]+@127\.0\.0\.1:\d+\)$/);
    for (const line of lines.slice(1, -1)) assert.match(line, /^PEER_UNREACHABLE: no answer yet, (?:1 job waits|[2-9] jobs wait) \(dicom:[A-Z-]+@127\.0\.0\.1:\d+\)$/);
  });

  it('is waited for by the policy of a retry node, which shows in the jobs node and survives a power cut', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'exdicom-retry-'));
    try {
      const port = await freePort();
      const policy = { delay: '1800', factor: '3', cap: '7200', jitter: '0', attempts: '7', maximumAge: '10', activeFrom: '00:00', activeTo: '00:00' };
      // Nobody is asked for an hour, so that the policy is all that counts.
      const flows = flow({ port, retry: policy, pacs: { probeInterval: '3600' } });
      const red = await NodeRed.start({ flows, userDir: folder, env: { EXDICOM_DEID_KEY: KEY } });
      let job: JobToken;
      try {
        await dropStudies(red, ['one']);
        await red.until(() => red.at('d-parked').length === 1);
        const parked = red.at('d-parked')[0];
        const { until, ...told } = retryOf(parked);
        assert.deepEqual(told, { attempt: 1, attempts: 7, code: 'PEER_UNREACHABLE' });
        // Half an hour from then, and not the hour of the ledger.
        const wait = (until as number) - Date.now();
        assert.ok(wait > 1_700_000 && wait <= 1_800_000, String(wait));
        job = parked?.['job'] as JobToken;
        await red.until(() => /^waiting \d\d:\d\d$/.test(red.status('retry') ?? ''));
        assert.deepEqual(red.at('d-gave-up'), []);
      } finally {
        await red.kill();
      }
      await using scp = await startStorescp({ port });
      await using again = await NodeRed.start({ flows, userDir: folder, env: { EXDICOM_DEID_KEY: KEY } });
      await again.until(() => receipts(again).length === 1);
      assert.equal(receipts(again)[0]?.job.outcome, 'complete');
      assert.equal(scp.files().length, 24);
      const report = await asked(again, job.id);
      assert.deepEqual(report['policy'], { delay: 1_800_000, factor: 3, cap: 7_200_000, jitter: 0, maximumAge: 36_000_000, attempts: 7, hours: { from: 0, to: 0, days: [] } });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('a destination that a person holds', () => {
  for (const mode of ['pause', 'drain'] as const) {
    it(`keeps jobs waiting while it is held by ${mode}, over a power cut as well, and they go on when it is let go`, async () => {
      const folder = await mkdtemp(join(tmpdir(), 'exdicom-hold-'));
      try {
        await using scp = await startFaultScp();
        const toBoth: FlowNode[] = flow({ port: scp.port }).map((node) => (node.id === 'anonymize' ? { ...node, wires: [['out', 'keep'], []] } : node));
        const both = [...toBoth, { id: 'keep', type: 'exdicom-folder-out', name: 'kept', ledger: '', folder: 'kept', layout: 'uid', identifiedAllowed: false, ...at, wires: [['finish']] }];
        const hold = async (red: NodeRed, action: string, destination: string): Promise<void> => {
          const before = red.at('d-ask').length;
          red.receive('ask', { payload: { action, destination } });
          await red.until(() => red.at('d-ask').length > before);
          const { error } = red.at('d-ask').at(-1)?.['payload'] as { error?: unknown } ?? {};
          assert.equal(error, undefined);
        };
        const red = await NodeRed.start({ flows: both, userDir: folder });
        try {
          await dropStudies(red, ['one']);
          await red.until(() => receipts(red).length === 1);
          await hold(red, mode, 'PACS');
          await hold(red, mode, 'kept');
          await dropStudies(red, ['two']);
          await red.until(() => red.status('out') === 'paused' && red.status('keep') === 'paused');
          await red.until(() => jobStates(join(folder, 'data'))['parked'] === 1);
          assert.deepEqual([...new Set(red.at('d-catch').map(({ error }) => (error as { code?: string }).code))], ['DESTINATION_HELD']);
        } finally {
          await red.kill();
        }
        await using again = await NodeRed.start({ flows: both, userDir: folder });
        await hold(again, 'resume', 'kept');
        await again.until(() => again.status('keep') === 'done 24' && again.status('out') === 'paused');
        assert.deepEqual([receipts(again).length, scp.messages.length], [0, 24]);
        await hold(again, 'resume', 'PACS');
        await again.until(() => receipts(again).length === 1);
        assert.deepEqual(receipts(again)[0]?.destinations.map(({ verified }) => verified), [24, 24]);
        assert.equal(scp.messages.length, 48);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  }
});

describe('a retry node', () => {
  it('gives up after as many retries as it is told, and the job ends as failed with its original kept', async () => {
    const port = await freePort();
    const retry = { delay: '0.2', factor: '1', cap: '0.2', jitter: '0', attempts: '3', maximumAge: '72' };
    await using red = await NodeRed.start({ flows: flow({ port, retry, pacs: { probeInterval: '3600' } }) });
    await dropStudies(red, ['one']);
    await red.until(() => red.at('d-gave-up').length === 1);
    const [gaveUp] = red.at('d-gave-up');
    assert.deepEqual(retryOf(gaveUp), { reason: 'gave-up', attempt: 3, attempts: 3, code: 'PEER_UNREACHABLE' });
    const { error, job } = gaveUp as { error?: { code?: string }; job?: JobToken };
    assert.deepEqual([error?.code, job?.name], ['PEER_UNREACHABLE', 'folder-in 0001']);
    const data = join(red.userDir, 'data');
    await red.until(() => jobStates(data)['closed'] === 1);
    const receipt = receiptsIn(data).get('folder-in 0001');
    assert.deepEqual([receipt?.job.outcome, receipt?.error?.code], ['failed', 'GAVE_UP']);
    assert.deepEqual((await filesBelow(join(data, 'failed'))).map((path) => basename(path)).filter((name) => name.endsWith('.zip')), ['one.zip']);
    // Of the retries in between the PACS and the flow saw nothing: it was known to be away.
    assert.equal(receipt?.job.attempts, 2);
  });

  it('hands on what it has no business with, and says why; an error of its own goes there too and never to Catch', async () => {
    await using scp = await startFaultScp();
    await using red = await NodeRed.start({ flows: flow({ port: scp.port, retry: { delay: '60' } }) });
    await dropStudies(red, ['one']);
    await red.until(() => receipts(red).length === 1);
    const token = red.at('d-finish')[0]?.['job'] as JobToken;
    const reasonFor = async (message: object): Promise<unknown> => {
      const before = red.at('d-gave-up').length;
      red.receive('retry', message);
      await red.until(() => red.at('d-gave-up').length > before);
      return retryOf(red.at('d-gave-up').at(-1));
    };
    assert.deepEqual(await reasonFor({ payload: 1 }), { reason: 'no-job' });
    assert.deepEqual(await reasonFor({ job: token, error: { code: 'NO_DICOM' } }), { reason: 'not-retryable', code: 'NO_DICOM' });
    assert.deepEqual(await reasonFor({ job: token, error: { message: 'of a function node' } }), { reason: 'not-retryable' });
    assert.deepEqual(await reasonFor({ job: token, error: { code: 'toString' } }), { reason: 'not-retryable' });
    assert.deepEqual(await reasonFor({ job: token, error: { code: 'PEER_TIMEOUT' } }), { reason: 'job-failed', attempt: 0, attempts: 0, code: 'PEER_TIMEOUT' });
    await sleep(1100); // a status is shown once a second
    assert.equal(red.status('retry'), 'idle');
    assert.deepEqual(await reasonFor({ job: { ...token, id: 'nobody' }, error: { code: 'PEER_TIMEOUT' } }), { reason: 'unknown-job', attempts: 0, code: 'PEER_TIMEOUT' });
    const own = await reasonFor({ job: 'no token', error: { code: 'PEER_TIMEOUT' } }) as Record<string, unknown>;
    assert.deepEqual([own['reason'], own['code']], ['failed', 'JOB_UNKNOWN']);
    assert.deepEqual(red.at('d-catch'), []);
    await red.deploy(flow({ port: scp.port, retry: { delay: 'soon' } }), 'nodes');
    const wrong = await reasonFor({ job: token, error: { code: 'PEER_TIMEOUT' } }) as Record<string, unknown>;
    assert.deepEqual([wrong['reason'], wrong['code']], ['failed', 'CONFIG_INVALID']);
    assert.deepEqual(red.at('d-catch'), []);
  });

  it('parks no job outside of its hours, not even when the PACS answers', async () => {
    const port = await freePort();
    // Hours that have just ended.
    const clock = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toTimeString().slice(0, 5);
    const retry = { delay: '0.2', factor: '1', cap: '0.2', jitter: '0', attempts: '0', maximumAge: '72', activeFrom: clock(-120), activeTo: clock(-60) };
    await using red = await NodeRed.start({ flows: flow({ port, retry }) });
    await dropStudies(red, ['one']);
    await red.until(() => red.at('d-parked').length === 1);
    const wait = (retryOf(red.at('d-parked')[0])['until'] as number) - Date.now();
    assert.ok(wait > 20 * 3_600_000 && wait < 24 * 3_600_000, String(wait));
    await red.until(() => red.status('pacs')?.startsWith('waiting') === true);
    await red.deploy(flow({ port, retry: { ...retry, activeFrom: '', activeTo: '' } }), 'nodes');
    assert.equal(jobStates(join(red.userDir, 'data'))['parked'], 1);
  });
});
