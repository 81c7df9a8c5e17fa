/** Writing the head of a DICOM file: preamble, prefix and File Meta Information (PS3.10, 7.1). */
import { closeSync, fstatSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { IMPLEMENTATION } from '../dimse/implementation';
import { encodeOnce } from './encode';
import { EXPLICIT_LITTLE } from './elements';
import type { DicomIdentity } from './identity';
import type { NewElement } from './rewrite-types';

const PREAMBLE = 128;
const BLOCK = 1 << 20;

export interface MediaStorage {
  readonly sopClassUID: string;
  readonly sopInstanceUID: string;
  readonly transferSyntaxUID: string;
}

const text = (tag: number, vr: string, value: string): NewElement => ({ tag, vr, value: Buffer.from(value, 'latin1') });

const OURS = [text(0x00020012, 'UI', IMPLEMENTATION.classUID), text(0x00020013, 'SH', IMPLEMENTATION.versionName)];
const VERSION: NewElement = { tag: 0x00020001, vr: 'OB', value: Buffer.from([0, 1]) };

/**
 * Preamble of zeros, prefix and File Meta Information. `others` are further elements of group 0002; ours name the
 * implementation where they do not.
 */
export function fileMetaInformation({ sopClassUID, sopInstanceUID, transferSyntaxUID }: MediaStorage, others: readonly NewElement[] = []): Buffer {
  const elements = new Map<number, NewElement>();
  for (const element of [
    ...OURS,
    ...others,
    VERSION,
    text(0x00020002, 'UI', sopClassUID),
    text(0x00020003, 'UI', sopInstanceUID),
    text(0x00020010, 'UI', transferSyntaxUID),
  ]) elements.set(element.tag, element);
  elements.delete(0x00020000);
  const body = Buffer.concat([...elements.values()].sort((one, other) => one.tag - other.tag).map((element) => encodeOnce(element, EXPLICIT_LITTLE)));
  const head = Buffer.alloc(PREAMBLE + 4 + 12);
  head.write('DICM', PREAMBLE, 'latin1');
  head.writeUInt16LE(0x0002, PREAMBLE + 4);
  head.write('UL', PREAMBLE + 8, 'latin1');
  head.writeUInt16LE(4, PREAMBLE + 10);
  head.writeUInt32LE(body.length, PREAMBLE + 12);
  return Buffer.concat([head, body]);
}

/** The head that makes a file of the data set of an instance; the data set follows as it is. */
export function part10Header(identity: DicomIdentity): Buffer {
  return fileMetaInformation(identity);
}

/**
 * Writes the file `from` as the Part 10 file `to` (new, 0600): a new head, then the data set byte for byte.
 * @throws system errors; nothing is left at `to` then.
 */
export function normalisePart10(from: string, to: string, identity: DicomIdentity): void {
  const source = openSync(from, 'r');
  try {
    const target = openSync(to, 'wx', 0o600);
    try {
      const header = part10Header(identity);
      writeAll(target, header, header.length);
      const { size } = fstatSync(source);
      const block = Buffer.allocUnsafeSlow(Math.min(BLOCK, Math.max(1, size)));
      for (let at = identity.dataSetOffset; ;) {
        const got = readSync(source, block, 0, block.length, at);
        if (got === 0) break;
        writeAll(target, block, got);
        at += got;
      }
    } catch (thrown) {
      rmSync(to, { force: true });
      throw thrown;
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(source);
  }
}

function writeAll(fd: number, bytes: Buffer, count: number): void {
  for (let done = 0; done < count;) done += writeSync(fd, bytes, done, count - done);
}
