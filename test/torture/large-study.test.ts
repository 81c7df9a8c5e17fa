/**
 * A study of ten thousand files through flow 01 as it is shipped, debug nodes and its own PACS included: nothing is lost, a file costs
 * what it costs in a study of a hundred, a small heap is enough, and the event loop stays free. Set EXDICOM_LARGE_STUDY for another
 * number of files.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOADS, writeStudy } from '../bench/data';
import type { FromHost, HostOptions, Load, StageFigures } from '../bench/host';
import { zip } from '../support/archives';
import { exampleFlow } from '../support/example-flow';
import { receiptsIn } from '../support/ledger-file';
import { filesBelow } from '../support/main-flow';
import { packFolder } from '../support/node-red';
import { freePort } from '../support/orthanc';
import { amount } from '../support/torture';

const FILES = Number(process.env['EXDICOM_LARGE_STUDY'] ?? amount(10_000, 1000));
const SMALL = 100;
const STAGES = ['extract', 'anonymize', 'c-store-out'] as const;
/** Of this a Node-RED without any study takes a third; with more, V8 would take more without need, and nothing could be told from its memory. */
const HEAP = ['--max-old-space-size=128', '--max-semi-space-size=8'];
/** Milliseconds, the timer's own one included. */
const LOOP_BAR = 20;

interface Passed {
  readonly job: Load;
  readonly stages: ReadonlyMap<string, StageFigures>;
}

/** Node-RED with flow 01, without anything that looks into messages: that alone would hold up the loop. */
class Flow01 implements AsyncDisposable {
  #jobs = 0;

  private constructor(private readonly host: ChildProcess, readonly folder: string) {}

