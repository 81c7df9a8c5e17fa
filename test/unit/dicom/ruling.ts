/** Rules for tests. */
import type { Action, ElementView, NewElement, Refusal, Rules, Tag } from '../../../nodes/engine/dicom/rewrite-types';

export const KEEP: Action = { kind: 'keep' };
export const REMOVE: Action = { kind: 'remove' };
export const EMPTY: Action = { kind: 'empty' };
export const RECURSE: Action = { kind: 'recurse' };
export const replace = (value: string | Buffer, vr?: string): Action =>
  ({ kind: 'replace', value: typeof value === 'string' ? Buffer.from(value, 'latin1') : value, ...(vr === undefined ? {} : { vr }) });

export interface Given {
  readonly wanted?: readonly Tag[];
  readonly begin?: (...arguments_: Parameters<Rules['begin']>) => Refusal | undefined;
  readonly element?: (view: ElementView) => Action;
  readonly additions?: readonly NewElement[];
  readonly fileMeta?: readonly NewElement[];
}

/** Keeps everything but what is given. */
export function rules({ wanted = [], begin, element, additions = [], fileMeta = [] }: Given = {}): Rules {
  return {
    wanted,
    begin: begin ?? (() => undefined),
    element: element ?? (() => KEEP),
    additions: () => additions,
    fileMeta: () => fileMeta,
  };
}

/** Recurses into every sequence and does to each tag what the table says, at any depth. */
export const byTag = (table: Readonly<Record<Tag, Action>>): ((view: ElementView) => Action) =>
  (view) => table[view.tag] ?? (view.vr === 'SQ' ? RECURSE : KEEP);
