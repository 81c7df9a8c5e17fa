/** What DIMSE has done on worker threads. */
import type { Task } from '../workers/tasks';
import { writeImplicit } from './to-implicit';

const toImplicit: Task<{ readonly path: string; readonly bytes: number; readonly target: string }, { readonly length: number }> = (input, context) => writeImplicit(input, context);

export const dimseTasks = {
  'dimse.toImplicit': toImplicit,
} satisfies Record<string, Task<never, unknown>>;
