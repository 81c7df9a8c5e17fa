/** What DIMSE has done on worker threads: whatever reads the bytes of a data set. */
import { identifyFile } from '../dicom/identify';
import type { Identification } from '../dicom/identity';
import type { Task } from '../workers/tasks';
import { writeImplicit } from './to-implicit';

const toImplicit: Task<{ readonly path: string; readonly bytes: number; readonly target: string }, { readonly length: number }> = (input, context) => writeImplicit(input, context);
const identify: Task<{ readonly path: string }, Identification> = ({ path }) => identifyFile(path);

export const dimseTasks = {
  'dimse.toImplicit': toImplicit,
  /** What was received, by its content. */
  'dimse.identify': identify,
} satisfies Record<string, Task<never, unknown>>;
