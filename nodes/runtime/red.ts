/** Node-RED's own types as this pack uses them, with what `@types/node-red` (written for 1.3) lacks or has wrong. */
import type { Node as RedNode, NodeAPI, NodeDef, NodeMessageInFlow } from 'node-red';

declare module '@node-red/registry' {
  interface NodeMessageParts {
    /** What `join` makes of the sequence. */
    type?: 'array' | 'object' | 'string' | 'buffer' | undefined;
    /** Above 1: each part is a list itself, and `join` makes one list of them. */
    len?: number | undefined;
    /** The sequence around this one. */
    parts?: import('node-red').NodeMessageInFlow['parts'];
  }
}

/** `fileWorkingDirectory` is what core's file nodes resolve relative paths against. */
export type Red = NodeAPI & { readonly settings: { readonly userDir?: string; readonly fileWorkingDirectory?: string } };

export type Node<C extends object = object> = RedNode<C>;

/** A node's saved properties: Node-RED's own, and ours, of which an older flow may lack some. */
export type Saved<P extends object> = NodeDef & Partial<P>;

/** A message on a wire. Everything on it is foreign until it has been looked at. */
export type Message = NodeMessageInFlow;

/** What a node sends: a message, or per output a message, several, or none. */
export type Outgoing = Message | ReadonlyArray<Message | readonly Message[] | null>;

/** A configuration node that Catch and Status nodes reach through its users. */
export interface ConfigNode<C extends object = object> extends Node<C> {
  users: Record<string, Node>;
}

/** The node with this id if there is one and it is of this type. A disabled or deleted node is none. */
export function configNode(RED: Red, id: string | undefined, type: string): Node | undefined {
  if (id === undefined || id === '') return undefined;
  const node = RED.nodes.getNode(id) as RedNode | null | undefined; // the typings say it is never null
  return node?.type === type ? node : undefined;
}

/** Reports `node` as a user of `config` until it is disposed of. */
export function useConfig(config: ConfigNode, node: Node): Disposable {
  config.users[node.id] = node;
  return { [Symbol.dispose]: () => { if (config.users[node.id] === node) delete config.users[node.id]; } };
}
