/** New data elements as bytes (PS3.5, 7). */
import { ITEM } from './elements';
import type { Encoding } from './elements';
import type { NewElement } from './rewrite-types';
import { hasLongHeader, paddingByte, swap } from './vr';

/** The longest even value of a VR with a 16-bit length. */
const LONGEST_SHORT = 0xfffe;

/** Bytes of the header of an element with a VR. */
const headerSize = (vr: string, explicit: boolean): number => explicit && hasLongHeader(vr) ? 12 : 8;

function putHeader(target: Buffer, tag: number, vr: string, length: number, { explicit, bigEndian }: Encoding): void {
  const group = Math.floor(tag / 65_536);
  const element = tag % 65_536;
  if (bigEndian) {
    target.writeUInt16BE(group, 0);
    target.writeUInt16BE(element, 2);
  } else {
    target.writeUInt16LE(group, 0);
    target.writeUInt16LE(element, 2);
  }
  let lengthAt = 4;
  if (explicit) {
    target[4] = vr.charCodeAt(0);
    target[5] = vr.charCodeAt(1);
    if (!hasLongHeader(vr)) {
      if (bigEndian) target.writeUInt16BE(length, 6);
      else target.writeUInt16LE(length, 6);
      return;
    }
    target[6] = 0;
    target[7] = 0;
    lengthAt = 8;
  }
  if (bigEndian) target.writeUInt32BE(length, lengthAt);
  else target.writeUInt32LE(length, lengthAt);
}

/** The header of an element; `length` 0xFFFFFFFF for an undefined one. @param vr as it is written; unused in Implicit VR. */
export function encodeHeader(tag: number, vr: string, length: number, encoding: Encoding): Buffer {
  const header = Buffer.allocUnsafe(headerSize(vr, encoding.explicit));
  putHeader(header, tag, vr, length, encoding);
  return header;
}

/**
 * Header and value of one element that is no sequence. `value` in Little Endian and unpadded. A value too long for the header
 * of its VR is written as UN (PS3.5, 6.2.2).
 */
export function encodeValue(tag: number, vr: string, value: Buffer, encoding: Encoding): Buffer {
  const length = value.length + value.length % 2;
  const written = encoding.explicit && length > LONGEST_SHORT && !hasLongHeader(vr) ? 'UN' : vr;
  const start = headerSize(written, encoding.explicit);
  const element = Buffer.allocUnsafe(start + length);
  putHeader(element, tag, written, length, encoding);
  value.copy(element, start);
  if (length > value.length) element[start + value.length] = paddingByte(vr);
  if (encoding.bigEndian && written === vr) swap(element.subarray(start), vr);
  return element;
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

/** What was encoded last of an element. */
const remembered = new WeakMap<NewElement, { readonly encoding: Encoding; readonly bytes: Buffer }>();

/** The same for an element that goes into many files; the result is shared and stays as it is. */
export function encodeOnce(element: NewElement, encoding: Encoding): Buffer {
  const known = remembered.get(element);
  if (known?.encoding === encoding) return known.bytes;
  const bytes = encodeElement(element, encoding);
  remembered.set(element, { encoding, bytes });
  return bytes;
}
