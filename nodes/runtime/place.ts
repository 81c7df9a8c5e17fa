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
  readonly label?: string;
}

/** One node as it runs: inside a subflow there is one for each instance, whose id is in front of its own. */
interface Standing {
  readonly id: string;
  readonly tab: string;
}

/**
 * `<tab>/<name>#<id>`; of several nodes of one type and name on tabs of one name also which of how many:
 * `<tab>/<name>/2of3#<id>`. Those that are disabled count as well: a job of theirs waits for them.
 */
export function placeOf(RED: Red, node: Node): string {
  const label: unknown = RED.util.getSetting(node, 'NR_FLOW_NAME');
  const tab = typeof label === 'string' ? label : '';
  const definitions: Definition[] = [];
  RED.nodes.eachNode((definition) => { definitions.push(definition); });
  // A name may be a variable, which has another value in each instance of a subflow.
  const own = definitions.find(({ id }) => id === node.id) ?? definitions.find(({ id }) => node.id.endsWith(`-${id}`));
  const same = own === undefined ? [] : definitions
    .filter((other) => other.type === own.type && (other.name ?? '') === (own.name ?? ''))
    .flatMap((other) => standings(other, definitions).filter((standing) => standing.tab === tab));
  const which = same.length < 2 ? '' : `/${same.findIndex(({ id }) => id === node.id) + 1}of${same.length}`;
  return `${tab}/${node.name ?? ''}${which}#${node.id}`;
}

function standings({ id, z }: Definition, definitions: readonly Definition[]): readonly Standing[] {
  const around = definitions.find((other) => other.id === z);
  if (around?.type !== 'subflow') return [{ id, tab: around?.label ?? '' }];
  return definitions.filter(({ type }) => type === `subflow:${around.id}`)
    .flatMap((instance) => standings(instance, definitions).map((standing) => ({ id: `${standing.id}-${id}`, tab: standing.tab })));
}
