/** Media storage directories (DICOMDIR, PS3.3, F): which files they name. */
import { elementEnd, innerEncoding, ITEM, ITEM_DELIMITATION, newHeader, readHeader, SEQUENCE_DELIMITATION, UNDEFINED } from './elements';
import type { Encoding } from './elements';
import { textAt } from './layout';
import { Unreadable } from './source';
import type { ByteSource } from './source';

const DIRECTORY_RECORD_SEQUENCE = 0x00041220;
const REFERENCED_FILE_ID = 0x00041500;

/**
 * The Referenced File IDs of all directory records, each as its components, in the order of the file. Records are read one
 * after the other, not by the offsets that link them: those may form loops. What cannot be read ends the list.
 */
export function directoryReferences(source: ByteSource, offset: number, encoding: Encoding): string[][] {
  const references: string[][] = [];
  const header = newHeader();
  try {
    for (let at = offset; at < source.size;) {
      readHeader(source, at, source.size, encoding, header);
      if (header.tag === DIRECTORY_RECORD_SEQUENCE) {
        const inner = innerEncoding(header.vr, encoding);
        const start = at + header.headerLength;
        const end = header.length === UNDEFINED ? source.size : Math.min(start + header.length, source.size);
        readRecords(source, start, end, inner, references);
        return references;
      }
      at = elementEnd(source, at, source.size, encoding, header);
    }
  } catch (thrown) {
    if (!(thrown instanceof Unreadable)) throw thrown;
  }
  return references;
}

function readRecords(source: ByteSource, start: number, end: number, encoding: Encoding, references: string[][]): void {
  const header = newHeader();
  for (let at = start; at < end;) {
    const found = readHeader(source, at, end, encoding, header);
    if (found === SEQUENCE_DELIMITATION) return;
    if (found !== ITEM) throw new Unreadable(at, 'a sequence holds something that is not an item');
    at += 8;
    const itemEnd = header.length === UNDEFINED ? end : at + header.length;
    if (itemEnd > end) throw new Unreadable(at, 'an item is longer than what it lies in');
    while (at < itemEnd) {
      const tag = readHeader(source, at, itemEnd, encoding, header);
      if (tag === ITEM_DELIMITATION) {
        at += 8;
        break;
      }
      const { headerLength, length } = header;
      const next = elementEnd(source, at, itemEnd, encoding, header);
      if (tag === REFERENCED_FILE_ID && length > 0) {
        references.push(textAt(source, at + headerLength, length).split('\\').map((component) => component.trim()));
      }
      at = next;
    }
  }
}
