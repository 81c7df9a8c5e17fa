/** What of DIMSE reads bytes of a data set: on worker threads. */
import { identifyFile } from '../dicom/identify';
import type { Identification } from '../dicom/identity';
import type { Task } from '../workers/task';
import { reencode } from './reencode';
import type { Reencoding } from './reencode';

const identify = ({ path }: { readonly path: string }): Identification => identifyFile(path);
const rewriteHeaders: Task<Reencoding, { readonly length: number }> = reencode;

export const dimseTasks = {
  /** What was received, by its content. */
  'dimse.identify': identify,
  /** For a peer that takes it in no other way. */
  'dimse.reencode': rewriteHeaders,
} satisfies Record<string, Task<never, unknown>>;
