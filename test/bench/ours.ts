/** The pack's side of a measurement: a Node-RED in a process of its own that is given one item. */
import { fork } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { packFolder } from '../support/node-red';
import type { FromHost, HostOptions, Load, StageFigures } from './host';

export interface Wiring {
  readonly anonymize: boolean;
  /** Of the C-STORE receiver; without one the flow ends before it. */
  readonly port?: number;
  readonly associations?: number;
}

export interface Run {
  readonly item: string;
  /** A small item that is sent through before, so that threads have started and code has been compiled, as in a Node-RED that has been running. */
  readonly warmUp: string;
  readonly instances: number;
  /** Bytes of memory that each stage finds in use before. */
  readonly touch: number;
  readonly wiring: Wiring;
  /** Tells of the whole job: then no garbage is collected between its stages. */
  readonly whole: boolean;
}

export interface Outcome {
  readonly stages: ReadonlyMap<string, StageFigures>;
  readonly job: Load;
}

function flow(data: string, { anonymize, port, associations = 1 }: Wiring): ReadonlyArray<Record<string, unknown>> {
  const stages = ['folder-in', 'extract', ...(anonymize ? ['anonymize'] : []), ...(port === undefined ? [] : ['c-store-out']), 'finish'];
  return [
    { id: 'tab', type: 'tab', label: 'bench' },
    { id: 'ledger', type: 'exdicom-ledger', directory: join(data, 'ledger'), reserve: '100' },
    { id: 'profile', type: 'exdicom-deid-profile', name: 'bench', dates: 'shift', keyFile: join(data, 'key') },
    { id: 'pacs', type: 'exdicom-pacs', host: '127.0.0.1', port: String(port ?? 104), aet: 'ANY-SCP', callingAet: 'BENCH', verification: 'response', associations: String(associations), nudge: true, identifiedAllowed: !anonymize },
    ...stages.flatMap((stage, index) => [
      {
        id: stage, type: `exdicom-${stage}`, z: 'tab', ledger: 'ledger', profile: 'profile', pacs: 'pacs',
        folder: join(data, 'inbox'), interval: '0.2', stable: '0', subfolders: true, required: [], allowLeftOut: port === undefined,
        wires: [[...stages.slice(index + 1, index + 2), `debug ${stage}`], []],
      },
      { id: `debug ${stage}`, type: 'debug', z: 'tab', active: true, tosidebar: true, console: false, tostatus: false, complete: 'payload', targetType: 'msg', wires: [] },
    ]),
  ];
}

/** By hard links, which cost nothing: what is read is never changed. A folder appears whole. */
function give(item: string, data: string): void {
  const target = join(data, 'inbox', basename(item));
  if (statSync(item).isFile()) {
    linkSync(item, target);
    return;
  }
  const staging = join(data, 'staging');
  mkdirSync(staging);
  for (const name of readdirSync(item)) linkSync(join(item, name), join(staging, name));
  renameSync(staging, target);
}

/** @throws where the flow ends with another outcome, or a stage with another number of instances. */
export async function ours(root: string, { item, warmUp, instances, touch, wiring, whole }: Run): Promise<Outcome> {
  const data = mkdtempSync(join(root, 'ours-'));
  mkdirSync(join(data, 'inbox'));
  writeFileSync(join(data, 'flows.json'), JSON.stringify(flow(data, wiring)));
  const options: HostOptions = { userDir: data, pack: await packFolder(data), collect: !whole, touch };
  const host = fork(join(__dirname, 'host.js'), [JSON.stringify(options)], { execArgv: ['--expose-gc'], env: { ...process.env, EXDICOM_DEID_KEY: '' }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  let heard: (message: FromHost) => void = () => undefined;
  let broken: (error: Error) => void = () => undefined;
  host.on('exit', (code) => { broken(new Error(`Node-RED ended with ${code}`)); });
  host.on('message', (message: FromHost) => {
    if (message.kind === 'failed') broken(new Error(message.message));
    else if (message.kind === 'closed' && message.outcome !== 'complete') broken(new Error(`a job ended as ${message.outcome}`));
    else heard(message);
  });
  /** Listens before it acts, until what is waited for has come. */
  const until = <T>(find: (message: FromHost) => T | undefined, act: () => void = () => undefined): Promise<T> => new Promise((resolve, reject) => {
    broken = reject;
    heard = (message) => {
      const found = find(message);
      if (found !== undefined) resolve(found);
    };
    act();
  });
  const last = wiring.port !== undefined ? 'c-store-out' : wiring.anonymize ? 'anonymize' : 'extract';
  const through = (message: FromHost): Outcome | undefined => {
    if (message.kind === 'stage') stages.set(message.figures.stage, message.figures);
    // Without a destination a job stays open until it has been quiet for a while.
    if (whole) return message.kind === 'closed' ? { stages, job: message.load } : undefined;
    return message.kind === 'stage' && message.figures.stage === last ? { stages, job: message.figures } : undefined;
  };
  const stages = new Map<string, StageFigures>();
  try {
    await until((message) => message.kind === 'ready' || undefined);
    await until(through, () => { give(warmUp, data); });
    const outcome = await until(through, () => { give(item, data); });
    for (const { stage, instances: counted } of stages.values()) if (counted !== instances) throw new Error(`${stage} had ${counted} instances of ${instances}`);
    return outcome;
  } finally {
    host.removeAllListeners();
    const ended = new Promise((resolve) => { host.once('exit', resolve); });
    if (host.exitCode === null && host.signalCode === null && host.kill('SIGKILL')) await ended;
    rmSync(data, { recursive: true, force: true });
  }
}
