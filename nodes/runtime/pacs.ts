/** A `pacs` config node, as other nodes see it. */
import { ExdicomError } from '../engine/errors';
import type { CircuitState } from '../engine/dimse/circuit';
import type { PacsSettings } from '../engine/dimse/peer';
import { configNode } from './red';
import type { ConfigNode, Red } from './red';

export interface PacsNode extends ConfigNode {
  /** Absent where they are not valid; then `failure` says why. */
  readonly settings?: PacsSettings;
  readonly failure?: ExdicomError;
  /** The C-ECHO at start: undefined when it was answered, else why not. */
  readonly reachable?: Promise<ExdicomError | undefined>;
  /** Calls at every change of its circuit: undefined where it is closed. */
  onCircuit?(listener: (state: CircuitState | undefined) => void): Disposable;
}

/** @throws {ExdicomError} CONFIG_INVALID where none is chosen, or it is disabled or not valid. */
export function pacsNode(RED: Red, id: string | undefined): PacsNode & { readonly settings: PacsSettings } {
  const node = configNode(RED, id, 'exdicom-pacs') as PacsNode | undefined; // registered under this type by nodes/pacs alone
  if (node === undefined) throw new ExdicomError('CONFIG_INVALID', { detail: 'pacs' });
  if (node.settings === undefined) throw node.failure ?? new ExdicomError('CONFIG_INVALID', { detail: 'pacs' });
  return node as PacsNode & { readonly settings: PacsSettings };
}
