import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import jobs = require('../../../nodes/jobs/jobs');
import { compileProfile } from '../../../nodes/engine/deid/profile';
import { mapUid, pseudonym } from '../../../nodes/engine/deid/keyed';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { Job, JobDetails, Ledger, LedgerCounts, Marks } from '../../../nodes/engine/ledger/ledger-types';
import type { JobId, SourceKey } from '../../../nodes/engine/model';
import { defaults } from '../../../nodes/jobs/properties';
import type { JobsProperties } from '../../../nodes/jobs/properties';
import { FakeNode, fakeRed, until } from '../../support/fake-node';

const KEY = 'a key for tests, longer than 32 characters';
const AT = Date.UTC(2026, 10, 1, 12);
const job: Job = {
  id: 'j1' as JobId, name: 'folder-in 0001', sourceKey: 'folder:/inbox' as SourceKey, kind: 'archive', state: 'parked', attempt: 2, createdAt: AT, updatedAt: AT, nextAt: AT, bytes: 7,
  topic: 'ward of Mr Miller', issuer: 'St Anywhere', error: { code: 'PEER_UNREACHABLE', stage: 'deliver', message: 'No connection.' },
};
const SUMMARY = {
  id: 'j1', name: 'folder-in 0001', source: 'folder:/inbox', kind: 'archive', state: 'parked', attempt: 2, bytes: 7, created: '2026-11-01T12:00:00.000Z', updated: '2026-11-01T12:00:00.000Z',
  next: '2026-11-01T12:00:00.000Z', error: job.error,
};

type Call = readonly [method: string, ...values: unknown[]];
type Sent = Record<string, unknown> & { readonly payload: unknown; readonly statusCode?: number };

const nothing: Disposable = { [Symbol.dispose]: () => undefined };
const open: FakeNode[] = [];
afterEach(() => Promise.all(open.splice(0).map((node) => node.close())));

interface Bench {
  readonly node: FakeNode;
  readonly calls: Call[];
  /** The answer to a message. */
  ask(message?: object): Promise<Sent>;
}

/** A `jobs` node on a ledger that notes what it is called for and answers with `answers`. */
function bench(saved: Partial<JobsProperties>, answers: Readonly<Record<string, unknown>> = {}, { failure, key = true }: { failure?: ExdicomError; key?: boolean } = {}): Bench {
  const calls: Call[] = [];
  const ledger = new Proxy({}, {
    // Promises ask for the first.
    get: (_, method: string) => (method === 'then' ? undefined : method === 'folders' ? { root: '/ledger' } : (...values: unknown[]) => {
      calls.push([method, ...values]);
      const answer = answers[method];
      if (answer instanceof Error) return Promise.reject(answer);
      return Promise.resolve(answer ?? ({ job, jobs: [], find: [], holds: [], quarantine: [], knowsKey: true } as Record<string, unknown>)[method]);
    }),
  }) as Ledger; // answers to every method
  const ledgerNode = Object.assign(new FakeNode('exdicom-ledger', 'ledger'), {
    users: {}, ledger, failure, opened: (signal: AbortSignal) => (failure === undefined ? Promise.resolve(ledger) : new Promise((_, reject) => { if (signal.aborted) reject(new ExdicomError('INTERRUPTED')); })), onFailure: (listener: (error: ExdicomError | undefined) => void) => { if (failure !== undefined) listener(failure); return nothing; },
  });
  const profile = compileProfile({ name: 'Basic', scope: 'trial', preset: 'basic', dates: 'remove', maximumShift: 1, allowedRisks: [], allowedSopClasses: [] });
  const profileNode = Object.assign(new FakeNode('exdicom-deid-profile', 'profile'), { users: {}, use: { profile, key: key ? { environment: KEY, file: '/nowhere' } : undefined } });
  const node = new FakeNode('exdicom-jobs', 'jobs');
  open.push(node);
  const red = fakeRed({ nodes: { ledger: ledgerNode, profile: profileNode } });
  Object.assign(red.nodes, {
    createNode: () => undefined,
    registerType: (_type: string, construct: (this: unknown, saved: object) => void) => { construct.call(node, { ...defaults, ledger: 'ledger', profile: 'profile', ...saved }); },
  });
  jobs(red);
  const ask = async (message: object = {}): Promise<Sent> => {
    const before = node.sent.length;
    node.input(message);
    await until(() => node.sent.length > before);
    return node.sent.at(-1) as Sent;
  };
  return { node, calls, ask };
}

