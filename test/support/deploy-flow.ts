/**
 * A copy of flow 01 with nodes of the user's own between ours, and what an integrator does to a flow while jobs are in it.
 *
 * Two wires leave `extract`: one through a function, one through split and join. Both lead to the same anonymize and the same
 * PACS, so they are two messages about one delivery of each instance: what the first has sent, the second finds done.
 */
import { exampleFlow, idOf } from './example-flow';
import type { FlowNode } from './node-red';

export interface Places {
  readonly data: string;
  /** Port of the PACS, of the peer that answers its queries, and of the flow's own listener. */
  readonly pacs: number;
  readonly query: number;
  readonly listen: number;
}

/** Seconds that the user's delay node holds a message. */
export interface FlowOptions {
  readonly delay?: number;
}

const core = (id: string, type: string, properties: Record<string, unknown>): FlowNode => ({ id, type, x: 0, y: 0, ...properties });

/** Ids of the nodes that a test acts upon. */
export interface Ids {
  readonly tab: string;
  readonly in: string;
  readonly extract: string;
  readonly delay: string;
  readonly anonymize: string;
  readonly out: string;
  readonly finish: string;
  /** Debug nodes behind anonymize and finish, and behind the catch node. */
  readonly prepared: string;
  readonly receipts: string;
  readonly errors: string;
}

export function deployFlow({ data, pacs, query, listen }: Places, { delay = 0 }: FlowOptions = {}): { readonly flow: FlowNode[]; readonly ids: Ids } {
  const example = exampleFlow('01', {
    'exdicom-ledger': { directory: data, quiet: '1', reserve: '1', retryDelay: '0.5', retryFactor: '1', retryCap: '1', retryJitter: '0' },
    'exdicom-folder-in': { interval: '0.2', stable: '0.2', maxWait: '1' },
    'exdicom-pacs': {
      host: '127.0.0.1', port: String(pacs), aet: 'TEST-PACS', callingAet: 'TEST', verification: 'C-FIND',
      queryHost: '127.0.0.1', queryPort: String(query), queryAet: 'TEST-QR', findWait: '30', probeInterval: '1',
    },
    'exdicom-c-store-in': { port: String(listen), quiet: '1' },
  });
  const tab = idOf(example, 'tab');
  const named = (name: string): string => example.find((node) => node.type === 'debug' && node['name'] === name)?.id ?? '';
  const ids: Ids = {
    tab, in: idOf(example, 'exdicom-folder-in'), extract: idOf(example, 'exdicom-extract'), anonymize: idOf(example, 'exdicom-anonymize'),
    out: idOf(example, 'exdicom-c-store-out'), finish: idOf(example, 'exdicom-finish'), delay: 'e1f01000000000f4',
    prepared: named('de-identified'), receipts: named('receipt'), errors: named('error'),
  };
  const [tag, split, join] = ['e1f01000000000f1', 'e1f01000000000f2', 'e1f01000000000f3'];
  const added = [
    core(tag, 'function', { func: 'msg.tagged = true; return msg;', outputs: 1, timeout: 0, noerr: 0, initialize: '', finalize: '', libs: [], wires: [[ids.anonymize]] }),
    core(split, 'split', { splt: '\\n', spltType: 'str', arraySplt: 1, arraySpltType: 'len', stream: false, addname: '', property: 'payload', wires: [[join]] }),
    core(join, 'join', { mode: 'auto', build: 'object', property: 'payload', propertyType: 'msg', key: 'topic', joiner: '\\n', joinerType: 'str', accumulate: false, timeout: '', count: '', reduceRight: false, wires: [[ids.anonymize]] }),
    core(ids.delay, 'delay', { pauseType: 'delay', timeout: String(delay), timeoutUnits: 'seconds', rate: '1', nbRateUnits: '1', rateUnits: 'second', drop: false, outputs: 1, wires: [[ids.out]] }),
  ].map((node) => ({ ...node, z: tab }));
  const wires: Readonly<Record<string, unknown>> = { [ids.extract]: [[tag, split]], [ids.anonymize]: [[ids.delay, ids.prepared], []] };
  return { ids, flow: [...example.map((node) => (node.id in wires ? { ...node, wires: wires[node.id] } : node)), ...added] };
}

const wiresOf = (node: FlowNode): string[][] => (node['wires'] as string[][] | undefined) ?? [];
const change = (flow: readonly FlowNode[], id: string, properties: Readonly<Record<string, unknown>>): FlowNode[] => flow.map((node) => (node.id === id ? { ...node, ...properties } : node));

export const renamed = (flow: readonly FlowNode[], id: string): FlowNode[] => change(flow, id, { name: 'changed' });

export const without = (flow: readonly FlowNode[], id: string): FlowNode[] => flow.filter((node) => node.id !== id).map((node) => (
  node['wires'] === undefined ? node : { ...node, wires: wiresOf(node).map((to) => to.filter((other) => other !== id)) }));

/** Its first output goes through another node of the user's. */
export function rewired(flow: readonly FlowNode[], id: string): FlowNode[] {
  const node = flow.find((one) => one.id === id)!;
  const [first = [], ...rest] = wiresOf(node);
  const through = 'e1f01000000000f5';
  return [
    ...change(flow, id, { wires: [[through], ...rest] }),
    core(through, 'function', { z: node['z'], func: 'return msg;', outputs: 1, timeout: 0, noerr: 0, initialize: '', finalize: '', libs: [], wires: [first] }),
  ];
}

export const disabled = (flow: readonly FlowNode[], tab: string): FlowNode[] => change(flow, tab, { disabled: true });

/** As "selection to subflow" does it. */
export function inSubflow(flow: readonly FlowNode[], id: string): FlowNode[] {
  const node = flow.find((one) => one.id === id)!;
  const [subflow, instance] = ['e1f01000000000f6', 'e1f01000000000f7'];
  const outputs = wiresOf(node);
  const source = flow.every((other) => !wiresOf(other).flat().includes(id));
  const { g: _group, ...inside } = node;
  return [
    { id: subflow, type: 'subflow', name: 'Moved', info: '', category: '', env: [], in: source ? [] : [{ x: 0, y: 0, wires: [{ id }] }], out: outputs.map((_, port) => ({ x: 0, y: 0, wires: [{ id, port }] })) },
    ...flow.filter((other) => other.id !== id).map((other) => (other['wires'] === undefined ? other : { ...other, wires: wiresOf(other).map((to) => to.map((one) => (one === id ? instance : one))) })),
    { ...inside, z: subflow, wires: outputs.map(() => []) },
    { id: instance, type: `subflow:${subflow}`, z: node['z'], name: '', x: 0, y: 0, wires: outputs },
  ];
}

/** What `imported` makes of an id. */
export const importedId = (id: string): string => `a${id.slice(1)}-`.replaceAll('-', '9');

/** The same with other ids throughout, as an import makes them. */
export function imported(flow: readonly FlowNode[]): FlowNode[] {
  const ids = new Set(flow.map(({ id }) => id));
  const anew = (value: unknown, property: string): unknown => {
    if (typeof value === 'string') return ids.has(value) && property !== 'type' && property !== 'name' ? importedId(value) : value;
    if (Array.isArray(value)) return value.map((one) => anew(one, property));
    return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, anew(one, key)])) : value;
  };
  return flow.map((node) => anew(node, '') as FlowNode);
}