  static async start(): Promise<Flow01> {
    const folder = await mkdtemp(join(tmpdir(), 'exdicom-large-'));
    const data = join(folder, 'data');
    await mkdir(join(data, 'inbox'), { recursive: true });
    await writeFile(join(folder, 'flows.json'), JSON.stringify(exampleFlow('01')));
    const port = String(await freePort());
    const options: HostOptions = { userDir: folder, pack: await packFolder(folder), collect: false, touch: 0 };
    const host = fork(join(__dirname, '..', 'bench', 'host.js'), [JSON.stringify(options)], {
      execArgv: HEAP, stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, EXDICOM_DATA: data, EXDICOM_LISTEN_PORT: port, EXDICOM_PACS_PORT: port, EXDICOM_DEID_KEY: 'a key of this test, longer than thirty-two characters' },
    });
    const flow = new Flow01(host, folder);
    await flow.#until((message) => message.kind === 'ready');
    return flow;
  }

  get data(): string {
    return join(this.folder, 'data');
  }

  async #until(holds: (message: FromHost) => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const end = (act: () => void): void => { this.host.removeAllListeners(); act(); };
      this.host.on('exit', (code) => { end(() => { reject(new Error(`Node-RED ended with ${code}`)); }); });
      this.host.on('message', (message: FromHost) => {
        if (message.kind === 'failed') end(() => { reject(new Error(message.message)); });
        else if (holds(message)) end(resolve);
      });
    });
  }

  /** Sends an archive through, until the PACS of the flow has put its study into a folder too. */
  async pass(archive: string, files: number): Promise<Passed> {
    const stages = new Map<string, StageFigures>();
    let job: Load | undefined;
    const through = this.#until((message) => {
      if (message.kind === 'stage') stages.set(message.figures.stage, message.figures);
      if (message.kind === 'closed') job = message.load;
      return message.kind === 'closed';
    });
    await rename(archive, join(this.data, 'inbox', basename(archive)));
    await through;
    assert.ok(job !== undefined);
    for (const stage of STAGES) assert.equal(stages.get(stage)?.instances, files, stage);
    // The sender's and the receiver's.
    this.#jobs += 2;
    while (receiptsIn(this.data).size < this.#jobs) await sleep(500);
    return { job, stages };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.host.removeAllListeners();
    const ended = new Promise((resolve) => { this.host.once('exit', resolve); });
    if (this.host.exitCode === null && this.host.signalCode === null && this.host.kill('SIGKILL')) await ended;
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function study(folder: string, count: number, name: string): Promise<string> {
  const files = writeStudy(join(folder, `files of ${name}`), count, LOADS.tiny.shape);
  const path = join(folder, `${name}.zip`);
  await writeFile(path, zip(await Promise.all(files.map(async (file) => ({ name: basename(file), data: await readFile(file), method: 'deflate' as const })))));
  await rm(join(folder, `files of ${name}`), { recursive: true });
  return path;
}

test(`a study of ${FILES} files arrives whole, and a file of it costs what one of ${SMALL} costs`, async (context) => {
  await using flow = await Flow01.start();
  // Compiles the code and starts the threads.
  await flow.pass(await study(flow.folder, SMALL, 'first'), SMALL);
  const passes: Array<Passed & { readonly files: number }> = [];
  for (const [turn, files] of [SMALL, FILES, SMALL, FILES, SMALL].entries()) {
    passes.push({ files, ...await flow.pass(await study(flow.folder, files, `study ${turn}`), files) });
  }

  const perFile = ({ milliseconds }: Load, files: number): number => milliseconds / files;
  const tell = (what: string, load: Load, files: number): void => {
    context.diagnostic(`${what}: ${perFile(load, files).toFixed(2)} ms a file, memory +${Math.round((load.rssPeak - load.rssBefore) / 1e6)} to ${Math.round(load.rssPeak / 1e6)} MB, loop delay p99 ${load.delayP99.toFixed(1)} ms, longest ${load.delayMax.toFixed(0)} ms`);
  };
  for (const { job, stages, files } of passes) {
    tell(`${files} files`, job, files);
    for (const [name, figures] of stages) tell(`  ${name}`, figures, files);
  }

  const receipts = [...receiptsIn(flow.data).values()];
  for (const receipt of receipts) {
    assert.equal(receipt.job.outcome, 'complete');
    assert.equal(receipt.balanced, true);
  }
  // Each is sent, and received.
  const sizes = [SMALL, ...passes.map(({ files }) => files)].flatMap((files) => [files, files]);
  assert.deepEqual(receipts.map(({ destinations }) => destinations[0]?.verified ?? 0).toSorted((a, b) => a - b), sizes.toSorted((a, b) => a - b));
  assert.equal((await filesBelow(join(flow.data, 'received'))).length, sizes.reduce((sum, files) => sum + files, 0) / 2);
  assert.deepEqual(await filesBelow(join(flow.data, 'work')), []);

  // Small ones before, between and after, since the machine may have other things to do; what grows with the square would be a hundred times as slow.
  const [small, large] = [SMALL, FILES].map((wanted) => passes.filter(({ files }) => files === wanted));
  const cost = (of: typeof passes, what: (pass: Passed) => Load): number[] => of.map((pass) => perFile(what(pass), pass.files));
  const costs = (what: (pass: Passed) => Load): boolean => Math.min(...cost(large!, what)) < 2 * Math.max(...cost(small!, what));
  assert.ok(costs(({ job }) => job), 'a file of a large study costs more than one of a small study');
  for (const stage of STAGES) assert.ok(costs(({ stages }) => stages.get(stage)!), `${stage} is slower per file in a large study`);

  const peaks = large!.map(({ job }) => job.rssPeak);
  assert.ok(peaks[0]! - small![0]!.job.rssPeak < 300e6, 'memory grows with the study');
  assert.ok(peaks[1]! - peaks[0]! < 150e6, 'something of the study stays in memory');
  const delays = large!.map(({ job }) => job.delayP99);
  if (FILES >= 10_000) assert.ok(Math.min(...delays) < LOOP_BAR, `the event loop is held up for ${delays.join(' and ')} ms`);
});
