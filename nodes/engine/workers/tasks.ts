/** Which tasks a worker can do. Each area of the engine brings its own; a worker loads an area when it first needs it. */
import type { archiveTasks } from '../archive/tasks';
import type { deidTasks } from '../deid/tasks';
import type { dimseTasks } from '../dimse/tasks';
import type { folderTasks } from '../folder/tasks';
import type { ledgerTasks } from '../ledger/tasks';
import type { Task } from './task';

export type Tasks = typeof archiveTasks & typeof deidTasks & typeof dimseTasks & typeof folderTasks & typeof ledgerTasks;
export type TaskName = keyof Tasks;
export type TaskInput<N extends TaskName> = Parameters<Tasks[N]>[0];
export type TaskOutput<N extends TaskName> = Awaited<ReturnType<Tasks[N]>>;

/** Areas by the part of a task's name before the dot. */
export const areas: Readonly<Record<string, () => Readonly<Record<string, Task<never, unknown>>>>> = {
  archive: () => (require('../archive/tasks') as typeof import('../archive/tasks')).archiveTasks,
  deid: () => (require('../deid/tasks') as typeof import('../deid/tasks')).deidTasks,
  dimse: () => (require('../dimse/tasks') as typeof import('../dimse/tasks')).dimseTasks,
  folder: () => (require('../folder/tasks') as typeof import('../folder/tasks')).folderTasks,
  ledger: () => (require('../ledger/tasks') as typeof import('../ledger/tasks')).ledgerTasks,
};
