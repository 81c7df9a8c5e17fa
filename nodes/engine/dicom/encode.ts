/** New data elements as bytes (PS3.5, 7). */
import { ITEM } from './elements';
import type { Encoding } from './elements';
import type { NewElement } from './rewrite-types';
import { hasLongHeader, paddingByte, swap } from './vr';

/** The longest even value of a VR with a 16-bit length. */
const LONGEST_SHORT = 0xfffe;

/**
 * The VR and value as they have to stand in a data set: padded to even length, in the byte order of the encoding. A value
 * too long for the header of its VR is written as UN (PS3.5, 6.2.2).
 */
function settle(vr: string, value: Buffer, { explicit, bigEndian }: Encoding): { readonly vr: string; readonly value: Buffer } {
  let settled = value;
  if (value.length % 2 === 1) {
    settled = Buffer.allocUnsafe(value.length + 1);
    value.copy(settled);
    settled[value.length] = paddingByte(vr);
  }
  if (explicit && settled.length > LONGEST_SHORT && !hasLongHeader(vr)) return { vr: 'UN', value: settled };
  if (!bigEndian) return { vr, value: settled };
  const swapped = Buffer.from(settled);
  swap(swapped, vr);
  return { vr, value: swapped };
}

/** The header of an element; `length` 0xFFFFFFFF for an undefined one. @param vr as it is written; unused in Implicit VR. */
export function encodeHeader(tag: number, vr: string, length: number, { explicit, bigEndian }: Encoding): Buffer {
  const long = explicit && hasLongHeader(vr);
  const header = Buffer.allocUnsafe(long ? 12 : 8);
  const group = Math.floor(tag / 65_536);
  const element = tag % 65_536;
  if (bigEndian) {
    header.writeUInt16BE(group, 0);
    header.writeUInt16BE(element, 2);
  } else {
    header.writeUInt16LE(group, 0);
    header.writeUInt16LE(element, 2);
  }
  if (!explicit) {
    // Items of a big endian data set have no VR either.
    if (bigEndian) header.writeUInt32BE(length, 4);
    else header.writeUInt32LE(length, 4);
    return header;
  }
  header.write(vr, 4, 'latin1');
  if (!long) {
    if (bigEndian) header.writeUInt16BE(length, 6);
    else header.writeUInt16LE(length, 6);
    return header;
  }
  header.writeUInt16LE(0, 6);
  if (bigEndian) header.writeUInt32BE(length, 8);
  else header.writeUInt32LE(length, 8);
  return header;
}

/** Header and value of one element that is no sequence. `value` in Little Endian and unpadded. */
export function encodeValue(tag: number, vr: string, value: Buffer, encoding: Encoding): Buffer {
  const settled = settle(vr, value, encoding);
  return Buffer.concat([encodeHeader(tag, settled.vr, settled.value.length, encoding), settled.value]);
}

/** The items of a sequence, each of defined length. */
export function encodeItems(items: ReadonlyArray<readonly NewElement[]>, encoding: Encoding): Buffer {
  return Buffer.concat(items.flatMap((item) => {
    const content = Buffer.concat(item.map((element) => encodeElement(element, encoding)));
    return [encodeHeader(ITEM, 'UN', content.length, { explicit: false, bigEndian: encoding.bigEndian }), content];
  }));
}

/** One element with all that is in it. Sequences and items get defined lengths. */
export function encodeElement({ tag, vr, value }: NewElement, encoding: Encoding): Buffer {
  if (Buffer.isBuffer(value)) return encodeValue(tag, vr, value, encoding);
  const content = encodeItems(value, encoding);
  return Buffer.concat([encodeHeader(tag, 'SQ', content.length, encoding), content]);
}
