import type { Task } from '../workers/tasks';

export const ledgerTasks = {} satisfies Record<string, Task<never, unknown>>;
