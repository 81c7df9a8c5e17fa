/** The main job as a flow for tests: folder-in, extract, anonymize, folder-out, finish, and debug nodes that tell what came by. */
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { FlowNode } from './node-red';

export interface MainFlow {
  /** Properties over those of this flow, by node id. */
  readonly change?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly add?: readonly FlowNode[];
}

/** Node ids: ledger, profile, in, extract, anonymize, out, finish, catch, complete, status; debug nodes d-… behind them. */
export function mainFlow({ change = {}, add = [] }: MainFlow = {}): FlowNode[] {
  const debug = (id: string): FlowNode => ({ id, type: 'debug', z: 'f', active: false, wires: [] });
  const nodes: FlowNode[] = [
    { id: 'f', type: 'tab', label: 'main' },
    {
      id: 'ledger', type: 'exdicom-ledger', name: '', directory: 'data', slots: '4', maxParked: '1000', reserve: '1', quiet: '2', retryDelay: '1',
      retryFactor: '1', retryCap: '2', retryJitter: '0', retryAge: '72', retention: '30', quarantineRetention: '0', journalSize: '10', journalDays: '30', journalRetention: '365',
    },
    { id: 'profile', type: 'exdicom-deid-profile', name: 'Basic', scope: '', keyMode: 'kept', keyFile: '', dates: 'shift', maximumShift: '3650', allowedRisks: [], allowedSopClasses: '' },
    { id: 'in', type: 'exdicom-folder-in', z: 'f', ledger: 'ledger', folder: 'inbox', interval: '0.2', stable: '0.2', maxWait: '1', subfolders: true, disposal: 'move', wires: [['extract', 'd-in']] },
    { id: 'extract', type: 'exdicom-extract', z: 'f', ledger: 'ledger', wires: [['anonymize', 'd-extract']] },
    { id: 'anonymize', type: 'exdicom-anonymize', z: 'f', ledger: 'ledger', profile: 'profile', wires: [['out', 'd-anonymize'], ['d-aside']] },
    { id: 'out', type: 'exdicom-folder-out', z: 'f', name: 'archive', ledger: 'ledger', folder: 'received', layout: 'uid', identifiedAllowed: false, wires: [['finish', 'd-out']] },
    { id: 'finish', type: 'exdicom-finish', z: 'f', name: '', required: [], allowLeftOut: false, wires: [['d-finish']] },
    { id: 'catch', type: 'catch', z: 'f', scope: null, uncaught: false, wires: [['d-catch']] },
    { id: 'complete', type: 'complete', z: 'f', scope: ['in', 'extract', 'anonymize', 'out', 'finish'], wires: [['d-complete']] },
    { id: 'status', type: 'status', z: 'f', scope: null, wires: [['d-status']] },
    ...['d-in', 'd-extract', 'd-anonymize', 'd-aside', 'd-out', 'd-finish', 'd-catch', 'd-complete', 'd-status'].map(debug),
  ];
  // Without a position a node counts as a configuration node.
  return [...nodes, ...add].map((node) => ({ ...(node['z'] === undefined ? {} : { x: 0, y: 0 }), ...node, ...change[node.id] }));
}

/** Puts a file into the flow's inbox in one step, as a finished copy. */
export async function drop(userDir: string, name: string, content: Buffer, inbox = join(userDir, 'data', 'inbox')): Promise<void> {
  await mkdir(inbox, { recursive: true });
  await writeFile(join(inbox, `${name}.part`), content);
  await rename(join(inbox, `${name}.part`), join(inbox, name));
}

/** A zip of 24 CT slices of a made-up patient, SAMPLE^PATIENT; each call is another study. */
export async function sampleStudy(folder: string): Promise<Buffer> {
  const { writeSampleStudy } = await import(pathToFileURL(join(process.cwd(), 'scripts', 'sample-study.mjs')).href) as { writeSampleStudy: (path: string) => Promise<void> };
  const path = join(folder, 'sample-study.tmp');
  await writeSampleStudy(path);
  return readFile(path);
}

/** Regular files below a folder, relative to it, sorted; none where there is no folder. */
export async function filesBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).toSorted();
  } catch {
    return [];
  }
}
