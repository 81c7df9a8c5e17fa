/** What the published typings, written for Node-RED 1.3, lack. */
import '@node-red/registry';

declare module '@node-red/registry' {
  interface NodeMessageParts {
    /** What `join` makes of the sequence. */
    type?: 'array' | 'object' | 'string' | 'buffer' | undefined;
    /** Above 1: each part is a list itself, and `join` makes one list of them. */
    len?: number | undefined;
    /** The sequence around this one. */
    parts?: NodeMessageParts | undefined;
  }
}
