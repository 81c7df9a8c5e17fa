/** Extra fields of a zip's headers (APPNOTE 4.5): those that change how an entry is read. */

export interface Extras {
  zip64: Buffer | undefined;
  unicodePath: Buffer | undefined;
  aes: Buffer | undefined;
}

export function readExtras(extra: Buffer): Extras {
  const found: Extras = { zip64: undefined, unicodePath: undefined, aes: undefined };
  for (let at = 0; at + 4 <= extra.length;) {
    const id = extra.readUInt16LE(at);
    const length = extra.readUInt16LE(at + 2);
    const value = extra.subarray(at + 4, at + 4 + length);
    if (value.length === length) {
      if (id === 0x0001) found.zip64 = value;
      else if (id === 0x7075) found.unicodePath = value;
      else if (id === 0x9901) found.aes = value;
    }
    at += 4 + length;
  }
  return found;
}
