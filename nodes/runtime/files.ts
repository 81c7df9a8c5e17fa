/** The DICOM files that a message in mid-flow is about, and what an out node notes on it. */
import { ExdicomError } from '../engine/errors';
import type { Delivered, DicomFile } from '../engine/model';
import { runTask } from '../engine/workers/pool';
import { unpackSpool } from './message-job';
import { partsOf } from './payload';
import type { Message } from './red';
import type { JobArrival } from './stage';

/** Milliseconds for reading the headers of a flow's own files. */
const TIME_LIMIT = 10 * 60_000;

/**
 * `msg.payload` as DicomFiles. What a message brought along by itself is unpacked first; a path in mid-flow is read and
 * counts as added by the flow.
 * @throws {ExdicomError} NOTHING_TO_DO, NO_DICOM and the like where a path is no DICOM file.
 */
export async function filesOf(arrival: JobArrival): Promise<readonly DicomFile[]> {
  const parts = partsOf(arrival.message.payload);
  const paths = parts.flatMap((part) => (part.kind === 'path' ? [part.path] : []));
  if (paths.length === 0) return parts.flatMap((part) => (part.kind === 'file' ? [part.file] : []));
  const own = await unpackSpool(arrival, paths);
  if (own !== undefined) return own;
  const described = await runTask('folder.describe', { paths }, { signal: arrival.signal, timeLimit: TIME_LIMIT, onProgress: (done, total) => { arrival.progress.report(done, total); } });
  let next = 0;
  return parts.map((part) => {
    if (part.kind === 'file') return part.file;
    const description = described[next++];
    if (description?.ok !== true) throw new ExdicomError(description?.code ?? 'INTERNAL', { detail: 'a path in msg.payload' });
    return description.file;
  });
}

/** The message with this destination's entry in `msg.delivered`; what other destinations noted stays. */
export function withDelivered(message: Message, label: string, delivered: Delivered): Message {
  const before = message['delivered'];
  message['delivered'] = { ...(typeof before === 'object' ? before : {}), [label]: delivered };
  return message;
}