const acted = ({ calls }: Bench): readonly Call[] => calls.filter(([method]) => !['job', 'holds', 'knowsKey', 'rememberKey', 'counts'].includes(method));
const errorOf = ({ payload }: Sent): { code: string; message: string } | undefined => (payload as { error?: { code: string; message: string } }).error;

describe('a jobs node that asks', () => {
  it('lists jobs by the filters of the dialog and of the message, and says whether there are more', async () => {
    const one = bench({ action: 'list', state: 'parked, needs-password' }, { jobs: [job, job, job] });
    const { payload } = await one.ask({ payload: { limit: '2', offset: 4, destination: ' PACS ', code: 'PEER_TIMEOUT', outcome: '', since: '2026-11-01' } });
    assert.deepEqual(one.calls, [['jobs', { state: ['parked', 'needs-password'], destination: 'PACS', code: 'PEER_TIMEOUT', since: Date.UTC(2026, 10, 1), limit: 3, offset: 4 }]]);
    assert.deepEqual(payload, { jobs: [SUMMARY, SUMMARY], offset: 4, more: true });
  });

  it('shows a filter of the dialog that fits nothing before anybody asks', async () => {
    for (const wrong of [{ code: 'NO_SUCH_CODE' }, { state: 'lost' }, { outcome: 'done' }, { since: 'soon' }, { limit: '0' }]) {
      const one = bench({ action: 'list', ...wrong });
      assert.equal(one.node.statuses.at(-1)?.text, 'failed: settings', JSON.stringify(wrong));
      const sent = await one.ask();
      assert.deepEqual([errorOf(sent)?.code, sent.statusCode, one.calls], ['CONFIG_INVALID', 500, []]);
    }
    assert.equal(bench({ action: 'list', code: 'PEER_TIMEOUT', state: 'parked' }).node.statuses.at(-1)?.text, 'idle');
    // Of another action it is not used.
    assert.equal(bench({ action: 'counts', code: 'NO_SUCH_CODE' }).node.statuses.at(-1)?.text, 'idle');
  });

  it('tells nothing of a job that its sender wrote', async () => {
    const { payload } = await bench({ action: 'list' }, { jobs: [job] }).ask();
    assert.doesNotMatch(JSON.stringify(payload), /Miller|Anywhere/);
  });

  it('lets no message change what the dialog fills in', async () => {
    const one = bench({ action: 'job', job: 'j1' }, { details: { job, quarantined: [], events: [{ at: AT }] } satisfies Partial<Record<keyof JobDetails, unknown>> });
    const { payload } = await one.ask({ payload: { job: 'j2', action: 'cancel' }, job: { id: 'j3' } });
    assert.deepEqual(one.calls, [['details', 'j1']]);
    assert.deepEqual(payload, { job: SUMMARY, quarantined: [], events: [{ at: '2026-11-01T12:00:00.000Z' }] });
  });

  it('finds the job in the payload, else in the address, else in the token', async () => {
    const one = bench({ action: 'receipt' }, { receipt: { receipt: 1 } });
    const req = { method: 'GET', params: { job: 'j2' }, headers: {} };
    await one.ask({ payload: { job: 'j1' }, req, job: { id: 'j3' } });
    await one.ask({ payload: {}, req, job: { id: 'j3' } });
    await one.ask({ payload: [1], job: { id: 'j3' } });
    assert.deepEqual(one.calls, [['receipt', 'j1'], ['receipt', 'j2'], ['receipt', 'j3']]);
  });

  it('knows a job by its name as well as by its id', async () => {
    const one = bench({ action: 'message' }, { jobNamed: 'j1', receipt: { receipt: 1 }, retryNow: 1, quarantine: [] });
    for (const action of ['receipt', 'retry-now', 'quarantine']) await one.ask({ payload: { action, job: 'folder-in 0042' } });
    const named = ['jobNamed', 'folder-in 0042'];
    assert.deepEqual(one.calls.map((call) => call.filter((value) => value !== undefined)), [named, ['receipt', 'j1'], named, ['retryNow', 'j1'], named, ['quarantine', { job: 'j1' }]]);
  });

  it('puts the answer where it is wanted and leaves the rest of the message alone', async () => {
    const counts = { states: { open: 1 }, holds: [{ target: { destination: 'PACS' }, mode: 'drain', who: 'Ann', at: AT }] } as unknown as LedgerCounts;
    const [req, res] = [{ method: 'GET', headers: {} }, { _res: {} }];
    const sent = await bench({ action: 'counts', answer: 'counts' }, { counts }).ask({ payload: 'kept', topic: 't', req, res });
    assert.equal(sent['req'], req);
    assert.equal(sent['res'], res);
    assert.deepEqual([sent.payload, sent['topic'], sent.statusCode], ['kept', 't', undefined]);
    assert.deepEqual(sent['counts'], { states: { open: 1 }, holds: [{ destination: 'PACS', mode: 'drain', who: 'Ann', at: '2026-11-01T12:00:00.000Z' }] });
  });
});

