/**
 * The one way in which a node of this pack takes a message: exactly one `done` for each, whatever the handler does; a throw
 * or a rejection becomes `done(err)`; nothing is sent after close; close ends within three seconds.
 */
import { ExdicomError, toExdicomError } from '../engine/errors';
import type { Message, Node, Outgoing } from './red';

/** Milliseconds that close waits for handlers to notice their signal; Node-RED itself gives up after 15 s. */
const CLOSE_WAIT = 2500;

export interface Arrival {
  readonly message: Message;
  /** Aborts when the node closes. */
  readonly signal: AbortSignal;
  /** To the node's outputs; nothing after close. */
  send(outgoing: Outgoing): void;
  /** Waits for something that others must come by to bring about: others take this message's place among those worked on for that time. */
  aside<T>(wait: () => Promise<T>): Promise<T>;
}

export type Ending = 'done' | 'failed' | 'interrupted';

export interface InputHandler<P> {
  /** Synchronously on arrival, before anything else; what it throws ends the message. */
  arrive(message: Message): P;
  work(arrival: Arrival, presence: P): Promise<void>;
  /** The work failed, and the node is open: record it. What this throws is ignored, but the ending is `interrupted`. */
  fail?(error: ExdicomError, presence: P): Promise<void>;
  /** Where errors are answered on the output and not told to Catch nodes: what is sent. */
  answer?(message: Message, error: ExdicomError): Outgoing;
  /** The message as Catch nodes get it: takes away what they must not see. */
  conceal?(message: Message): void;
  /** Exactly once for each presence, synchronously. */
  leave(presence: P, ending: Ending): void;
  /** Messages worked on side by side; others wait in order. */
  readonly limit?: number;
  /** The node's own closing, beside the handlers'. */
  close(removed: boolean): Promise<void> | void;
}

interface Run<P> {
  readonly message: Message;
  readonly presence: P;
  readonly abort: AbortController;
  readonly send: (outgoing: Outgoing) => void;
  end(ending: Ending, error?: ExdicomError): void;
}

export function handleInput<P>(node: Node, handler: InputHandler<P>): void {
  const limit = handler.limit ?? Number.POSITIVE_INFINITY;
  const inside = new Set<Run<P>>();
  const queue: Run<P>[] = [];
  const working = new Set<Promise<void>>();
  let aside = 0;
  let closed = false;

  const next = (): void => {
    while (working.size - aside < limit) {
      const run = queue.shift();
      if (run === undefined) return;
      const promise = perform(handler, run, stepAside).finally(() => { working.delete(promise); next(); });
      working.add(promise);
    }
  };

  const stepAside: Arrival['aside'] = async (wait) => {
    aside += 1;
    // The caller is not among those at work before it has come back from here.
    queueMicrotask(next);
    try {
      return await wait();
    } finally {
      aside -= 1;
    }
  };

  node.on('input', (message, send, done) => {
    const finish = (error?: ExdicomError): void => {
      quietly(() => {
        if (error !== undefined) handler.conceal?.(message);
        if (error === undefined || handler.answer === undefined) { done(error); return; }
        if (!closed) send(handler.answer(message, error) as Parameters<typeof send>[0]); // readonly arrays, which Node-RED does not change
        done();
      });
    };
    if (closed) {
      // It was on its way here when the node closed; its job must know.
      try { handler.leave(handler.arrive(message), 'interrupted'); } catch { /* a message without a job, or of one that is not there */ }
      finish(new ExdicomError('INTERRUPTED'));
      return;
    }
    let presence: P;
    try {
      presence = handler.arrive(message);
    } catch (thrown) {
      finish(toExdicomError(thrown));
      return;
    }
    const run: Run<P> = {
      message,
      presence,
      abort: new AbortController(),
      send: (outgoing) => { if (!closed) send(outgoing as Parameters<typeof send>[0]); }, // readonly arrays, which Node-RED does not change
      end: (ending, error) => {
        if (!inside.delete(run)) return;
        handler.leave(presence, ending);
        finish(error);
      },
    };
    inside.add(run);
    queue.push(run);
    next();
  });

  node.on('close', (removed: boolean, done: () => void) => {
    closed = true;
    queue.length = 0;
    for (const run of inside) {
      const interrupted = new ExdicomError('INTERRUPTED');
      run.end('interrupted', interrupted);
      run.abort.abort(interrupted);
    }
    const closing = async (): Promise<void> => { await handler.close(removed); };
    void endWithin([...working, closing()], done);
  });
}

async function perform<P>(handler: InputHandler<P>, run: Run<P>, aside: Arrival['aside']): Promise<void> {
  try {
    await handler.work({ message: run.message, signal: run.abort.signal, send: run.send, aside }, run.presence);
    run.end('done');
  } catch (thrown) {
    const error = toExdicomError(thrown);
    if (run.abort.signal.aborted) return;
    try {
      await handler.fail?.(error, run.presence);
      run.end('failed', error);
    } catch {
      run.end('interrupted', error);
    }
  }
}

/** What a Catch or Complete node throws is its own fault, Node-RED has told of it, and nobody here could do anything about it. */
function quietly(action: () => void): void {
  try { action(); } catch { /* see above */ }
}

/** For nodes without an input: the same bounded close. */
export function handleClose(node: Node, close: () => Promise<void> | void): void {
  const closing = async (): Promise<void> => { await close(); };
  node.on('close', (_removed: boolean, done: () => void) => { void endWithin([closing()], done); });
}

/** Calls `done` when all have settled, or the time for closing is over. */
async function endWithin(promises: ReadonlyArray<Promise<unknown>>, done: () => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => { timer = setTimeout(resolve, CLOSE_WAIT); });
  await Promise.race([Promise.allSettled(promises), limit]);
  clearTimeout(timer);
  done();
}
