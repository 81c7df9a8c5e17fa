/**
 * What a node is called in the ledger, where a job must find it again: its id, and in front of it where it stands, which a
 * copy that is imported anew has in common with it. See `standIn` in the engine.
 */
import type { Node, Red } from './red';

interface Definition {
  readonly id: string;
  readonly type: string;
  readonly z?: string;
  readonly name?: string;
}

/** `<tab>/<name>#<id>`; of several nodes of one type and name on a tab also which of how many: `<tab>/<name>/2of3#<id>`. */
export function placeOf(RED: Red, node: Node): string {
  const tab: unknown = RED.util.getSetting(node, 'NR_FLOW_NAME');
  const definitions: Definition[] = [];
  RED.nodes.eachNode((definition) => { definitions.push(definition); });
  // Inside a subflow a node's id is that of the instance and its own.
  const own = definitions.find(({ id }) => id === node.id) ?? definitions.find(({ id }) => node.id.endsWith(`-${id}`));
  const name = node.name ?? '';
  const same = own === undefined ? [] : definitions.filter((other) => other.type === own.type && other.z === own.z && (other.name ?? '') === name);
  const which = own === undefined || same.length < 2 ? '' : `/${same.indexOf(own) + 1}of${same.length}`;
  return `${typeof tab === 'string' ? tab : ''}/${name}${which}#${node.id}`;
}