describe('a jobs node that is asked for a patient or a study', () => {
  it('hashes the UID with the key of the profile, and takes it out of the message', async () => {
    const one = bench({ action: 'find' }, { find: [job] });
    const body = { uid: '1.2.840.99', other: 1 };
    const sent = await one.ask({ payload: body, req: { method: 'POST', headers: {}, body } });
    assert.deepEqual(one.calls.at(-1), ['find', { keyed: [mapUid(Buffer.from(KEY), 'trial', '1.2.840.99')], uid: '1.2.840.99' } satisfies Marks]);
    assert.deepEqual(sent.payload, { jobs: [SUMMARY] });
    assert.doesNotMatch(JSON.stringify(sent), /1\.2\.840\.99/);
  });

  it('looks for a patient under the given issuer and under none, by pseudonyms alone', async () => {
    const one = bench({ action: 'find', answer: 'found' }, { find: [] });
    const sent = await one.ask({ payload: { patientId: 'PAT-1', issuer: 'Ward', kept: 1 } });
    const of = (issuer: string): string => pseudonym(Buffer.from(KEY), 'trial', 'patient', ['patient', issuer, 'PAT-1']);
    assert.deepEqual(one.calls.at(-1), ['find', { keyed: [of('Ward'), of('')] }]);
    assert.deepEqual(sent.payload, { kept: 1 });
    assert.doesNotMatch(JSON.stringify([sent, one.node.statuses]), /PAT-1|Ward/);
  });

  it('finds a PatientID that is not ASCII by the bytes that files have of it, with their issuer or that of their source', async () => {
    const one = bench({ action: 'find' }, { find: [] });
    await one.ask({ payload: { patientId: 'Ä-7', issuer: 'Žižka' } });
    const { keyed } = one.calls.at(-1)![1] as Marks;
    const of = (bytes: string, issuer: string): string => pseudonym(Buffer.from(KEY), 'trial', 'patient', ['patient', issuer, Buffer.from(bytes, 'hex').toString('latin1')]);
    assert.ok(keyed.includes(of('c42d37', 'Žižka')), 'Latin 1, its source names the issuer');
    assert.ok(keyed.includes(of('c42d37', '')), 'Latin 1, no issuer');
    assert.ok(keyed.includes(of('c42d37', Buffer.from('ae69be6b61', 'hex').toString('latin1'))), 'Latin 2, the file names the issuer');
    assert.ok(keyed.includes(of('c3842d37', Buffer.from('Žižka').toString('latin1'))), 'UTF-8, the file names the issuer');
  });

  it('makes no key by looking, and still finds what was sent identified', async () => {
    const one = bench({ action: 'find' }, { knowsKey: false, find: [] });
    await one.ask({ payload: { uid: '1.2.3' } });
    assert.deepEqual(one.calls, [['knowsKey', 'deid:trial'], ['find', { keyed: [], uid: '1.2.3' }]]);
    const none = bench({ action: 'find' }, {}, { key: false });
    assert.equal(errorOf(await none.ask({ payload: { patientId: 'PAT-1' } }))?.code, 'REQUEST_INVALID');
  });

  it('takes it out also where it is refused, and names it in no error', async () => {
    const one = bench({ action: 'find' });
    for (const payload of [{ uid: 'SMITH^JOHN' }, { patientId: 'SMITH^JOHN', uid: '1.2' }, { patientId: { of: 'SMITH^JOHN' } }]) {
      const sent = await one.ask({ payload });
      assert.equal(errorOf(sent)?.code, 'REQUEST_INVALID');
      assert.doesNotMatch(JSON.stringify([sent, one.node.statuses]), /SMITH/);
    }
  });
});

