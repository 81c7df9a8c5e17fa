/** The shipped example flows, as a test runs them: the same nodes and wires, with shorter pauses. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { FlowNode } from './node-red';

/** Properties over the example's own, by node type. */
export type Changes = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const PATIENCE: Changes = {
  'exdicom-folder-in': { interval: '1', stable: '1', maxWait: '0.1' },
  'exdicom-ledger': { quiet: '5', reserve: '1' },
  'exdicom-c-store-in': { quiet: '2' },
};

/** A flow's nodes with `changes` over PATIENCE. */
export function hurried(nodes: readonly FlowNode[], changes: Changes = {}): FlowNode[] {
  return nodes.map((node) => ({ ...node, ...PATIENCE[node.type], ...changes[node.type] }));
}

/** `examples/flows/<number> - ….json`, hurried. */
export function exampleFlow(number: string, changes: Changes = {}): FlowNode[] {
  const folder = join(process.cwd(), 'examples', 'flows');
  const file = readdirSync(folder).find((name) => name.startsWith(`${number} `));
  if (file === undefined) throw new Error(`no example flow ${number}`);
  return hurried(JSON.parse(readFileSync(join(folder, file), 'utf8')) as FlowNode[], changes);
}

/** The id of the first node of a type. */
export function idOf(flow: readonly FlowNode[], type: string): string {
  const found = flow.find((node) => node.type === type);
  if (found === undefined) throw new Error(`no ${type} in the flow`);
  return found.id;
}
