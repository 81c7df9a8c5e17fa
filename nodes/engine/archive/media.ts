/** What a DICOMDIR names against what is there (PS3.10, 8: File IDs are relative to the folder of the DICOMDIR). */

/** One spelling for names that a medium, its copy and its index write differently: case, `;1` of ISO 9660, a trailing dot. */
const normal = (name: string): string => name.replaceAll('\\', '/').toLowerCase().replaceAll(/\.?(?:;\d+)?(?=\/|$)/gu, '').replace(/^(?:\.?\/)+/u, '');

/**
 * @param index name of the DICOMDIR's entry.
 * @param references its Referenced File IDs (0004,1500), each as its components.
 * @param names of all entries of the job.
 * @returns how many referenced files are not there.
 */
export function missingReferences(index: string, references: ReadonlyArray<readonly string[]>, names: ReadonlySet<string>): number {
  const folder = normal(index).split('/').slice(0, -1);
  return new Set(references.map((components) => [...folder, normal(components.join('/'))].join('/'))).difference(names).size;
}

/** The names of all entries, for `missingReferences`. */
export function mediaNames(names: Iterable<string>): ReadonlySet<string> {
  return new Set(Array.from(names, normal));
}