describe('a jobs node that acts', () => {
  const REQUESTS: ReadonlyArray<readonly [object, Call]> = [
    [{ action: 'send-again', job: 'j1' }, ['sendAgain', 'j1', 'Ann']],
    [{ action: 'cancel', job: 'j1' }, ['cancel', 'j1', 'Ann']],
    [{ action: 'retry-now', job: 'j1' }, ['retryNow', 'j1', 'Ann']],
    [{ action: 'retry-now', destination: 'PACS' }, ['retryNow', { destination: 'PACS' }, 'Ann']],
    [{ action: 'password', job: 'j1', password: ' open ' }, ['password', 'j1', ' open ', 'Ann']],
    [{ action: 'release', job: 'j1', instances: 'all', profile: 'Other' }, ['release', 'j1', 'all', 'Basic', 'Ann']],
    [{ action: 'discard', job: 'j1', instances: '1-3, 7, 2' }, ['discard', 'j1', [1, 2, 3, 7], 'Ann']],
    [{ action: 'discard', job: 'j1', instances: [4, '5'] }, ['discard', 'j1', [4, 5], 'Ann']],
    [{ action: 'pause', source: 'folder:/inbox' }, ['hold', { source: 'folder:/inbox' }, 'pause', 'Ann']],
    [{ action: 'drain', destination: 'PACS' }, ['hold', { destination: 'PACS' }, 'drain', 'Ann']],
    [{ action: 'pause', destination: 'dicom:A@b:104' }, ['hold', { destination: 'dicom:A@b:104' }, 'pause', 'Ann']],
    [{ action: 'resume', destination: 'PACS' }, ['resume', { destination: 'PACS' }, 'Ann']],
  ];
  for (const [payload, call] of REQUESTS) {
    it(`does what the message says: ${JSON.stringify(payload)}`, async () => {
      const one = bench({ action: 'message', job: 'left over from another action' }, { sendAgain: job, release: { id: 'j2' }, retryNow: 3, discard: 1, counts: { destinations: [{ label: 'PACS' }] } });
      const sent = await one.ask({ payload, who: 'Ann' });
      assert.equal(errorOf(sent), undefined);
      assert.deepEqual(acted(one), [call]);
    });
  }

  it('answers with what came of it', async () => {
    assert.deepEqual((await bench({ action: 'send-again' }, { sendAgain: job }).ask({ payload: { job: 'j0' } })).payload, { job: SUMMARY });
    assert.deepEqual((await bench({ action: 'retry-now' }, { retryNow: 3 }).ask({ payload: { job: 'j1' } })).payload, { due: 3 });
    assert.deepEqual((await bench({ action: 'discard' }, { discard: 2 }).ask({ payload: { job: 'j1', instances: 'all' } })).payload, { discarded: 2 });
    assert.deepEqual((await bench({ action: 'cancel' }).ask({ payload: { job: 'j1' } })).payload, { job: SUMMARY });
  });

  it('does it in the name that the dialog gives, else in that of the message', async () => {
    const one = bench({ action: 'cancel', who: 'status page' });
    await one.ask({ payload: { job: 'j1', who: 'Eve' }, who: 'Eve' });
    const other = bench({ action: 'cancel' });
    await other.ask({ payload: { job: 'j1', who: 'Bob' } });
    await other.ask({ payload: { job: 'j1' } });
    assert.deepEqual([...acted(one), ...acted(other)].map((call) => call.at(-1)), ['status page', 'Bob', undefined]);
  });

  it('holds nothing that the ledger does not know by that name', async () => {
    for (const target of [{ destination: 'PASC' }, { source: 'inbox' }]) {
      const one = bench({ action: 'pause' }, { counts: { destinations: [{ label: 'PACS' }] } });
      assert.equal(errorOf(await one.ask({ payload: target }))?.code, 'REQUEST_INVALID');
      assert.deepEqual(acted(one), []);
    }
  });

  it('wants to be told which files to discard or release', async () => {
    for (const action of ['discard', 'release'] as const) {
      for (const instances of [undefined, '', 'each', '0', '3-1', [], [1.5], { all: true }]) {
        const one = bench({ action });
        assert.equal(errorOf(await one.ask({ payload: { job: 'j1', instances } }))?.code, 'REQUEST_INVALID', JSON.stringify(instances));
        assert.deepEqual(acted(one), []);
      }
    }
  });
});

