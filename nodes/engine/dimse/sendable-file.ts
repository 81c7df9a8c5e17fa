/** An instance's file as it can be sent: as it lies on disk, or rewritten where it cannot go so. */
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { TRANSFER_SYNTAXES } from '../dicom/transfer-syntaxes';
import { ExdicomError } from '../errors';
import { runTask } from '../workers/pool';
import type { ChosenContext } from './contexts';
import { openDataSet } from './part10-file';
import type { DataSetFile, KnownFile } from './part10-file';
import type { Headers } from './reencode';

/** Milliseconds that any rewriting may take, and those for each megabyte. */
const TIME = 30_000;
const TIME_PER_MEGABYTE = 500;

export interface Scratch {
  readonly signal: AbortSignal;
  /** A folder of ours for what is rewritten. */
  readonly scratch?: () => Promise<string>;
}

/**
 * Opens a file for sending. What is rewritten for it lies in the scratch folder until it is disposed of.
 * @throws {ExdicomError} STORAGE_FAILED, DISK_FULL; DICOM_UNREADABLE; NO_CONTEXT where it can not be made what the peer takes
 */
export async function openSendable(item: KnownFile & { readonly transferSyntaxUID: string }, encoding: ChosenContext['encoding'], context: Scratch): Promise<DataSetFile> {
  const file = openDataSet(item);
  if (encoding === 'as-is' && file.length % 2 === 0) return file;
  file[Symbol.dispose]();
  if (encoding === 'to-implicit') return rewritten(item, 'explicit', 'implicit', context);
  // No fragment may have an odd length (PS3.8, 9.3.5.1), and DCMTK aborts the association for one.
  const headers = headersOf(item.transferSyntaxUID);
  if (headers === undefined) throw new ExdicomError('DICOM_UNREADABLE', { stage: 'deliver', detail: 'data set of an odd length' });
  return rewritten(item, headers, headers, context);
}

function headersOf(transferSyntaxUID: string): Headers | 'bytes' | undefined {
  const syntax = TRANSFER_SYNTAXES.get(transferSyntaxUID);
  if (syntax === undefined || syntax.bigEndian) return undefined;
  if (syntax.deflated) return 'bytes';
  return syntax.explicit ? 'explicit' : 'implicit';
}

async function rewritten(file: KnownFile, from: Headers | 'bytes', to: Headers | 'bytes', { scratch, signal }: Scratch): Promise<DataSetFile> {
  if (scratch === undefined) throw new ExdicomError('NO_CONTEXT', { detail: 'it cannot be sent as it lies on disk, and there is no folder to rewrite it in' });
  const target = join(await scratch(), `${randomUUID()}.sending`);
  // Made here and only opened by the worker: one that is ended late cannot leave it behind.
  const fd = openSync(target, 'wx+', 0o600);
  const dispose = (): void => {
    closeSync(fd);
    rmSync(target, { force: true });
  };
  try {
    const { path, bytes } = file;
    const { length } = await runTask('dimse.reencode', { path, bytes, target, from, to }, { signal, timeLimit: TIME + Math.ceil(TIME_PER_MEGABYTE * bytes / 1e6) });
    return { fd, offset: 0, length, [Symbol.dispose]: dispose };
  } catch (thrown) {
    dispose();
    throw thrown;
  }
}
