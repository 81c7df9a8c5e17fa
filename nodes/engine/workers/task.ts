/** What a task is: plain data in, plain data out, on a worker thread. */

/** What a task may use while it runs. Tasks are synchronous or asynchronous, and alone on their thread. */
export interface TaskContext {
  /** Tell the caller how far the task is; throttled by the worker. */
  progress(done: number, total?: number): void;
}

export type Task<I, O> = (input: I, context: TaskContext) => O | Promise<O>;
