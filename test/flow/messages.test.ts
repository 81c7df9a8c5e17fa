import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import type { Delivered, DicomFile, JobToken } from '../../nodes/engine/model';
import { drop, filesBelow, mainFlow, sampleStudy } from '../support/main-flow';
import { NodeRed } from '../support/node-red';
import type { FlowNode } from '../support/node-red';

const receiptOf = (message: Record<string, unknown> | undefined): Receipt => message?.['payload'] as Receipt;
const codes = (messages: ReadonlyArray<Record<string, unknown>>): unknown[] => messages.map(({ error }) => (error as { code?: unknown }).code);
const core = (id: string, type: string, properties: Record<string, unknown>): FlowNode => ({ id, type, z: 'f', ...properties });
const SPLIT = { splt: '\\n', spltType: 'str', arraySplt: 1, arraySpltType: 'len', stream: false, addname: '' };
const JOIN = { mode: 'auto', build: 'object', property: 'payload', propertyType: 'msg', key: 'topic', joiner: '\\n', joinerType: 'str', count: '', timeout: '' };

describe('a message without a job', () => {
  it('with a Buffer is given one by extract, keeps its topic, and runs like any other', async () => {
    await using red = await NodeRed.start({ flows: mainFlow() });
    const content = await sampleStudy(red.userDir);
    // IPC carries no Buffer: a core node makes it.
    await writeFile(join(red.userDir, 'study.zip'), content);
    await red.deploy(mainFlow({ add: [core('read', 'file in', { filename: join(red.userDir, 'study.zip'), filenameType: 'str', format: '', chunk: false, sendError: false, allProps: false, wires: [['extract']] })] }));
    red.receive('read', { topic: 'mine', own: { kept: true } });
    await red.until(() => red.at('d-finish').length > 0);
    const [message] = red.at('d-finish');
    assert.equal(receiptOf(message).job.outcome, 'complete');
    assert.equal(receiptOf(message).job.kind, 'message');
    assert.equal(message?.['topic'], 'mine');
    assert.deepEqual(message?.['own'], { kept: true });
    assert.equal((await filesBelow(join(red.userDir, 'data', 'received'))).length, 24);
  });

  it('with the path of a DICOM folder is unpacked by anonymize, and by an out node that may take it', async () => {
    await using red = await NodeRed.start({ flows: mainFlow() });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length > 0);
    const received = join(red.userDir, 'data', 'received');
    await red.deploy(mainFlow({ change: { out: { folder: 'copies', identifiedAllowed: true } } }));
    red.receive('out', { payload: received });
    await red.until(() => red.at('d-finish').length > 1);
    const receipt = receiptOf(red.at('d-finish')[1]);
    assert.equal(receipt.job.outcome, 'complete');
    assert.equal(receipt.entries.instance, 24);
    const copies = await filesBelow(join(red.userDir, 'data', 'copies'));
    assert.equal(copies.length, 24);
    // Nobody vouches for these, so no value of theirs names a file.
    for (const file of copies) assert.match(file, /^folder-out \d{4}\/\d{6}\.dcm$/);

    red.receive('anonymize', { payload: [join(red.userDir, 'data', 'copies', copies[0] ?? '')] });
    await red.until(() => red.at('d-anonymize').some(({ payload }) => (payload as DicomFile[]).length === 1));
  });

  it('is an error at finish, told on its output and not to Catch nodes', async () => {
    await using red = await NodeRed.start({ flows: mainFlow() });
    red.receive('finish', { payload: 1 });
    await red.until(() => red.at('d-finish').length > 0);
    assert.deepEqual(codes(red.at('d-finish')), ['NOTHING_TO_DO']);
    red.receive('extract', { payload: 17 });
    await red.until(() => red.at('d-catch').length > 0);
    assert.deepEqual(codes(red.at('d-catch')), ['NOTHING_TO_DO']);
  });
});

describe('a token', () => {
  it('that is no token, or of a ledger or job that is not here, ends as JOB_UNKNOWN and harms nothing', async () => {
    await using red = await NodeRed.start({ flows: mainFlow() });
    await red.until(() => red.status('ledger') === 'idle');
    const token: JobToken = { id: 'x' as JobToken['id'], name: 'folder-in 0001', ledger: 'ledger', attempt: 1 };
    const tokens: unknown[] = ['text', {}, { ...token, ledger: 'other' }, token, { ...token, attempt: '1' }, { ...token, id: { toString: 1 } }, [token]];
    for (const job of tokens) red.receive('extract', { payload: '/etc/passwd', job });
    await red.until(() => red.at('d-catch').length === tokens.length);
    assert.deepEqual(codes(red.at('d-catch')), tokens.map(() => 'JOB_UNKNOWN'));
    assert.deepEqual(red.at('d-extract'), []);
  });
});

