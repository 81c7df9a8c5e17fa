/** Deleting originals at once is allowed only where every destination proves more than its response. */
import { ExdicomError } from '../engine/errors';
import type { Red } from '../runtime/red';

interface Definition {
  readonly id: string;
  readonly type: string;
  readonly d?: boolean;
  readonly wires?: ReadonlyArray<readonly string[]>;
  readonly links?: readonly string[];
  readonly pacs?: string;
  readonly verification?: string;
}

/**
 * Follows the wires and links from a source to its `c-store-out` nodes. A flow that goes other ways is judged again when the
 * job closes, by the levels that were reached.
 * @throws {ExdicomError} CONFIG_INVALID where one of them takes the response for proof.
 */
export function checkDeletion(RED: Red, source: string): void {
  const definitions = new Map<string, Definition>();
  RED.nodes.eachNode((definition) => { definitions.set(definition.id, definition); });
  const reached = new Set<string>();
  const queue = [source];
  for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
    const node = definitions.get(id);
    if (node === undefined || reached.has(id)) continue;
    reached.add(id);
    queue.push(...(node.wires ?? []).flat(), ...(node.type === 'link out' ? node.links ?? [] : []));
    const pacs = node.type === 'exdicom-c-store-out' && node.d !== true ? definitions.get(node.pacs ?? '') : undefined;
    if (pacs?.verification === 'response') {
      throw new ExdicomError('CONFIG_INVALID', { detail: 'disposal: a destination is verified by its response only, so originals are moved, not deleted' });
    }
  }
}
