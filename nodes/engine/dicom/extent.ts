/** Where a data set ends: after its last element, which is not always where the file ends. */
import { dictionaryVr } from './dictionary';
import { elementEnd, isItemTag, newHeader, PIXEL_DATA, readHeader, UNDEFINED } from './elements';
import type { Encoding } from './elements';
import { Unreadable } from './source';
import type { ByteSource } from './source';
import { vrOf } from './vr';

const FLOAT_PIXEL_DATA = 0x7fe00008;
/** More top-level elements than this have no object of the standard and no scanner. */
const MOST_ELEMENTS = 1 << 20;

export interface Extent {
  /** Offset after the last element. */
  readonly end: number;
  /** Of top-level Pixel Data: 'none', 'native' (a defined length) or 'encapsulated'. */
  readonly pixelData: 'none' | 'native' | 'encapsulated';
  /** Where encapsulated Pixel Data begins and ends, so that its fragments are walked once. */
  readonly fragmentsOffset: number;
  readonly fragmentsEnd: number;
}

/**
 * Walks the top level once; `wanted` hears of each element, also of those that turn out to lie behind the end. Bytes after Pixel Data that do not read as further
 * elements, and zeros to the end of the file, are no part of the data set.
 * @throws {Unreadable} where it breaks off
 */
export function measure(source: ByteSource, start: number, encoding: Encoding, wanted: (tag: number, vr: string | undefined, valueOffset: number, length: number) => void): Extent {
  const { size } = source;
  const header = newHeader();
  let pixelData: Extent['pixelData'] = 'none';
  let fragmentsOffset = -1;
  let fragmentsEnd = -1;
  let previous = 0;
  /** First element after pixel data that is out of order: the data set ends here if what follows makes no sense. */
  let doubtful = -1;
  let count = 0;
  let at = start;
  const extent = (end: number): Extent => ({ end, pixelData, fragmentsOffset, fragmentsEnd });
  while (at < size) {
    const afterPixels = pixelData !== 'none';
    let next: number;
    try {
      const tag = readHeader(source, at, size, encoding, header);
      // A command's elements may stand in front, where a message was stored as it came; elsewhere zeros read as such.
      if (tag < 0x00010000 && count > 0 && tag <= previous || isItemTag(tag)) throw new Unreadable(at, 'something that is no element is in the data set');
      if (++count > MOST_ELEMENTS) throw new Unreadable(at, 'the data set has too many elements');
      if (afterPixels && doubtful < 0 && tag <= previous) doubtful = at;
      next = elementEnd(source, at, size, encoding, header);
    } catch (thrown) {
      if (!(thrown instanceof Unreadable)) throw thrown;
      if (doubtful >= 0) return extent(doubtful);
      if (afterPixels ? !truncated(source, at, encoding, previous) : onlyZeros(source, at)) return extent(at);
      throw thrown;
    }
    const { tag, vr, headerLength, length } = header;
    if (tag >= FLOAT_PIXEL_DATA && tag <= PIXEL_DATA && doubtful < 0) {
      pixelData = length === UNDEFINED ? 'encapsulated' : 'native';
      if (length === UNDEFINED) {
        fragmentsOffset = at;
        fragmentsEnd = next;
      }
    }
    wanted(tag, vr, at + headerLength, length);
    previous = tag;
    at = next;
  }
  return extent(at);
}

/** Whether an element begins here, as far as one can see, that the file cuts off. */
function truncated(source: ByteSource, offset: number, encoding: Encoding, previous: number): boolean {
  if (source.size - offset < 8) return false;
  const at = source.at(offset, 8);
  const { bytes } = source;
  const tag = encoding.bigEndian
    ? bytes.readUInt16BE(at) * 65_536 + bytes.readUInt16BE(at + 2)
    : bytes.readUInt16LE(at) * 65_536 + bytes.readUInt16LE(at + 2);
  if (tag <= previous) return false;
  return encoding.explicit ? vrOf(bytes[at + 4]!, bytes[at + 5]!) !== undefined : dictionaryVr(tag) !== undefined;
}

function onlyZeros(source: ByteSource, offset: number): boolean {
  for (let at = offset; at < source.size;) {
    const count = Math.min(4096, source.size - at);
    const index = source.at(at, count);
    for (let i = index; i < index + count; i++) if (source.bytes[i] !== 0) return false;
    at += count;
  }
  return true;
}
