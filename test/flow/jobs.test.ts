import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { inflateRawSync } from 'node:zlib';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import type { JobCounts, JobList, JobReport, JobSummary, QuarantinedSummary } from '../../nodes/jobs/answers';
import { programsMissing, startStorescp } from '../support/dcmtk';
import type { Storescp } from '../support/dcmtk';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';
import { freePort } from '../support/orthanc';

const KEY = 'a key for tests, of more than 32 characters';
const ENCRYPTED = join('..', 'shared', 'data', 'archives', 'made', 'enc_aes256.zip');
const PASSWORD = 'open1234'; // as ARCHIVES.tsv says

const at = { z: 'f', x: 0, y: 0 };

/** The main flow to a PACS; web pages that ask by GET and act by POST. */
function flow(port: number): FlowNode[] {
  const page = (id: string, method: string, url: string, properties: object): FlowNode[] => [
    { id: `in-${id}`, type: 'http in', name: '', url, method, upload: false, swaggerDoc: '', ...at, wires: [[id]] },
    { id, type: 'exdicom-jobs', name: '', ledger: 'ledger', profile: 'profile', answer: 'payload', ...properties, ...at, wires: [['response', 'd-jobs']] },
  ];
  return [
    ...mainFlow({ change: { ledger: { retryDelay: '3600', retryCap: '3600' } } }).filter(({ id }) => id !== 'out'),
    { id: 'pacs', type: 'exdicom-pacs', name: 'PACS', host: '127.0.0.1', port: String(port), aet: 'TEST-PACS', callingAet: 'TEST', verification: 'response', findWait: '0' },
    { id: 'out', type: 'exdicom-c-store-out', name: '', ledger: '', pacs: 'pacs', ...at, wires: [['finish', 'd-out']] },
    ...page('list', 'get', '/jobs', { action: 'list' }),
    ...page('job', 'get', '/jobs/:job', { action: 'job' }),
    ...page('receipt', 'get', '/receipts/:job', { action: 'receipt' }),
    ...page('counts', 'get', '/counts', { action: 'counts' }),
    ...page('act', 'post', '/act', { action: 'message', who: '' }),
    ...page('act-by-get', 'get', '/act', { action: 'message' }),
    { id: 'response', type: 'http response', name: '', statusCode: '', headers: {}, ...at, wires: [] },
    { id: 'd-jobs', type: 'debug', active: false, ...at, wires: [] },
  ];
}

class Site {
  constructor(readonly red: NodeRed) {}

  async get<T>(path: string, status = 200): Promise<T> {
    return this.#answer(await fetch(`http://127.0.0.1:${this.red.started?.port}/node${path}`), status);
  }

  async post<T>(body: object, status = 200, headers: Record<string, string> = {}): Promise<T> {
    return this.#answer(await fetch(`http://127.0.0.1:${this.red.started?.port}/node/act`, {
      method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body),
    }), status);
  }

  /** The only job there is of a state or outcome, once there is one. */
  async one(query: string): Promise<JobSummary> {
    for (;;) {
      const { jobs: [job] } = await this.get<JobList>(`/jobs?${query}`);
      if (job !== undefined) return job;
      await pause(100);
      assert.equal(this.red.exited, undefined);
    }
  }

  async #answer<T>(response: Response, status: number): Promise<T> {
    const text = await response.text();
    assert.equal(response.status, status, text);
    return JSON.parse(text) as T; // as the caller knows of its page
  }
}

const requests = (scp: Storescp): number => scp.log().match(/Received Store Request/g)?.length ?? 0;
/** The receipts, once there are so many. */
async function finished(red: NodeRed, count: number): Promise<readonly Receipt[]> {
  await red.until(() => red.at('d-finish').length >= count);
  return red.at('d-finish').map(({ payload }) => payload as Receipt); // what finish sends
}

const codeOf = ({ error }: { readonly error?: { readonly code: string } }): string | undefined => error?.code;

/** UIDs of the first file of a zip archive. */
function originals(archive: Buffer): { readonly study: string; readonly series: string; readonly instance: string } {
  const start = 30 + archive.readUInt16LE(26) + archive.readUInt16LE(28);
  const file = inflateRawSync(archive.subarray(start, start + archive.readUInt32LE(18)));
  const uid = (element: string): string => {
    const from = file.indexOf(Buffer.from(element, 'latin1'));
    return file.toString('latin1', from + 8, from + 8 + file.readUInt16LE(from + 6)).replaceAll('\0', '');
  };
  return { study: uid('\x20\0\x0d\0UI'), series: uid('\x20\0\x0e\0UI'), instance: uid('\x08\0\x18\0UI') };
}

