import type { Task } from '../workers/tasks';

export const archiveTasks = {} satisfies Record<string, Task<never, unknown>>;
