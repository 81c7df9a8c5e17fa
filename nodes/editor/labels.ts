/** What nodes are called on the workspace while they have no name. */

/** A setting as a reader wants to see it: of `${NAME:-default}` the default, of `${NAME}` its name. */
export function shown(value: string | number | undefined): string {
  return String(value ?? '').trim().replace(/\$\{([^}:]+)(?::-([^}]*))?\}/g, (_match, name: string, fallback?: string) => fallback ?? `$${name}`);
}

/** The name, or the short name with what tells this node from its like. */
export function nodeLabel(name: string | undefined, shortName: string, detail = ''): string {
  const given = (name ?? '').trim();
  if (given !== '') return given;
  return detail === '' ? shortName : `${shortName}: ${detail}`;
}

export const nodeLabelStyle = (name: string | undefined): string => ((name ?? '').trim() === '' ? '' : 'node_label_italic');

/** The label of the configuration node with this id; nothing where there is none. */
export function configLabel(id: string | undefined): string {
  const node = id === undefined || id === '' ? undefined : RED.nodes.node(id);
  return node === null || node === undefined ? '' : RED.utils.getNodeLabel(node);
}
