/** Value Representations (PS3.5, 6.2): which there are, how long their length field is, how values are padded and swapped. */

/** VRs whose explicit header has a 32-bit length after two reserved bytes (PS3.5, 7.1.2). */
const LONG = ['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV'];
const SHORT = ['AE', 'AS', 'AT', 'CS', 'DA', 'DS', 'DT', 'FD', 'FL', 'IS', 'LO', 'LT', 'PN', 'SH', 'SL', 'SS', 'ST', 'TM', 'UI', 'UL', 'US'];

const index = (first: number, second: number): number => (first - 0x41) * 26 + second - 0x41;

const NAMES: Array<string | undefined> = Array.from({ length: 26 * 26 });
const LONG_BY_INDEX = new Uint8Array(26 * 26);
for (const vr of [...LONG, ...SHORT]) NAMES[index(vr.charCodeAt(0), vr.charCodeAt(1))] = vr;
for (const vr of LONG) LONG_BY_INDEX[index(vr.charCodeAt(0), vr.charCodeAt(1))] = 1;

const isCapital = (byte: number): boolean => byte >= 0x41 && byte <= 0x5a;

/** The VR that two bytes name; undefined where the standard knows none. */
export function vrOf(first: number, second: number): string | undefined {
  return isCapital(first) && isCapital(second) ? NAMES[index(first, second)] : undefined;
}

/** Whether two bytes look like a VR at all, known or of a later edition. */
export function looksLikeVr(first: number, second: number): boolean {
  return isCapital(first) && isCapital(second);
}

/** Whether a known VR, given by its two bytes, has the 12-byte explicit header. */
export function isLongVr(first: number, second: number): boolean {
  return LONG_BY_INDEX[index(first, second)] === 1;
}

export function hasLongHeader(vr: string): boolean {
  return isLongVr(vr.charCodeAt(0), vr.charCodeAt(1));
}

/** The byte that makes a value's length even (PS3.5, 6.2): NUL for UI and binary values, space for text. */
export function paddingByte(vr: string): number {
  return vr === 'UI' || vr === 'UN' || vr === 'OB' || vr === 'OW' || swapUnit(vr) > 1 ? 0 : 0x20;
}

/** Bytes of the unit whose byte order the transfer syntax decides (PS3.5, 7.3); 1 where there is none. */
export function swapUnit(vr: string): number {
  switch (vr) {
    case 'US': case 'SS': case 'OW': case 'AT': return 2;
    case 'UL': case 'SL': case 'FL': case 'OF': case 'OL': return 4;
    case 'FD': case 'OD': case 'SV': case 'UV': case 'OV': return 8;
    default: return 1;
  }
}

/** Reverses, in place, the byte order of every unit of a value; an incomplete last unit stays. */
export function swap(value: Buffer, vr: string): void {
  const unit = swapUnit(vr);
  if (unit === 1) return;
  const whole = value.subarray(0, value.length - value.length % unit);
  if (unit === 2) whole.swap16();
  else if (unit === 4) whole.swap32();
  else whole.swap64();
}
