/** `folder-out`: a job's instances into a folder, each written whole and verified by its digest. */
import { mkdir, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { ERRORS, ExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import { DestinationHold } from '../ledger/hold';
import type { DeliveryResult, DestinationInfo, Ledger, PlannedDelivery } from '../ledger/ledger-types';
import type { Delivered, DicomFile, JobToken } from '../model';
import { turns } from '../turns';
import { runTask } from '../workers/pool';
import type { CopyOrder } from './tasks';

export interface FolderDestination extends DestinationInfo {
  /** Absolute path. */
  readonly folder: string;
  /**
   * `uid`: `<StudyInstanceUID>/<SOPInstanceUID>.dcm`, where the ledger vouches that these are not the original ones, which it
   * does where identified data is not allowed; else, and with `number`: `<job>/<instance>.dcm`.
   */
  readonly layout: 'uid' | 'number';
}

export interface FolderDelivery {
  readonly ledger: Ledger;
  readonly token: JobToken;
  readonly destination: FolderDestination;
  readonly files: readonly DicomFile[];
  readonly signal: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Files in one task, and milliseconds that it may take. */
const BATCH = 32;
const TIME_LIMIT = 30 * 60_000;
/** PS3.5, 9.1, and no component that a file system understands otherwise. */
const UID = /^[0-9]+(?:\.[0-9]+)+$/;

/** The address by which the ledger knows a destination folder. */
export const folderAddress = (folder: string): string => `folder:${folder}`;

/**
 * Delivers what this destination does not have yet.
 * @throws {ExdicomError} the retryable failure that is left (STORAGE_FAILED, DISK_FULL, VERIFY_DIGEST), with the
 *   destination; what failed for good is in the answer's `failed`.
 */
export function deliverToFolder(delivery: FolderDelivery): Promise<Delivered> {
  const { token, destination, signal } = delivery;
  return turns.during(`${token.id} to ${destination.address}`, signal, () => deliverInTurn(delivery));
}

async function deliverInTurn({ ledger, token, destination, files, signal, onProgress }: FolderDelivery): Promise<Delivered> {
  const started = Date.now();
  await reach(ledger, destination);
  const planned = await ledger.planDeliveries(token.id, destination, files);
  const failed: Array<Delivered['failed'][number]> = [];
  const bytesOf = new Map(planned.map(({ file }) => [file.instance, file.bytes] as const));
  const left: PlannedDelivery[] = [];
  let verified = 0;
  let bytes = 0;
  for (const delivery of planned) {
    if (delivery.state === 'verified') verified += 1;
    else if (delivery.state === 'failed') failed.push({ instance: delivery.file.instance, code: delivery.code ?? 'INTERNAL' });
    else left.push(delivery);
  }
  let retryable: ErrorCode | undefined;
  let inTheWay: string | undefined;
  const hold = new DestinationHold(ledger, destination.address);
  if (left.length > 0) await hold.admit(token);
  for (let at = 0; at < left.length; at += BATCH) {
    signal.throwIfAborted();
    if (hold.paused) throw hold.error().forJob(token.name);
    const orders = left.slice(at, at + BATCH).map((delivery) => orderOf(delivery, token, destination));
    const copied = await runTask('folder.copy', { orders, marker: markerOf(token) }, { signal, timeLimit: TIME_LIMIT });
    const results = copied.map((result): DeliveryResult => {
      if (result.ok) return { instance: result.instance, state: 'verified', level: 'digest' };
      return { instance: result.instance, state: ERRORS[result.code].retryable ? 'waiting' : 'failed', code: result.code };
    });
    for (const result of copied) if (!result.ok) inTheWay ??= result.detail;
    await ledger.recordDeliveries(token.id, destination, results);
    for (const { instance, state, code } of results) {
      if (state === 'verified') {
        verified += 1;
        bytes += bytesOf.get(instance) ?? 0;
      } else if (state === 'failed') failed.push({ instance, code: code ?? 'INTERNAL' });
      else retryable = code;
    }
    onProgress?.(planned.length - left.length + Math.min(at + BATCH, left.length), planned.length);
  }
  // Two that each find only a part of theirs there must not wake one another for ever.
  if (bytes > 0 && retryable === undefined) ledger.destinationUp(destination.address);
  if (retryable !== undefined) {
    throw new ExdicomError(retryable, { destination: destination.address, stage: 'deliver', detail: `at the destination folder${inTheWay === undefined ? '' : `: ${inTheWay}`}` });
  }
  return { verified, level: verified === 0 ? 'none' : 'digest', warned: 0, failed, bytes, milliseconds: Date.now() - started };
}

/** A folder of the ledger's own is made; any other must be there, since a missing one may be a share that is not mounted. */
async function reach({ folders }: Ledger, { folder, address }: FolderDestination): Promise<void> {
  try {
    if (folder.startsWith(folders.root + sep)) await mkdir(folder, { recursive: true, mode: 0o700 });
    else if (!(await stat(folder)).isDirectory()) throw new ExdicomError('STORAGE_FAILED', { detail: 'no folder' });
  } catch (thrown) {
    throw new ExdicomError('STORAGE_FAILED', { destination: address, stage: 'deliver', origin: thrown, detail: 'the destination folder is not there' });
  }
}

function orderOf({ file, sha256 }: PlannedDelivery, token: JobToken, { folder, layout, identifiedAllowed }: FolderDestination): CopyOrder {
  const byUid = layout === 'uid' && !identifiedAllowed && isUid(file.studyInstanceUID) && isUid(file.sopInstanceUID);
  const base = byUid
    ? join(folder, file.studyInstanceUID, file.sopInstanceUID)
    : join(folder, neutral(token.name), String(file.instance).padStart(6, '0'));
  return { instance: file.instance, from: file.path, to: `${base}.dcm`, otherwise: `${base}.${sha256.slice(0, 12)}.dcm`, sha256 };
}

const isUid = (text: string): boolean => text.length <= 64 && UID.test(text);
const neutral = (name: string): string => name.replaceAll(/[^A-Za-z0-9 _-]/g, '_');
const markerOf = ({ id }: JobToken): string => id.replaceAll(/[^A-Za-z0-9_-]/g, '').slice(0, 40);
