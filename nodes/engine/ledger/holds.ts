/** Which sources and destinations a person holds: at hand at once, and durable before anybody obeys. */
import type { SourceKey } from '../model';
import type { Hold, HoldMode, HoldTarget } from './ledger-types';

const nameOf = (target: HoldTarget): string => ('source' in target ? `source ${target.source}` : `destination ${target.destination}`);

export class Holds {
  readonly #holds = new Map<string, Hold>();

  load(holds: readonly Hold[]): void {
    this.#holds.clear();
    for (const hold of holds) this.#holds.set(nameOf(hold.target), hold);
  }

  /** Of a destination by its address. */
  mode(target: HoldTarget): HoldMode | undefined {
    return this.#holds.get(nameOf(target))?.mode;
  }

  /** Whether the jobs of a source are sent. */
  sends(sourceKey: SourceKey): boolean {
    return this.mode({ source: sourceKey }) !== 'pause';
  }

  all(): readonly Hold[] {
    return [...this.#holds.values()];
  }
}
