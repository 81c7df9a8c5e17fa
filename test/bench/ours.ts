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
export async function ours(root: string, { item, warmUp, instances, wiring, whole }: Run): Promise<Outcome> {
  const data = mkdtempSync(join(root, 'ours-'));
  mkdirSync(join(data, 'inbox'));
  writeFileSync(join(data, 'flows.json'), JSON.stringify(flow(data, wiring)));
  const options: HostOptions = { userDir: data, pack: await packFolder(data), collect: !whole };
  const host = fork(join(__dirname, 'host.js'), [JSON.stringify(options)], { execArgv: ['--expose-gc'], env: { ...process.env, EXDICOM_DEID_KEY: '' }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const stages = new Map<string, StageFigures>();
  const closed = (name: string): Promise<Load> => new Promise((resolve, reject) => {
    host.removeAllListeners();
    host.on('exit', (code) => { reject(new Error(`Node-RED ended with ${code}`)); });
    host.on('message', (message: FromHost) => {
      if (message.kind === 'failed') reject(new Error(message.message));
      if (message.kind === 'stage') stages.set(message.figures.stage, message.figures);
      if (message.kind === 'closed') {
        // Without a destination every instance is left out, which is an exception.
        if (message.outcome === (wiring.port === undefined ? 'with-exceptions' : 'complete')) resolve(message.load);
        else reject(new Error(`the job ${name} ended as ${message.outcome}`));
      }
    });
  });
  try {
    await new Promise<void>((resolve, reject) => {
      host.on('exit', (code) => { reject(new Error(`Node-RED ended with ${code}`)); });
      host.on('message', (message: FromHost) => {
        if (message.kind === 'ready') resolve();
        if (message.kind === 'failed') reject(new Error(message.message));
      });
    });
    const warm = closed('that warms up');
    give(warmUp, data);
    await warm;
    const done = closed('that is measured');
    give(item, data);
    const job = await done;
    for (const { stage, instances: counted } of stages.values()) if (counted !== instances) throw new Error(`${stage} had ${counted} instances of ${instances}`);
    return { stages, job };
  } finally {
    host.removeAllListeners();
    const ended = new Promise((resolve) => { host.once('exit', resolve); });
    if (host.exitCode === null && host.signalCode === null && host.kill('SIGKILL')) await ended;
    rmSync(data, { recursive: true, force: true });
  }
}