describe('a password', () => {
  it('has left the message, its payload and the body of the request before the ledger has answered', async () => {
    for (const message of [{ password: 'open sesame', payload: { job: 'j1' } }, { payload: { job: 'j1', password: 'open sesame' } }]) {
      const one = bench({ action: 'password', answer: 'given' });
      const body = { ...message.payload };
      const arrived = { ...message, _msgid: 'm', req: { method: 'POST', headers: {}, body } };
      const sending = one.ask(arrived);
      assert.deepEqual(body, { job: 'j1' });
      const sent = await sending;
      assert.deepEqual(acted(one), [['password', 'j1', 'open sesame', undefined]]);
      assert.doesNotMatch(JSON.stringify([sent, one.node.statuses, one.node.errors, one.node.endings]), /sesame/);
      assert.deepEqual(sent.payload, { job: 'j1' });
    }
  });

  it('has left it also where the request, the job or the node is wrong', async () => {
    const wrong: ReadonlyArray<readonly [Bench, object]> = [
      [bench({ action: 'password', answer: 'given' }), { payload: {} }],
      [bench({ action: 'password', answer: 'given' }, { password: new ExdicomError('JOB_STATE') }), { payload: { job: 'j1' } }],
      [bench({ action: 'password', answer: 'given', ledger: 'none' }), { payload: { job: 'j1' } }],
      [bench({ action: 'message', answer: 'given' }), { payload: { action: 'open' } }],
    ];
    for (const [one, { payload }] of wrong.map(([at, message]) => [at, message as { payload: object }] as const)) {
      const sent = await one.ask({ payload: { ...payload, password: 'open sesame' }, password: 'open sesame' });
      assert.ok((sent['given'] as { error?: object }).error !== undefined);
      assert.doesNotMatch(JSON.stringify([sent, one.node.statuses, one.node.errors]), /sesame/);
    }
  });
});

