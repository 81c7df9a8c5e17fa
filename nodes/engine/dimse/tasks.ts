/** What of DIMSE reads bytes of a data set: on worker threads. */
import { identifyFile } from '../dicom/identify';
import type { Identification } from '../dicom/identity';
import type { Task } from '../workers/tasks';
import { writeImplicit } from './to-implicit';
import type { Conversion } from './to-implicit';

const identify = ({ path }: { readonly path: string }): Identification => identifyFile(path);
const toImplicit: Task<Conversion, { readonly length: number }> = writeImplicit;

export const dimseTasks = {
  /** What was received, by its content. */
  'dimse.identify': identify,
  /** For a peer that takes only Implicit VR Little Endian. */
  'dimse.toImplicit': toImplicit,
} satisfies Record<string, Task<never, unknown>>;