describe('core nodes between ours', () => {
  it('split to single files and join again, and the job closes once', async () => {
    await using red = await NodeRed.start({
      flows: mainFlow({
        change: { anonymize: { wires: [['split', 'd-anonymize'], ['d-aside']] }, out: { wires: [['join']] } },
        add: [core('split', 'split', { ...SPLIT, wires: [['out']] }), core('join', 'join', { ...JOIN, wires: [['finish', 'd-out']] })],
      }),
    });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length > 0);
    assert.equal(receiptOf(red.at('d-finish')[0]).job.outcome, 'complete');
    assert.deepEqual(red.at('d-out').map(({ payload }) => (payload as DicomFile[]).length), [24]);
    assert.equal((await filesBelow(join(red.userDir, 'data', 'received'))).length, 24);
  });

  it('messages per series of several studies join to one list', async () => {
    await using red = await NodeRed.start({
      flows: mainFlow({
        change: { extract: { per: 'series', wires: [['join', 'd-extract']] } },
        add: [core('join', 'join', { ...JOIN, wires: [['anonymize']] })],
      }),
    });
    // A sub-folder with two studies is one job.
    const folder = join(red.userDir, 'two studies');
    await mkdir(folder);
    for (const name of ['one.zip', 'two.zip']) await writeFile(join(folder, name), await sampleStudy(red.userDir));
    await red.until(() => red.status('in') === 'idle');
    await rename(folder, join(red.userDir, 'data', 'inbox', 'two studies'));
    await red.until(() => red.at('d-finish').length > 0);
    const parts = red.at('d-extract').map(({ parts: part }) => part as { id: string; index: number; count: number });
    assert.deepEqual(parts.map(({ index, count }) => [index, count]), [[0, 2], [1, 2]]);
    assert.equal(new Set(parts.map(({ id }) => id)).size, 1);
    assert.deepEqual(red.at('d-anonymize').map(({ payload }) => (payload as DicomFile[]).length), [48]);
    assert.equal(receiptOf(red.at('d-finish')[0]).job.outcome, 'complete');
    assert.deepEqual((await filesBelow(join(red.userDir, 'data', 'done'))).map((file) => file.split('/').slice(1).join('/')), ['two studies/one.zip', 'two studies/two.zip']);
  });

  it('a file that a function adds in front of anonymize is numbered, de-identified and delivered as the others; of those of the job a path is enough', async (t) => {
    // Another study than the archive's.
    const extra = await mkdtemp(join(tmpdir(), 'exdicom-added-'));
    t.after(() => rm(extra, { recursive: true, force: true }));
    await writeFile(join(extra, 'study.zip'), await sampleStudy(extra));
    execFileSync('bsdtar', ['-xf', join(extra, 'study.zip'), '-C', extra]);
    const brought = join(extra, (await filesBelow(extra)).find((name) => name.startsWith('SAMPLE'))!);
    const before = await readFile(brought);
    const add = core('add', 'function', {
      func: `msg.payload = [...msg.payload.map(({ path }) => path), ${JSON.stringify(brought)}]; return msg;`,
      outputs: 1, timeout: 0, noerr: 0, initialize: '', finalize: '', libs: [], wires: [['anonymize']],
    });
    await using red = await NodeRed.start({ flows: mainFlow({ change: { extract: { wires: [['add', 'd-extract']] } }, add: [add] }) });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length > 0);
    const receipt = receiptOf(red.at('d-finish')[0]);
    assert.equal(receipt.job.outcome, 'complete');
    assert.equal(receipt.entries.instance, 24);
    assert.deepEqual(red.at('d-anonymize').map(({ payload }) => (payload as DicomFile[]).map(({ instance }) => instance)), [Array.from({ length: 25 }, (_, index) => index + 1)]);
    assert.deepEqual(receipt.destinations.map(({ instances, verified }) => [instances, verified]), [[25, 25]]);
    assert.equal((await filesBelow(join(red.userDir, 'data', 'received'))).length, 25);
    assert.deepEqual(await readFile(brought), before, 'what the flow brought stays as it was');
  });

  it('a file that a flow has put in the place of another never counts as that one, wherever it comes from', async (t) => {
    const extra = await mkdtemp(join(tmpdir(), 'exdicom-instead-'));
    t.after(() => rm(extra, { recursive: true, force: true }));
    await writeFile(join(extra, 'study.zip'), await sampleStudy(extra));
    execFileSync('bsdtar', ['-xf', join(extra, 'study.zip'), '-C', extra]);
    const brought = join(extra, (await filesBelow(extra)).find((name) => name.startsWith('SAMPLE'))!);
    const swap = (func: string, to: string): FlowNode => core('swap', 'function', { func: `${func} return msg;`, outputs: 1, timeout: 0, noerr: 0, initialize: '', finalize: '', libs: [], wires: [[to]] });
    const first = 'msg.payload[0].path =';
    const cases = [
      { front: `${first} msg.payload[1].path;`, behind: '', delivered: 23, leftOut: 1 },
      { front: 'msg.payload[0].instance = 2;', behind: '', delivered: 24, leftOut: 0 },
      { front: `${first} ${JSON.stringify(brought)};`, behind: '', delivered: 24, leftOut: 1 },
      { front: '', behind: `${first} msg.payload[1].path;`, delivered: 23, leftOut: 1 },
      // Not de-identified: it is refused in the place of the one whose number it bears.
      { front: '', behind: `${first} ${JSON.stringify(brought)};`, delivered: 23, leftOut: 0, outcome: 'with-exceptions' },
    ];
    await using red = await NodeRed.start({ flows: mainFlow() });
    for (const [n, { front, behind, delivered, leftOut, outcome = leftOut === 0 ? 'complete' : 'failed' }] of cases.entries()) {
      const received = `received${n}`;
      const change = front === '' ? { anonymize: { wires: [['swap'], []] } } : { extract: { wires: [['swap']] } };
      await red.deploy(mainFlow({ change: { ...change, out: { folder: received } }, add: [swap(front + behind, front === '' ? 'out' : 'anonymize')] }));
      await drop(red.userDir, `${n}.zip`, await sampleStudy(red.userDir));
      await red.until(() => red.at('d-finish').length > n);
      const { job, error, destinations } = receiptOf(red.at('d-finish')[n]);
      assert.deepEqual([front + behind, job.outcome, error?.code, destinations[0]?.leftOut], [front + behind, outcome, outcome === 'failed' ? 'LEFT_OUT' : undefined, leftOut]);
      assert.equal((await filesBelow(join(red.userDir, 'data', received))).length, delivered);
    }
  });

  it('files that come by a second anonymize are handed on as they are', async () => {
    await using red = await NodeRed.start({
      flows: mainFlow({ change: { anonymize: { wires: [['twice'], []] } }, add: [core('twice', 'exdicom-anonymize', { name: '', ledger: 'ledger', profile: 'profile', wires: [['out', 'd-anonymize'], []] })] }),
    });
    await drop(red.userDir, 'study.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length > 0 || red.at('d-catch').length > 0);
    assert.deepEqual(codes(red.at('d-catch')), []);
    const { job, destinations } = receiptOf(red.at('d-finish')[0]);
    assert.deepEqual([job.outcome, job.attempts, destinations[0]?.verified], ['complete', 1, 24]);
    assert.deepEqual(red.at('d-anonymize').map(({ anonymized }) => (anonymized as { resumed: number }).resumed), [24]);
  });

  it('what a flow leaves out fails the job, unless finish allows it', async () => {
    const half = core('half', 'function', { func: 'msg.payload = msg.payload.slice(0, 12); return msg;', outputs: 1, timeout: 0, noerr: 0, initialize: '', finalize: '', libs: [], wires: [['out']] });
    const flows = (allowLeftOut: boolean): FlowNode[] => mainFlow({ change: { anonymize: { wires: [['half', 'd-anonymize'], ['d-aside']] }, finish: { allowLeftOut } }, add: [half] });
    await using red = await NodeRed.start({ flows: flows(false) });
    await drop(red.userDir, 'one.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length > 0);
    assert.equal(receiptOf(red.at('d-finish')[0]).job.outcome, 'failed');
    assert.equal(receiptOf(red.at('d-finish')[0]).error?.code, 'LEFT_OUT');
    assert.equal(receiptOf(red.at('d-finish')[0]).destinations[0]?.leftOut, 12);
    await red.deploy(flows(true));
    await drop(red.userDir, 'two.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length > 1);
    assert.equal(receiptOf(red.at('d-finish')[1]).job.outcome, 'with-exceptions');
  });

  it('a second destination is in msg.delivered beside the first, and required by name', async () => {
    await using red = await NodeRed.start({
      flows: mainFlow({
        change: { out: { wires: [['second']] }, finish: { required: ['archive', 'copy'] } },
        add: [core('second', 'exdicom-folder-out', { name: 'copy', ledger: 'ledger', folder: 'second', layout: 'number', identifiedAllowed: false, wires: [['finish', 'd-out']] })],
      }),
    });
    await drop(red.userDir, 'one.zip', await sampleStudy(red.userDir));
    await red.until(() => red.at('d-finish').length > 0);
    const delivered = red.at('d-out')[0]?.['delivered'] as Record<string, Delivered>;
    assert.deepEqual(Object.entries(delivered).map(([label, { verified, level }]) => [label, verified, level]), [['archive', 24, 'digest'], ['copy', 24, 'digest']]);
    assert.equal(receiptOf(red.at('d-finish')[0]).job.outcome, 'complete');
  });
});
