/** One node without a runtime: drives its input and close, and notes what it sends, ends and shows. */
import { EventEmitter } from 'node:events';
import type { Message, Node, Red } from '../../nodes/runtime/red';

type Send = (message: unknown) => void;
type Done = (error?: Error) => void;
type Input = (message: Message, send: Send, done: Done) => void;

export class FakeNode {
  readonly id: string;
  readonly type: string;
  readonly z = '';
  name: string | undefined;
  readonly sent: unknown[] = [];
  readonly endings: Array<Error | 'done'> = [];
  readonly statuses: Array<{ text?: string; fill?: string }> = [];
  readonly errors: unknown[] = [];
  readonly wires: string[][] = [];
  readonly #close: Array<(removed: boolean, done: () => void) => void> = [];
  #input: Input | undefined;

  constructor(type = 'exdicom-test', id = 'node1') {
    this.type = type;
    this.id = id;
  }

  /** As Node-RED's: close handlers are told apart by their number of parameters. */
  on(event: string, handler: (...values: never[]) => void): this {
    if (event === 'input') this.#input = handler as unknown as Input;
    else if (event === 'close') {
      const close = handler as unknown as (...values: unknown[]) => void;
      this.#close.push((removed, done) => {
        if (close.length === 2) close(removed, done);
        else if (close.length === 1) close(done);
        else { close(); done(); }
      });
    }
    return this;
  }

  send(message: unknown): void { this.sent.push(message); }
  status(status: { text?: string; fill?: string }): void { this.statuses.push(status); }
  error(error: unknown): void { this.errors.push(error); }
  receive(message: object): void { this.input(message); }

  /** A message arrives. */
  input(message: object): void {
    this.#input?.({ _msgid: 'm', ...message }, (sent) => { this.sent.push(sent); }, (error) => { this.endings.push(error ?? 'done'); });
  }

  async close(removed = false): Promise<void> {
    await Promise.all(this.#close.map((close) => new Promise<void>((resolve) => { close(removed, resolve); })));
  }

  asNode(): Node { return this as unknown as Node; } // has what the pack uses of it
}

/** A runtime that only looks up variables and nodes. */
export function fakeRed({ variables = {}, nodes = {} }: { variables?: Record<string, string>; nodes?: Record<string, FakeNode> } = {}): Red {
  const red = {
    util: { getSetting: (_node: unknown, name: string) => variables[name], cloneMessage: (message: object) => structuredClone(message) },
    nodes: { getNode: (id: string) => nodes[id] ?? null, eachNode: () => undefined },
    events: new EventEmitter(),
    settings: { userDir: '/user' },
  };
  return red as unknown as Red; // has what the tests use of it
}

/** Until it holds; fails the test by its runner's own limit if it never does. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => { setTimeout(resolve, 5); });
}
