/**
 * A DICOM file opened for sending: where its data set lies behind preamble and File Meta Information (PS3.10, 7.1), and
 * that it still has the size that the ledger knows. Nothing but the head is read, and never more than 1 MiB of it.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { isLongVr, looksLikeVr } from '../dicom/vr';
import { ExdicomError, toExdicomError } from '../errors';

/** A file as the ledger knows it. */
export interface KnownFile {
  readonly path: string;
  readonly bytes: number;
}

/** Bytes of a file that are a data set. Its owner closes it. */
export interface DataSetFile extends Disposable {
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
}

const PREAMBLE = 128;
const FIRST_READ = 2 * 1024;
const LONGEST_HEAD = 1024 * 1024;
const META_GROUP = 0x0002;

/**
 * Opens a file and finds its data set.
 * @throws {ExdicomError} STORAGE_FAILED where it cannot be read or is not what the ledger knows; DICOM_UNREADABLE where its
 * File Meta Information cannot be followed
 */
export function openDataSet(file: KnownFile): DataSetFile {
  let fd: number;
  try {
    // Without O_NONBLOCK a named pipe would hold the event loop.
    fd = openSync(file.path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (thrown) {
    throw readFailure(thrown);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new ExdicomError('STORAGE_FAILED', { stage: 'deliver', detail: 'not a file' });
    const { size } = stat;
    if (size !== file.bytes) {
      throw new ExdicomError('STORAGE_FAILED', { stage: 'deliver', detail: 'the file does not have the size it was prepared with' });
    }
    const offset = dataSetOffset(fd, size);
    if (offset >= size) throw unreadable('no data set');
    return { fd, offset, length: size - offset, [Symbol.dispose]: () => { closeSync(fd); } };
  } catch (thrown) {
    closeSync(fd);
    throw readFailure(thrown);
  }
}

/** Whatever the system says when a file of ours cannot be read. */
export function readFailure(thrown: unknown): ExdicomError {
  const error = toExdicomError(thrown, { stage: 'deliver' });
  return error.code === 'INTERNAL' ? new ExdicomError('STORAGE_FAILED', { stage: 'deliver', origin: thrown }) : error;
}

const unreadable = (detail: string): ExdicomError => new ExdicomError('DICOM_UNREADABLE', { stage: 'deliver', detail });

/** The head of the file, read as far as asked for. */
class Head {
  #bytes = Buffer.alloc(0);
  constructor(private readonly fd: number, private readonly size: number) {}

  /** Bytes up to `end`, or as many as there are. */
  upTo(end: number): Buffer {
    if (end > LONGEST_HEAD) throw unreadable('File Meta Information too long');
    if (this.#bytes.length < Math.min(end, this.size)) {
      // Doubled, so that a head of many small elements is not read over and over.
      const wanted = Math.min(this.size, Math.max(end, 2 * this.#bytes.length, FIRST_READ));
      const bytes = Buffer.alloc(wanted);
      const read = readSync(this.fd, bytes, 0, wanted, 0);
      this.#bytes = bytes.subarray(0, read);
    }
    return this.#bytes;
  }
}

function dataSetOffset(fd: number, size: number): number {
  const head = new Head(fd, size);
  const start = head.upTo(FIRST_READ);
  const withPreamble = start.length >= PREAMBLE + 4 && start.toString('latin1', PREAMBLE, PREAMBLE + 4) === 'DICM';
  const from = withPreamble ? PREAMBLE + 4 : 0;
  let at = from;
  let groupEnd: number | undefined;
  for (;;) {
    const bytes = head.upTo(at + 12);
    if (at === groupEnd || bytes.length < at + 8 || bytes.readUInt16LE(at) !== META_GROUP) break;
    const element = bytes.readUInt16LE(at + 2);
    const [first, second] = [bytes.readUInt8(at + 4), bytes.readUInt8(at + 5)];
    if (!looksLikeVr(first, second)) throw unreadable('File Meta Information is not Explicit VR');
    const long = isLongVr(first, second);
    if (long && bytes.length < at + 12) throw unreadable('File Meta Information cut off');
    const length = long ? bytes.readUInt32LE(at + 8) : bytes.readUInt16LE(at + 6);
    const value = at + (long ? 12 : 8);
    const end = value + length;
    const whole = head.upTo(end);
    if (whole.length < end) throw unreadable('File Meta Information cut off');
    if (element === 0x0000 && length === 4) groupEnd = end + whole.readUInt32LE(value);
    at = end;
  }
  if (withPreamble && at === from) throw unreadable('no File Meta Information');
  return at;
}