describe('the jobs of a flow, on web pages made with http in and jobs', { skip: programsMissing('storescp') }, () => {
  it('are listed, shown, counted and found by what the original files said, and sent again', async () => {
    await using scp = await startStorescp();
    await using red = await NodeRed.start({ flows: flow(scp.port), env: { EXDICOM_DEID_KEY: KEY } });
    const site = new Site(red);
    assert.deepEqual(await site.get('/jobs'), { jobs: [], offset: 0, more: false });
    const archive = await sampleStudy(red.userDir);
    await drop(red.userDir, 'study.zip', archive);
    const job = await site.one('state=closed');

    assert.deepEqual([job.name, job.kind, job.outcome, job.source], ['folder-in 0001', 'archive', 'complete', `folder:${join(red.userDir, 'data', 'inbox')}`]);
    assert.deepEqual((await site.get<JobList>('/jobs?state=parked,open&limit=5')).jobs, []);
    const report = await site.get<JobReport>(`/jobs/${job.id}`);
    assert.deepEqual(report.destinations.map(({ label, verified }) => [label, verified]), [['PACS', 24]]);
    assert.ok(report.events.length > 2 && report.events.every(({ at: when }) => !Number.isNaN(Date.parse(when))));
    assert.equal((await site.get<Receipt>(`/receipts/${job.id}`)).job.outcome, 'complete');
    const counted = await site.get<JobCounts>('/counts');
    assert.deepEqual([counted.states.closed, counted.outcomes.complete, counted.destinations[0]?.deliveries.verified, counted.holds], [1, 1, 24, []]);

    const { study, series, instance } = originals(archive);
    for (const uid of [study, series, instance]) {
      assert.match(uid, /^2\.25\.\d+/);
      assert.deepEqual((await site.post<JobList>({ action: 'find', uid })).jobs.map(({ id }) => id), [job.id], uid);
    }
    assert.deepEqual((await site.post<JobList>({ action: 'find', patientId: 'SAMPLE-PATIENT-1' })).jobs.map(({ id }) => id), [job.id]);
    assert.deepEqual((await site.post<JobList>({ action: 'find', patientId: 'SAMPLE-PATIENT-1', issuer: 'ELSEWHERE' })).jobs.map(({ id }) => id), [job.id]);
    assert.deepEqual((await site.post<JobList>({ action: 'find', patientId: 'ANOTHER-PATIENT' })).jobs, []);
    assert.deepEqual((await site.post<JobList>({ action: 'find', uid: '1.2.3' })).jobs, []);

    assert.equal(codeOf(await site.get('/jobs/nobody', 404)), 'JOB_UNKNOWN');
    assert.equal(codeOf(await site.post({ action: 'cancel', job: job.id }, 409)), 'JOB_STATE');
    assert.equal(codeOf(await site.post({ action: 'tidy up' }, 400)), 'REQUEST_INVALID');
    assert.equal(codeOf(await site.get(`/act?action=send-again&job=${job.id}`, 403)), 'REQUEST_REFUSED');
    assert.equal(codeOf(await site.post({ action: 'send-again', job: job.id }, 403, { origin: 'https://evil.example' })), 'REQUEST_REFUSED');
    assert.equal(requests(scp), 24);

    const { job: again } = await site.post<{ job: JobSummary }>({ action: 'send-again', job: job.id, who: 'Ann' });
    assert.deepEqual([again.againOf, again.name], [job.id, 'folder-in 0002']);
    await finished(red, 2);
    assert.equal(requests(scp), 48);
    assert.equal(scp.files().length, 24);
    const told = await site.get<JobReport>(`/jobs/${job.id}`);
    assert.deepEqual([told.sentAgainAs, told.events.filter(({ who }) => who === 'Ann').length > 0], [[again.id], true]);
    assert.deepEqual((await filesBelow(join(red.userDir, 'data', 'done'))).map((name) => name.split('/').at(-1)), ['study.zip']);

    assert.deepEqual(red.at('d-catch'), []);
    assert.doesNotMatch(JSON.stringify([red.logs, red.statuses, red.at('d-finish'), told]), /SAMPLE|ANOTHER/);
    const ledger = await readFile(join(red.userDir, 'data', 'ledger.sqlite'), 'latin1');
    assert.doesNotMatch(ledger, /SAMPLE-PATIENT-1|ANOTHER-PATIENT/);
  });

  it('that need a password get it, and the password is nowhere', { skip: existsSync(ENCRYPTED) ? false : 'no shared data' }, async () => {
    await using scp = await startStorescp();
    await using red = await NodeRed.start({ flows: flow(scp.port), env: { EXDICOM_DEID_KEY: KEY }, deep: true });
    const site = new Site(red);
    const inbox = join(red.userDir, 'data', 'inbox');
    await mkdir(inbox, { recursive: true });
    await copyFile(ENCRYPTED, join(red.userDir, 'study.zip'));
    await rename(join(red.userDir, 'study.zip'), join(inbox, 'study.zip'));
    const job = await site.one('state=needs-password');
    assert.equal(job.error?.code, 'NEEDS_PASSWORD');
    await red.until(() => red.status('extract') === 'needs password');

    await site.post({ action: 'password', job: job.id, password: 'not this one' });
    await red.until(() => red.at('d-catch').length >= 2);
    await site.one('state=needs-password');
    assert.equal(requests(scp), 0);

    const { job: given } = await site.post<{ job: JobSummary }>({ action: 'password', job: job.id, password: PASSWORD });
    assert.equal(given.id, job.id);
    const [closed] = await finished(red, 1);
    assert.deepEqual([closed?.entries.instance, closed?.balanced], [9, true]);
    assert.equal(requests(scp), closed?.destinations[0]?.verified);

    const { files } = await site.post<{ files: readonly QuarantinedSummary[] }>({ action: 'quarantine', job: job.id });
    assert.deepEqual(files.map(({ instance, code }) => ({ instance, code })), closed?.quarantined);
    assert.deepEqual(await site.post({ action: 'discard', job: job.id, instances: `${files[0]?.instance}, ${files[1]?.instance}` }), { discarded: 2 });
    assert.equal((await site.get<JobCounts>('/counts')).quarantined, files.length - 2);
    assert.equal(codeOf(await site.post({ action: 'discard', job: job.id, instances: [files[0]?.instance] }, 404)), 'NOT_IN_QUARANTINE');

    const behind = red.heard.filter(({ from }) => from !== 'http in');
    assert.ok(behind.some(({ from }) => from === 'exdicom-jobs'));
    for (const { from, text } of behind) assert.doesNotMatch(text, /open1234|not this one/, from);
    assert.doesNotMatch(JSON.stringify([red.logs, red.statuses]), /open1234/);
    for (const name of await filesBelow(join(red.userDir, 'data'))) {
      if (!name.endsWith('.zip')) assert.doesNotMatch(await readFile(join(red.userDir, 'data', name), 'latin1'), /open1234/, name);
    }
  });

  it('that wait for a PACS are cancelled, and the original is back where it was', async () => {
    const port = await freePort();
    await using red = await NodeRed.start({ flows: flow(port), env: { EXDICOM_DEID_KEY: KEY } });
    const site = new Site(red);
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    const job = await site.one('state=parked&code=PEER_UNREACHABLE&destination=PACS');
    assert.ok(Date.parse(job.next ?? '') > Date.now());
    await site.post({ action: 'cancel', job: job.id, who: 'Ann' });
    const cancelled = await site.one('outcome=cancelled');
    assert.equal(cancelled.id, job.id);
    const data = join(red.userDir, 'data');
    while ((await site.get<JobReport>(`/jobs/${job.id}`)).job.state !== 'closed') await pause(100);
    assert.deepEqual(await filesBelow(join(data, 'inbox')), ['study.zip']);
    assert.deepEqual(await filesBelow(join(data, 'work')), []);
    assert.equal(codeOf(await site.post({ action: 'retry-now', job: job.id }, 409)), 'JOB_STATE');
    assert.equal((await site.get<JobList>('/jobs')).jobs.length, 1, 'what a person put back is not taken again');
  });

  it('wait while a source or a destination is paused, and go on when it is resumed', async () => {
    await using scp = await startStorescp();
    await using red = await NodeRed.start({ flows: flow(scp.port), env: { EXDICOM_DEID_KEY: KEY } });
    const site = new Site(red);
    assert.equal(codeOf(await site.post({ action: 'pause', destination: 'PACS' }, 400)), 'REQUEST_INVALID', 'the ledger has not heard of it');
    await site.post({ action: 'pause', destination: `dicom:TEST-PACS@127.0.0.1:${scp.port}`, who: 'Ann' });
    await drop(red.userDir, 'first.zip', await sampleStudy(red.userDir));
    const job = await site.one('state=parked&code=DESTINATION_HELD');
    const source = job.source;
    const { holds } = await site.post<JobCounts>({ action: 'pause', source, who: 'Ann' });
    assert.deepEqual(holds.map(({ mode, who }) => [mode, who]), [['pause', 'Ann'], ['pause', 'Ann']]);
    await drop(red.userDir, 'second.zip', await sampleStudy(red.userDir));
    await pause(1500);
    assert.equal((await site.get<JobList>('/jobs')).jobs.length, 1);
    assert.equal(requests(scp), 0);

    await site.post({ action: 'resume', source });
    await site.post({ action: 'resume', destination: 'PACS' });
    await finished(red, 2);
    assert.equal(requests(scp), 48);
    assert.deepEqual((await site.get<JobCounts>('/counts')).holds, []);
  });
});
