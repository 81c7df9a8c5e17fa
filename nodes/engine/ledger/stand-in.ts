/**
 * Nodes come and go with every deploy, and jobs remember them by a key `<kind>:<place>#<id>`. The same id is the same node; an
 * id inside a subflow ends with the one that the node had before it was moved; a node that was imported anew has another id
 * and stands in the same place. Where two could be meant, none is: a job must not get into another flow by a guess.
 */
const AT = /^([^:]+:)(.*)#([^#]*)$/s;

interface Parts {
  readonly kind: string;
  readonly place: string;
  readonly id: string;
}

function partsOf(key: string): Parts | undefined {
  const [, kind, place, id] = AT.exec(key) ?? [];
  return kind === undefined || place === undefined || id === undefined ? undefined : { kind, place, id };
}

/** Of `keys` the one that `key` means now; undefined where it is gone. Keys of kinds other than `kind` mean only themselves. */
export function standIn<K extends string>(kind: string, key: K, keys: Iterable<K>): K | undefined {
  const all = [...keys];
  if (all.includes(key)) return key;
  const meant = partsOf(key);
  if (meant?.kind !== `${kind}:`) return undefined;
  const others = all.flatMap((other) => {
    const parts = partsOf(other);
    return parts?.kind === meant.kind ? [{ other, parts }] : [];
  });
  const ways: ReadonlyArray<(parts: Parts) => boolean> = [
    ({ id }) => id === meant.id,
    ({ id }) => id.endsWith(`-${meant.id}`) || meant.id.endsWith(`-${id}`),
    ({ place }) => place === meant.place,
  ];
  for (const way of ways) {
    const found = others.filter(({ parts }) => way(parts));
    if (found.length > 0) return found.length === 1 ? found[0]!.other : undefined;
  }
  return undefined;
}
