/**
 * One pool of worker threads for the process. Everything that parses, inflates, hashes or rewrites runs here, so that
 * the event loop of Node-RED never waits for a file. A task that breaks its time limit loses its thread, and only its own
 * job fails.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { ExdicomError } from '../errors';
import { endIdle, runApart } from './apart';
import type { TaskInput, TaskName, TaskOutput } from './tasks';
import type { Request, Response } from './worker';

export interface RunOptions {
  /** Ends the task: a queued one is dropped, a running one loses its thread. The promise rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Milliseconds from the moment the task starts on a thread or waits for one. */
  readonly timeLimit: number;
  readonly onProgress?: (done: number, total: number | undefined) => void;
  /** In a process of its own instead of a thread of this one: slower, but whatever it does ends only itself. */
  readonly apart?: boolean;
}

/** Heap bounds of a worker; buffers lie outside and are bounded by the tasks themselves. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: 12 };

/** Milliseconds until an idle thread ends: it holds some 20 MB, and a new one costs half a second of processor time until it is quick. */
const IDLE = 5 * 60_000;

let pool: Piscina<Request, Response> | undefined;

/** How many tasks run side by side. */
export const workerCount = Math.max(2, Math.min(4, availableParallelism()));

function open(): Piscina<Request, Response> {
  pool ??= new Piscina<Request, Response>({
    filename: join(__dirname, 'worker.js'),
    minThreads: 0,
    maxThreads: workerCount,
    idleTimeout: IDLE,
    maxQueue: 10_000,
    resourceLimits: RESOURCE_LIMITS,
    recordTiming: false,
  });
  return pool;
}

/**
 * Runs a task on a worker.
 * @throws {ExdicomError} what the task threw; WORKER_TIMEOUT past the time limit; WORKER_CRASHED when the thread, or the process apart, ended.
 */
export async function runTask<N extends TaskName>(name: N, input: TaskInput<N>, { signal, timeLimit, onProgress, apart = false }: RunOptions): Promise<TaskOutput<N>> {
  signal.throwIfAborted();
  const limit = AbortSignal.timeout(Math.ceil(timeLimit));
  const ending = AbortSignal.any([signal, limit]);
  let response: Response;
  try {
    response = await (apart ? runApart({ name, input }, ending, onProgress) : runOnThread({ name, input }, ending, onProgress));
  } catch (thrown) {
    if (signal.aborted) throw signal.reason;
    if (limit.aborted) throw new ExdicomError('WORKER_TIMEOUT', { detail: name, origin: thrown });
    if (thrown instanceof ExdicomError) throw thrown;
    throw new ExdicomError('WORKER_CRASHED', { detail: name, origin: thrown });
  }
  if (response.ok) return response.output as TaskOutput<N>;
  const { code, ...details } = response.error;
  throw new ExdicomError(code, { ...details, origin: response.origin });
}

async function runOnThread(request: Omit<Request, 'port'>, signal: AbortSignal, onProgress: RunOptions['onProgress']): Promise<Response> {
  const { port1, port2 } = new MessageChannel();
  if (onProgress) port1.on('message', (message: { done: number; total?: number }) => { onProgress(message.done, message.total); });
  try {
    return await open().run({ ...request, port: port2 }, { signal, transferList: [port2] });
  } finally {
    port1.close();
  }
}

/** Ends the pool's threads; the next task opens it anew. For tests and for the last ledger that closes. */
export async function closePool(): Promise<void> {
  const closing = pool;
  pool = undefined;
  endIdle();
  await closing?.destroy();
}
