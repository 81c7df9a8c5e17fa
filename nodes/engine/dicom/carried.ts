/**
 * Elements that a wrong length has taken into the value before them: they would travel inside a number or a stream of bytes,
 * where nobody decides about them.
 */
import { dictionaryVr } from './dictionary';
import { elementEnd, isItemTag, newHeader, readHeader } from './elements';
import type { Encoding } from './elements';
import { ByteSource, NeedMore, Unreadable } from './source';
import { vrOf } from './vr';

/** Bytes at the end of a value that are looked at. */
export const MOST_LOOKED_AT = 256 << 10;

/**
 * Whether the last bytes of a value of the element `tag` read as whole elements that could follow it: in ascending order, up
 * to its very end, at least one with a value. `value` as it stands in the file.
 */
export function carriesElements(value: Buffer, tag: number, encoding: Encoding): boolean {
  let source: ByteSource | undefined;
  for (let at = value.length % 2; at + 8 < value.length; at += 2) {
    if (!mayBegin(value, at, tag, encoding)) continue;
    source ??= ByteSource.prefix(value, value.length);
    if (isChain(source, at, tag, encoding)) return true;
  }
  return false;
}

/** What can be said from eight bytes, which is enough for nearly every place. */
function mayBegin(value: Buffer, at: number, owner: number, { explicit, bigEndian }: Encoding): boolean {
  if (explicit && vrOf(value[at + 4]!, value[at + 5]!) === undefined) return false;
  const tag = bigEndian
    ? value.readUInt16BE(at) * 65_536 + value.readUInt16BE(at + 2)
    : value.readUInt16LE(at) * 65_536 + value.readUInt16LE(at + 2);
  if (tag <= owner || isItemTag(tag)) return false;
  if (explicit) return true;
  const length = bigEndian ? value.readUInt32BE(at + 4) : value.readUInt32LE(at + 4);
  return (length === 0xffffffff || at + 8 + length <= value.length) && dictionaryVr(tag) !== undefined;
}

function isChain(source: ByteSource, start: number, owner: number, encoding: Encoding): boolean {
  const header = newHeader();
  let previous = owner;
  let filled = false;
  try {
    for (let at = start; at < source.size;) {
      const tag = readHeader(source, at, source.size, encoding, header);
      if (tag <= previous || isItemTag(tag)) return false;
      if (header.length !== 0) filled = true;
      previous = tag;
      at = elementEnd(source, at, source.size, encoding, header);
    }
    return filled;
  } catch (thrown) {
    if (thrown instanceof Unreadable || thrown instanceof NeedMore) return false;
    throw thrown;
  }
}