describe('errors of a jobs node', () => {
  it('are answered with a status that fits, and never told to Catch nodes', async () => {
    const cases: ReadonlyArray<readonly [Bench, object, string, number]> = [
      [bench({ action: 'job' }, { details: new ExdicomError('JOB_UNKNOWN') }), { payload: { job: 'j9' } }, 'JOB_UNKNOWN', 404],
      [bench({ action: 'cancel' }, { cancel: new ExdicomError('JOB_STATE') }), { payload: { job: 'j1' } }, 'JOB_STATE', 409],
      [bench({ action: 'receipt' }), { payload: { job: 'j1' } }, 'JOB_STATE', 409],
      [bench({ action: 'job' }), { payload: 'j1' }, 'REQUEST_INVALID', 400],
      [bench({ action: 'message' }), { payload: { action: 'toString' } }, 'REQUEST_INVALID', 400],
      [bench({ action: 'list' }), { payload: { limit: '0' } }, 'REQUEST_INVALID', 400],
      [bench({ action: 'list' }), { payload: { state: 'lost' } }, 'REQUEST_INVALID', 400],
      [bench({ action: 'pause' }), { payload: { source: 's', destination: 'd' } }, 'REQUEST_INVALID', 400],
      [bench({ action: 'counts' }, {}, { failure: new ExdicomError('LEDGER_LOCKED') }), {}, 'LEDGER_LOCKED', 503],
      [bench({ action: 'counts', ledger: 'none' }), {}, 'LEDGER_MISSING', 500],
      [bench({ action: 'counts', answer: 'payload', profile: 'none' }, { counts: new TypeError('secret') }), {}, 'INTERNAL', 500],
    ];
    for (const [one, message, code, statusCode] of cases) {
      const sent = await one.ask(message);
      assert.deepEqual([errorOf(sent)?.code, sent.statusCode], [code, statusCode]);
      assert.match(errorOf(sent)?.message ?? '', /\w/);
      assert.doesNotMatch(errorOf(sent)?.message ?? '', /secret|lost/);
      await until(() => one.node.endings.length === 1);
      assert.deepEqual(one.node.endings, ['done']);
    }
  });
});

describe('a web request to a jobs node', () => {
  const post = (headers: object): object => ({ payload: { job: 'j1' }, req: { method: 'POST', headers } });

  it('must be a POST to act, or to name a patient', async () => {
    for (const action of ['cancel', 'send-again', 'find'] as const) {
      const one = bench({ action });
      const sent = await one.ask({ payload: { job: 'j1', uid: '1.2.3' }, req: { method: 'GET', headers: {} } });
      assert.deepEqual([errorOf(sent)?.code, sent.statusCode], ['REQUEST_REFUSED', 403]);
      assert.deepEqual(one.calls, []);
    }
    assert.equal(errorOf(await bench({ action: 'list' }, { jobs: [] }).ask({ payload: {}, req: { method: 'GET', headers: {} } })), undefined);
  });

  it('acts from a page of its own site and from a program, and not from another site', async () => {
    const own = [{}, { 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'none' }, { origin: 'https://a.example', host: 'a.example' }, { origin: 'https://a.example', host: '10.0.0.1', 'x-forwarded-host': 'a.example' }];
    const foreign = [{ 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }, { origin: 'https://b.example', host: 'a.example' }, { origin: 'null', host: 'a.example' }];
    for (const headers of own) {
      const one = bench({ action: 'cancel' });
      await one.ask(post(headers));
      assert.equal(acted(one).length, 1, JSON.stringify(headers));
    }
    for (const headers of foreign) {
      const one = bench({ action: 'cancel' });
      assert.equal(errorOf(await one.ask(post(headers)))?.code, 'REQUEST_REFUSED', JSON.stringify(headers));
      assert.deepEqual(one.calls, []);
    }
  });
});
