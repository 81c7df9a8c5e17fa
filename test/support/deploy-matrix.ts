/** What happens to a job when its flow is deployed, changed, stopped or imported anew, with the job at a known stage. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { deployFlow, disabled, imported, importedId, inSubflow, renamed, rewired, without } from './deploy-flow';
import type { Ids } from './deploy-flow';
import { startFaultScp } from './fault-scp';
import type { FaultScp } from './fault-scp';
import { startFindPeer } from './find-peer';
import type { FindPeer } from './find-peer';
import { jobsIn } from './ledger-file';
import type { JobLine } from './ledger-file';
import { drop, filesBelow, sampleStudy } from './main-flow';
import { NodeRed } from './node-red';
import type { FlowNode } from './node-red';
import { freePort } from './orthanc';
import { Rules } from './rules';

export const STAGES = ['intake', 'extract', 'user nodes', 'anonymize', 'sending', 'verify', 'finish'] as const;
export type StageName = typeof STAGES[number];

export const ACTIONS = [
  'full', 'flows', 'nodes', 'deleted', 'rewired', 'disabled', 'subflow', 'subflow, nodes', 'subflow, undone', 'in subflow', 'out of subflow', 'imported', 'source removed', 'stopped',
] as const;
export type Action = typeof ACTIONS[number];

export interface CaseResult {
  readonly action: Action;
  readonly stage: StageName;
  readonly outcome: string;
  readonly attempts: number;
  /** C-STORE requests of an instance whose earlier one was not answered. */
  readonly again: number;
  /** Codes of the errors that came to the catch node. */
  readonly caught: readonly string[];
  /** What is wrong, empty where nothing is. */
  readonly wrong: readonly string[];
}

const SLICES = 24;
/** Milliseconds in which the ledger judges what a flow without its stage has left of a job: more than the flow's `quiet`. */
const WITHOUT = 1500;
/** Milliseconds after which a job counts as stuck. */
const STUCK = 60_000;
/** What holds a job in a stage. */
const HOLD: Partial<Record<StageName, string>> = { intake: 'ledger.spool', extract: 'archive.extract', anonymize: 'deid.files', finish: 'ledger.remove' };

const targetOf = (ids: Ids, stage: StageName): string => ({
  intake: ids.in, extract: ids.extract, 'user nodes': ids.delay, anonymize: ids.anonymize, sending: ids.out, verify: ids.out, finish: ids.finish,
})[stage];

class Bench {
  #seen = 0;

  constructor(
    readonly red: NodeRed, readonly pacs: FaultScp, readonly query: FindPeer, readonly rules: Rules, readonly folder: string, readonly pace: { delay: number },
    readonly base: (delay: number) => { readonly flow: FlowNode[]; readonly ids: Ids },
  ) {}

  get data(): string {
    return join(this.folder, 'data');
  }

  /** The job of this case: the youngest, once there is one. */
  #fresh(): readonly JobLine[] {
    return jobsIn(this.data).filter(({ n }) => n > this.#seen);
  }

