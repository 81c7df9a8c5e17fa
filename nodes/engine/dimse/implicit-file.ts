/** An Explicit VR Little Endian file for a peer that took only Implicit VR Little Endian (PS3.5, 10.1). */
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runTask } from '../workers/pool';
import { openDataSet } from './part10-file';
import type { DataSetFile, KnownFile } from './part10-file';

/** Milliseconds that any conversion may take, and those for each megabyte. */
const TIME = 30_000;
const TIME_PER_MEGABYTE = 500;

/**
 * Rewrites the headers of a data set on a worker; values are copied. The result lies in `folder` until it is disposed of.
 * @throws {ExdicomError} DICOM_UNREADABLE; NO_CONTEXT where the pixel data is encapsulated; STORAGE_FAILED, DISK_FULL
 */
export async function convertToImplicit(file: KnownFile, folder: string, signal: AbortSignal): Promise<DataSetFile> {
  // Tells a file that is gone or changed at once, in the words of one that is sent as it is.
  openDataSet(file)[Symbol.dispose]();
  const target = join(folder, `${randomUUID()}.implicit`);
  try {
    const { length } = await runTask('dimse.toImplicit', { path: file.path, bytes: file.bytes, target }, { signal, timeLimit: TIME + Math.ceil(TIME_PER_MEGABYTE * file.bytes / 1e6) });
    const fd = openSync(target, 'r');
    return {
      fd, offset: 0, length,
      [Symbol.dispose]: () => {
        closeSync(fd);
        rmSync(target, { force: true });
      },
    };
  } catch (thrown) {
    rmSync(target, { force: true });
    throw thrown;
  }
}
