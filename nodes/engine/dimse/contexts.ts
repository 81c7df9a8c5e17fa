/** Which presentation contexts are proposed, and which of those accepted an instance goes to. */
import { EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN } from '../dicom/transfer-syntaxes';
import { MAX_CONTEXTS } from './pdu';
import type { ProposedContext } from './pdu';

export interface HasSyntax {
  readonly sopClassUID: string;
  readonly transferSyntaxUID: string;
}

/** Instances that fit one association, with the contexts it proposes. */
export interface ContextGroup<T> {
  readonly contexts: readonly ProposedContext[];
  readonly items: readonly T[];
}

/**
 * One context per SOP Class and transfer syntax, and one Implicit VR Little Endian context per SOP Class (PS3.5, 10.1), in
 * the order in which the instances ask for them; a further group where an association has no more room.
 */
export function planContexts<T extends HasSyntax>(items: readonly T[]): ContextGroup<T>[] {
  const groups: Array<{ contexts: ProposedContext[]; items: T[] }> = [];
  const groupOf = new Map<string, { contexts: ProposedContext[]; items: T[] }>();
  for (const item of items) {
    const key = keyOf(item.sopClassUID, item.transferSyntaxUID);
    let group = groupOf.get(key);
    if (group === undefined) {
      group = groups.find((open) => open.contexts.length + missing(open.contexts, item).length <= MAX_CONTEXTS);
      if (group === undefined) groups.push(group = { contexts: [], items: [] });
      for (const transferSyntax of missing(group.contexts, item)) {
        group.contexts.push({ id: 2 * group.contexts.length + 1, abstractSyntax: item.sopClassUID, transferSyntax });
      }
      groupOf.set(key, group);
    }
    group.items.push(item);
  }
  return groups;
}

const keyOf = (sopClassUID: string, transferSyntaxUID: string): string => `${sopClassUID} ${transferSyntaxUID}`;

function missing(contexts: readonly ProposedContext[], { sopClassUID, transferSyntaxUID }: HasSyntax): string[] {
  return [...new Set([transferSyntaxUID, IMPLICIT_VR_LITTLE_ENDIAN])]
    .filter((wanted) => !contexts.some(({ abstractSyntax, transferSyntax }) => abstractSyntax === sopClassUID && transferSyntax === wanted));
}

export interface ChosenContext {
  readonly id: number;
  /** `as-is`: its bytes as they are. `to-implicit`: its headers must be rewritten first. */
  readonly encoding: 'as-is' | 'to-implicit';
}

/** What an association takes. A context counts only where the peer accepted the very transfer syntax that was proposed. */
export class AcceptedContexts {
  readonly #ids = new Map<string, number>();

  constructor(proposed: readonly ProposedContext[], accepted: ReadonlyMap<number, string>) {
    for (const { id, abstractSyntax, transferSyntax } of proposed) {
      if (accepted.get(id) === transferSyntax) this.#ids.set(keyOf(abstractSyntax, transferSyntax), id);
    }
  }

  choose({ sopClassUID, transferSyntaxUID }: HasSyntax): ChosenContext | undefined {
    const exact = this.#ids.get(keyOf(sopClassUID, transferSyntaxUID));
    if (exact !== undefined) return { id: exact, encoding: 'as-is' };
    const implicit = this.#ids.get(keyOf(sopClassUID, IMPLICIT_VR_LITTLE_ENDIAN));
    return implicit === undefined || transferSyntaxUID !== EXPLICIT_VR_LITTLE_ENDIAN ? undefined : { id: implicit, encoding: 'to-implicit' };
  }
}
