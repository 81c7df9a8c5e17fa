/**
 * Tasks in a process of their own: for a job that was at work when the process died. What such a task does to its process it
 * does to nobody else, and its end is evidence against the job, which a death of the whole process, by whatever hand, is not.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { ExdicomError } from '../errors';
import type { Response } from './worker';

export interface ApartRequest {
  readonly name: string;
  readonly input: unknown;
}

export type FromApart =
  | { readonly kind: 'progress'; readonly done: number; readonly total: number | undefined }
  | { readonly kind: 'response'; readonly response: Response };

/** Milliseconds until an idle process ends. */
const IDLE = 5000;

/** One task at a time, so that a death is that task's. */
const idle = new Map<ChildProcess, NodeJS.Timeout>();

function start(): ChildProcess {
  // Not our own options: a debugger's port is taken.
  const child = fork(join(__dirname, 'apart-process.js'), [], { execArgv: [], serialization: 'advanced', stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  // What is said of a process that is given up already concerns nobody.
  child.on('error', () => undefined);
  child.unref();
  return child;
}

function rest(child: ChildProcess): void {
  idle.set(child, setTimeout(() => { end(child); }, IDLE).unref());
  child.channel?.unref();
}

function end(child: ChildProcess): void {
  clearTimeout(idle.get(child));
  idle.delete(child);
  child.kill('SIGKILL');
}

function take(): ChildProcess {
  for (const [child, timer] of idle) {
    clearTimeout(timer);
    idle.delete(child);
    if (!child.connected) continue;
    child.channel?.ref();
    return child;
  }
  return start();
}

/**
 * Runs a task in a process of its own.
 * @throws {ExdicomError} WORKER_CRASHED when the process ended; STORAGE_FAILED when none could be started; the signal's reason
 */
export async function runApart(request: ApartRequest, signal: AbortSignal, onProgress?: (done: number, total: number | undefined) => void): Promise<Response> {
  signal.throwIfAborted();
  const child = take();
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const heard = (message: FromApart): void => {
    if (message.kind === 'progress') onProgress?.(message.done, message.total);
    else resolve(message.response);
  };
  const failed = (error: NodeJS.ErrnoException): void => {
    reject(child.pid === undefined ? new ExdicomError('STORAGE_FAILED', { detail: 'no process could be started', origin: error }) : new ExdicomError('WORKER_CRASHED', { detail: request.name, origin: error }));
  };
  const exited = (): void => { reject(new ExdicomError('WORKER_CRASHED', { detail: request.name })); };
  const aborted = (): void => { reject(signal.reason as Error); };
  child.on('message', heard).on('error', failed).once('exit', exited);
  signal.addEventListener('abort', aborted, { once: true });
  try {
    child.send(request, (error) => { if (error !== null) failed(error); });
    const response = await promise;
    rest(child);
    return response;
  } catch (thrown) {
    end(child);
    throw thrown;
  } finally {
    signal.removeEventListener('abort', aborted);
    child.off('message', heard).off('exit', exited).off('error', failed);
  }
}

/** Ends the processes that have nothing to do. */
export function endIdle(): void {
  for (const child of idle.keys()) end(child);
}
