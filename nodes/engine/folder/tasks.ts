import type { Task } from '../workers/tasks';

export const folderTasks = {} satisfies Record<string, Task<never, unknown>>;
