/** The process of one task at a time: see `apart.ts`. The task is on a thread, so that this one can end it at any moment. */
import { writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { toExdicomError } from '../errors';
import type { ApartRequest, FromApart } from './apart';
import { runTask } from './pool';
import type { TaskInput, TaskName } from './tasks';

const MEGABYTE = 1 << 20;
/** Milliseconds between two looks at the memory. */
const LOOK = 100;
/** Where to stop, in bytes: what a task may need is bounded, and half of what there is leaves room for Node-RED. */
const MOST = Math.min(4096 * MEGABYTE, Math.max(512 * MEGABYTE, Math.min(process.constrainedMemory() || Infinity, totalmem()) / 2));
/** The parent's own limit comes first. */
const NO_LIMIT = 2 ** 31 - 1;

const end = (): void => { process.kill(process.pid, 'SIGKILL'); };
const say = (message: FromApart): void => { process.send?.(message); };

async function perform({ name, input }: ApartRequest): Promise<void> {
  try {
    // Both were checked by the caller's types before they crossed to this process.
    const output = await runTask(name as TaskName, input as TaskInput<TaskName>, {
      signal: new AbortController().signal, timeLimit: NO_LIMIT,
      onProgress: (done, total) => { say({ kind: 'progress', done, total }); },
    });
    say({ kind: 'response', response: { ok: true, output } });
  } catch (thrown) {
    say({ kind: 'response', response: { ok: false, error: toExdicomError(thrown).toDetails(), origin: thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown) } });
  }
}

// Its parent was killed: nobody waits for the result, and another process may be at the same files soon.
process.on('disconnect', end);
process.on('message', (request: ApartRequest) => { void perform(request); });
setInterval(() => { if (process.memoryUsage.rss() > MOST) end(); }, LOOK);
// Where memory runs out, the system is to end this process and not its parent.
try { writeFileSync('/proc/self/oom_score_adj', '1000'); } catch { /* no Linux */ }
