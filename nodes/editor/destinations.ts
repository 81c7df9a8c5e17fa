/** Names of the destinations in these flows, as the ledger knows them: of the node, else of its PACS. One without a name is known by its address. */
import type { EditorNode } from './red';

export function destinationNames(): string[] {
  const names = new Set<string>();
  RED.nodes.eachNode((node: EditorNode) => {
    if (!/^exdicom-.+-out$/.test(node.type)) return;
    const pacs = typeof node['pacs'] === 'string' ? RED.nodes.node(node['pacs']) : undefined;
    const name = [node['name'], pacs?.['name']].find((given) => typeof given === 'string' && given.trim() !== '');
    if (typeof name === 'string') names.add(name.trim());
  });
  return [...names].sort((a, b) => a.localeCompare(b));
}
