/** What runs on a worker thread: looks the task up, does it, and turns what it throws into plain facts. */
import type { MessagePort } from 'node:worker_threads';
import { toExdicomError } from '../errors';
import type { ExdicomError } from '../errors';
import { areas } from './tasks';
import type { Task } from './task';

export interface Request {
  readonly name: string;
  readonly input: unknown;
  readonly port: MessagePort;
}

/** A thread boundary keeps no class and no own property of an Error, so results and errors travel as data. */
export type Response =
  | { readonly ok: true; readonly output: unknown }
  | { readonly ok: false; readonly error: ReturnType<ExdicomError['toDetails']>; readonly origin: string };

const PROGRESS_INTERVAL = 200;

export default async function work({ name, input, port }: Request): Promise<Response> {
  let told = 0;
  const progress = (done: number, total?: number): void => {
    const now = Date.now();
    if (now - told < PROGRESS_INTERVAL && done !== total) return;
    told = now;
    port.postMessage(total === undefined ? { done } : { done, total });
  };
  try {
    const task = areas[name.slice(0, name.indexOf('.'))]?.()[name] as Task<unknown, unknown> | undefined;
    if (task === undefined) throw new TypeError(`no task ${name}`);
    return { ok: true, output: await task(input, { progress }) };
  } catch (thrown) {
    const origin = thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
    return { ok: false, error: toExdicomError(thrown).toDetails(), origin };
  } finally {
    port.close();
  }
}
