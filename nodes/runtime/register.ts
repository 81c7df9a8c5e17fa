/** Registers a node type of this pack: what happens with `this` stays here. */
import type { Node, Red, Saved } from './red';

type CredentialKinds<C extends object> = { readonly [K in keyof C]: { readonly type: 'password' } };

/** `build` gets the created node and its saved properties; it must not throw, since Node-RED would drop the node without a trace. */
export function register<P extends object, C extends object = object>(
  RED: Red, type: `exdicom-${string}`, build: (node: Node<C>, saved: Saved<P>) => void, credentials?: CredentialKinds<C>,
): void {
  const construct = function construct(this: Node<C>, saved: Saved<P>): void {
    RED.nodes.createNode(this, saved);
    build(this, saved);
  };
  RED.nodes.registerType<Node<C>, Saved<P>, object, C>(type, construct, credentials === undefined ? {} : { credentials });
}
