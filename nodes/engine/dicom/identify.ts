/**
 * What a file is, by its content alone: a DICOM instance, the index of a medium, something else, or DICOM that cannot be
 * read. Synchronous, for worker threads.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { constants, inflateRawSync } from 'node:zlib';
import { withBlock } from '../memory';
import { directoryReferences } from './directory';
import { elementEnd, isItemTag, newHeader, readHeader } from './elements';
import type { Encoding } from './elements';
import { modalityTerm } from './identity';
import type { DicomIdentity, Identification } from './identity';
import { findLayout, textAt } from './layout';
import type { Layout } from './layout';
import { ByteSource, NeedMore, Unreadable } from './source';

export { normalisePart10, part10Header } from './part10';

/** Bytes that are read first: the header of most files. */
const FIRST_READ = 64 << 10;
/** Bytes read of one file at most; identifiers lie before what is large. */
const MOST_READ = 256 << 20;
/** A longer beginning than this is judged as it is by `identifyBuffer`. */
const LONGEST_PREFIX = 16 << 20;
const MEDIA_STORAGE_DIRECTORY = '1.2.840.10008.1.3.10';

const SOP_CLASS = 0x00080016;
const SOP_INSTANCE = 0x00080018;
const MODALITY = 0x00080060;
const PATIENT_ID = 0x00100020;
const ISSUER = 0x00100021;
const STUDY = 0x0020000d;
const SERIES = 0x0020000e;

/**
 * Reads as much of the file as it needs, not more than 256 MiB and mostly 64 KiB.
 * @throws system errors of opening and reading
 */
export function identifyFile(path: string): Identification {
  const fd = openSync(path, 'r');
  try {
    return withBlock((window) => identify(ByteSource.file(fd, fstatSync(fd).size, window, FIRST_READ, MOST_READ)));
  } catch (thrown) {
    if (thrown instanceof NeedMore) return { kind: 'unreadable', code: 'DICOM_UNREADABLE', offset: MOST_READ };
    throw thrown;
  } finally {
    closeSync(fd);
  }
}

/**
 * The same from the beginning of a file of `fileSize` bytes. `more`: call again with a longer beginning; never returned when
 * `buffer` is the whole file or longer than 16 MiB.
 */
export function identifyBuffer(buffer: Buffer, fileSize: number): Identification | 'more' {
  try {
    return identify(ByteSource.prefix(buffer, fileSize));
  } catch (thrown) {
    if (!(thrown instanceof NeedMore)) throw thrown;
    return buffer.length < LONGEST_PREFIX ? 'more' : { kind: 'unreadable', code: 'DICOM_UNREADABLE', offset: buffer.length };
  }
}

function identify(source: ByteSource): Identification {
  let layout: Layout | undefined;
  try {
    layout = findLayout(source);
    if (layout === undefined) return { kind: 'not-dicom' };
    return layout.deflated ? readDeflated(source, layout) : readIdentity(source, layout, layout.dataSetOffset);
  } catch (thrown) {
    if (thrown instanceof Unreadable) return { kind: 'unreadable', code: 'DICOM_UNREADABLE', offset: thrown.offset };
    throw thrown;
  }
}

/** @param offset of the data set in `source`, which differs from the layout's where the data set was inflated. */
function readIdentity(source: ByteSource, layout: Layout, offset: number): Identification {
  const index = layout.mediaStorageSOPClassUID === MEDIA_STORAGE_DIRECTORY;
  if (index || beginsWithDirectory(source, offset, layout.encoding)) {
    return { kind: 'index', references: directoryReferences(source, offset, layout.encoding) };
  }
  const values = new Map<number, string>();
  let broken: Unreadable | undefined;
  try {
    readValues(source, offset, layout.encoding, values);
  } catch (thrown) {
    if (!(thrown instanceof Unreadable)) throw thrown;
    broken = thrown;
  }
  const value = (tag: number): string => values.get(tag) ?? '';
  const sopClassUID = value(SOP_CLASS) || layout.mediaStorageSOPClassUID;
  const sopInstanceUID = value(SOP_INSTANCE) || layout.mediaStorageSOPInstanceUID;
  if (broken !== undefined && !(values.has(STUDY) && values.has(SERIES) && sopClassUID !== '' && sopInstanceUID !== '')) {
    return layout.declared || values.size > 1 ? { kind: 'unreadable', code: 'DICOM_UNREADABLE', offset: broken.offset } : { kind: 'not-dicom' };
  }
  const identity: DicomIdentity = {
    sopClassUID, sopInstanceUID,
    studyInstanceUID: value(STUDY), seriesInstanceUID: value(SERIES), modality: modalityTerm(value(MODALITY).trim()),
    transferSyntaxUID: layout.transferSyntaxUID,
    patientId: value(PATIENT_ID).trim(), issuerOfPatientId: value(ISSUER).trim(),
    dataSetOffset: layout.dataSetOffset, part10: layout.part10,
  };
  if (sopClassUID === '' || sopInstanceUID === '') return { kind: 'unreadable', code: 'DICOM_INCOMPLETE', offset: layout.dataSetOffset, identity };
  return { kind: 'instance', identity };
}

function beginsWithDirectory(source: ByteSource, offset: number, encoding: Encoding): boolean {
  if (offset + 8 > source.size) return false;
  const header = newHeader();
  readHeader(source, offset, source.size, encoding, header);
  return header.tag >>> 16 === 0x0004;
}

/** Collects the identifying values of the top level; the first of a tag counts that has one. */
function readValues(source: ByteSource, offset: number, encoding: Encoding, values: Map<number, string>): void {
  const header = newHeader();
  let at = offset;
  while (at < source.size) {
    readHeader(source, at, source.size, encoding, header);
    const { tag, headerLength, length } = header;
    if (isItemTag(tag)) throw new Unreadable(at, 'something that is no element is in the data set');
    // In ascending order nothing that is wanted comes any more; only where something is still missing it may come late.
    if (tag > SERIES && (tag >= 0x00210000 && values.has(SOP_INSTANCE) && values.has(STUDY) && values.has(SERIES) || tag >= 0x7fe00000)) return;
    switch (tag) {
      case SOP_CLASS: case SOP_INSTANCE: case MODALITY: case PATIENT_ID: case ISSUER: case STUDY: case SERIES:
        if (length > 0 && !values.has(tag)) {
          if (at + headerLength + length > source.size) throw new Unreadable(at, 'an element is longer than the file');
          values.set(tag, textAt(source, at + headerLength, length));
        }
        break;
      default:
    }
    at = elementEnd(source, at, source.size, encoding, header);
  }
}

/** Inflates a growing, bounded beginning of the data set until it tells what is wanted. */
function readDeflated(source: ByteSource, layout: Layout): Identification {
  const available = source.size - layout.dataSetOffset;
  for (let count = Math.min(8 << 10, available); ; count = Math.min(count * 16, available)) {
    const at = source.at(layout.dataSetOffset, count);
    const input = source.bytes.subarray(at, at + count);
    let inflated: Buffer;
    try {
      inflated = inflateRawSync(input, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 64 << 20 });
    } catch {
      throw new Unreadable(layout.dataSetOffset, 'the deflated data set cannot be inflated');
    }
    const whole = count === available || count >= 2 << 20;
    try {
      return readIdentity(ByteSource.prefix(inflated, whole ? inflated.length : Number.MAX_SAFE_INTEGER), layout, 0);
    } catch (thrown) {
      if (!(thrown instanceof NeedMore)) throw thrown;
    }
  }
}