  /** @returns whether it came to hold in time */
  async #within(condition: () => boolean | Promise<boolean>): Promise<boolean> {
    const end = performance.now() + STUCK;
    while (!await condition()) {
      if (this.red.exited !== undefined) throw new Error(`Node-RED ended with ${this.red.exited.code}`);
      if (performance.now() > end) return false;
      await sleep(10);
    }
    return true;
  }

  async run(action: Action, stage: StageName): Promise<CaseResult> {
    const { red, pacs, query, rules, pace } = this;
    const { flow, ids } = this.base(stage === 'user nodes' ? 3 : 0);
    rules.set();
    pace.delay = 0;
    query.blind = false;
    const target = targetOf(ids, stage);
    await red.post(action === 'in subflow' || action === 'out of subflow' ? inSubflow(flow, target) : flow, 'full');
    this.#seen = Math.max(0, ...jobsIn(this.data).map(({ n }) => n));
    const before = pacs.messages.length;
    const preparedBefore = red.at(ids.prepared).length;
    const askedBefore = query.asked;
    const caughtBefore = this.#caught(ids).length;
    const hold = HOLD[stage];
    if (hold !== undefined) rules.set({ task: hold, what: 'hold' });
    if (stage === 'sending') pace.delay = 60;
    if (stage === 'verify') query.blind = true;

    await drop(this.folder, 'study.zip', await sampleStudy(this.folder));
    const there = await this.#within(() => {
      if (hold !== undefined) return rules.met().length > 0;
      if (stage === 'user nodes') return red.at(ids.prepared).length > preparedBefore;
      return stage === 'sending' ? pacs.messages.length >= before + 5 : query.asked > askedBefore;
    });
    assert.ok(there, `the job never came to ${stage}`);

    const release = (): void => {
      rules.set();
      pace.delay = 0;
      query.blind = false;
    };
    await this.#act(action, flow, target, ids, release);

    const closed = await this.#within(async () => {
      const jobs = this.#fresh();
      return jobs.length > 0 && jobs.every(({ state }) => state === 'closed') && jobs.every(({ id }) => this.#receiptsOf(id, ids).length > 0)
        && (await filesBelow(join(this.data, 'inbox'))).length === 0;
    });
    const jobs = this.#fresh();
    const wrong = closed ? [] : ['stuck'];
    const [job] = jobs;
    if (jobs.length !== 1) wrong.push(`${jobs.length} jobs`);
    const receipt = job?.receipt === null || job === undefined ? undefined : JSON.parse(job.receipt) as Receipt;
    if (receipt?.balanced !== true) wrong.push('not balanced');
    const verified = receipt?.destinations.map((to) => `${to.verified}`).join('+') ?? '';
    if (verified !== String(SLICES)) wrong.push(`verified ${verified}`);
    const told = job === undefined ? 0 : this.#receiptsOf(job.id, ids).length;
    if (told !== 1) wrong.push(`${told} receipts`);
    if ((await filesBelow(join(this.data, 'work'))).length > 0) wrong.push('files in work');

    // The association logs: every instance once, but for what nobody answered.
    const byUid = Map.groupBy(pacs.messages.slice(before), ({ sopInstanceUID }) => sopInstanceUID);
    if (byUid.size !== SLICES) wrong.push(`${byUid.size} instances sent`);
    let again = 0;
    for (const [, messages] of byUid) {
      again += messages.length - 1;
      if (messages.slice(0, -1).some((message) => pacs.answered.has(message))) wrong.push('sent again after an answer');
      if (new Set(messages.map(({ dataSet }) => createHash('sha256').update(dataSet).digest('hex'))).size > 1) wrong.push('other bytes');
    }
    const caught = [...new Set(this.#caught(ids).slice(caughtBefore))];
    return { action, stage, caught, outcome: `${job?.outcome ?? job?.state ?? 'none'}${job?.code === null || job === undefined ? '' : ` ${job.code}`}`, attempts: job?.attempt ?? 0, again, wrong: [...new Set(wrong)] };
  }

  #caught(ids: Ids): string[] {
    return [ids.errors, importedId(ids.errors)].flatMap((id) => this.red.at(id)).map(({ error }) => (error as { code?: string }).code ?? 'no code');
  }

  #receiptsOf(job: string, ids: Ids): unknown[] {
    return [ids.receipts, importedId(ids.receipts)].flatMap((id) => this.red.at(id)).filter(({ payload }) => (payload as Receipt).job.id === job);
  }

  /** @param release lets the job go on from its stage */
  async #act(action: Action, flow: FlowNode[], target: string, ids: Ids, release: () => void): Promise<void> {
    const { red } = this;
    const backAfter = async (changed: FlowNode[], type: 'full' | 'nodes' | 'flows'): Promise<void> => {
      await red.post(changed, type);
      release();
      await sleep(WITHOUT);
      await red.post(flow, type);
    };
    switch (action) {
      case 'full': case 'flows': case 'nodes': await red.post(renamed(flow, target), action); break;
      case 'deleted': await backAfter(without(flow, target), 'nodes'); break;
      case 'rewired': await red.post(rewired(flow, target), 'nodes'); break;
      case 'disabled': await backAfter(disabled(flow, ids.tab), 'flows'); break;
      case 'subflow': await red.post(inSubflow(flow, target), 'full'); break;
      // Node-RED leaves the old node running there, and its twin in the subflow beside it: nothing is interrupted.
      case 'subflow, nodes': await red.post(inSubflow(flow, target), 'nodes'); break;
      // Taking that back closes both.
      case 'subflow, undone':
        await red.post(inSubflow(flow, target), 'nodes');
        await red.post(flow, 'nodes');
        break;
      case 'in subflow': await red.post(renamed(inSubflow(flow, target), target), 'nodes'); break;
      case 'out of subflow': await red.post(flow, 'nodes'); break;
      case 'imported': await red.post(imported(flow), 'full'); break;
      case 'source removed': await backAfter(without(flow, ids.in), 'nodes'); break;
      case 'stopped':
        await red.setFlows('stop');
        release();
        await sleep(WITHOUT);
        await red.setFlows('start');
    }
    release();
  }
}

/** Runs these cases one after the other in one Node-RED, each with a study of its own. */
export async function runCases(cases: ReadonlyArray<readonly [action: Action, stage: StageName]>, version: 'node-red' | 'node-red-4' = 'node-red'): Promise<CaseResult[]> {
  const folder = await mkdtemp(join(tmpdir(), 'exdicom-deploys-'));
  try {
    const pace = { delay: 0 };
    await using pacs = await startFaultScp({ respond: () => ({ status: 0, delay: pace.delay }) });
    await using query = await startFindPeer(() => pacs.messages.map(({ sopInstanceUID }) => sopInstanceUID));
    const rules = new Rules(folder);
    const listen = await freePort();
    const base = (delay: number): ReturnType<typeof deployFlow> => deployFlow({ data: join(folder, 'data'), pacs: pacs.port, query: query.port, listen }, { delay });
    await using red = await NodeRed.start({ version, flows: base(0).flow, userDir: folder, env: rules.env });
    const bench = new Bench(red, pacs, query, rules, folder, pace, base);
    const results: CaseResult[] = [];
    for (const [action, stage] of cases) results.push(await bench.run(action, stage));
    return results;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One line for each action, one column for each stage: attempts, and what was asked for again. */
export function table(results: readonly CaseResult[]): string {
  const cell = ({ outcome, attempts, again, caught, wrong }: CaseResult): string => `${wrong.length > 0 ? `${outcome}: ${wrong.join(', ')}` : outcome} (${attempts}${again > 0 ? `, ${again} again` : ''}${caught.length > 0 ? `, ${caught.join(' ')}` : ''})`;
  const lines = ACTIONS.filter((action) => results.some((one) => one.action === action)).map((action) => [action, ...STAGES.map((stage) => {
    const found = results.find((one) => one.action === action && one.stage === stage);
    return found === undefined ? '' : cell(found);
  })]);
  return [['', ...STAGES], ['---', ...STAGES.map(() => '---')], ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
}
