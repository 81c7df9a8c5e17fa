/** A node that comes from the palette finds its configuration node: the one there is, or a new one with its defaults. */
import type { EditorNode } from './red';

/**
 * For `onadd`, where the type's defaults are valid as they are. With several to choose from, the first one that every tab may use
 * is taken; the dialog offers the others. Nodes that are pasted or imported keep what they have.
 */
export function useOrAddConfig(node: EditorNode, property: string, type: string): void {
  const isPasted = RED.nodes.node(node.id) !== null && RED.nodes.node(node.id) !== undefined;
  if (isPasted || (node[property] ?? '') !== '') return;
  node[property] = first(type) ?? add(type);
}

/** As `useOrAddConfig`, where somebody has to fill the configuration node in: it is only taken, never made. */
export function useConfigIfAny(node: EditorNode, property: string, type: string): void {
  const isPasted = RED.nodes.node(node.id) !== null && RED.nodes.node(node.id) !== undefined;
  if (isPasted || (node[property] ?? '') !== '') return;
  node[property] = first(type) ?? '';
}

function first(type: string): string | undefined {
  let found: EditorNode | undefined;
  RED.nodes.eachConfig((config) => {
    if (config.type !== type || config['d'] === true) return;
    if ((config.z ?? '') === '') found ??= config;
  });
  return found?.id;
}

function add(type: string): string {
  const definition = RED.nodes.getType(type);
  if (definition === undefined) return '';
  const values = Object.fromEntries(Object.entries(definition.defaults).map(([name, { value }]) => [name, structuredClone(value)]));
  const config = { ...values, id: RED.nodes.id(), type, z: '', users: [], _def: definition, changed: true, valid: true };
  const dirty = RED.nodes.dirty();
  RED.nodes.add(config);
  RED.history.push({ t: 'add', nodes: [config.id], dirty });
  return config.id;
}
