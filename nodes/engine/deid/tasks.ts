import type { Task } from '../workers/tasks';

export const deidTasks = {} satisfies Record<string, Task<never, unknown>>;
