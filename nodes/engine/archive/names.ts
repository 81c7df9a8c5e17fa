/**
 * Names of entries as text, and passwords as bytes. Names go to reports only and never to a disk, but a report that shows the wrong script helps
 * nobody, and a DICOMDIR is compared with them.
 */
import { crc32 } from 'node:zlib';
import type { NameEncoding } from './settings';

/** A name as it stands in the archive. */
export interface RawName {
  readonly bytes: Buffer;
  /** Bit 11 of the general purpose flags: the name is UTF-8 (APPNOTE 4.4.4). */
  readonly utf8: boolean;
  /** The Info-ZIP Unicode Path extra field (0x7075), whole. */
  readonly unicodePath?: Buffer;
}

const UPPER_437 = 'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00A0';
const cp437 = (bytes: Buffer): string => Array.from(bytes, (byte) => (byte < 0x80 ? String.fromCharCode(byte) : UPPER_437[byte - 0x80]!)).join('');

const LABELS: Readonly<Record<Exclude<NameEncoding, 'cp437'>, string>> = { cp950: 'big5', cp949: 'euc-kr', cp932: 'shift_jis', gbk: 'gbk' };
const utf8 = new TextDecoder('utf-8', { fatal: true });
const decoders = new Map<NameEncoding, TextDecoder>();

function decode(bytes: Buffer, encoding: NameEncoding): string | undefined {
  if (encoding === 'cp437') return cp437(bytes);
  let decoder = decoders.get(encoding);
  if (decoder === undefined) {
    decoder = new TextDecoder(LABELS[encoding], { fatal: true });
    decoders.set(encoding, decoder);
  }
  return attempt(decoder, bytes);
}

function attempt(decoder: TextDecoder, bytes: Buffer): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The name where the archive says how it is encoded, or where it is strict UTF-8 (ASCII among it); otherwise undefined. */
function plainly({ bytes, utf8: marked, unicodePath }: RawName): string | undefined {
  // Version 1, CRC-32 of the name that it stands for, then UTF-8 (APPNOTE 4.6.9); stale where the CRC differs.
  if (!marked && unicodePath !== undefined && unicodePath.length >= 5 && unicodePath[0] === 1 && unicodePath.readUInt32LE(1) === crc32(bytes)) {
    const name = attempt(utf8, unicodePath.subarray(5));
    if (name !== undefined) return name;
  }
  return attempt(utf8, bytes);
}

/** Lead bytes of the everyday part of a double-byte code page, whether its trail bytes are the high ones only, and how many characters it has. */
const EVERYDAY: Readonly<Record<Exclude<NameEncoding, 'cp437'>, { readonly from: number; readonly to: number; readonly highTrail: boolean; readonly size: number }>> = {
  cp949: { from: 0xb0, to: 0xc8, highTrail: true, size: 2350 },
  cp950: { from: 0xa4, to: 0xc6, highTrail: false, size: 5401 },
  gbk: { from: 0xb0, to: 0xd7, highTrail: true, size: 3755 },
  cp932: { from: 0x82, to: 0x97, highTrail: false, size: 3300 },
};
/** How much rarer a character outside the everyday part is. */
const RARE = Math.log(20_000 * 50);

/** Bits of surprise at these bytes under a code page that decodes them. */
function surprise(bytes: Buffer, encoding: Exclude<NameEncoding, 'cp437'>): number {
  const { from, to, highTrail, size } = EVERYDAY[encoding];
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 1) {
    const lead = bytes[i]!;
    if (lead < 0x80) continue;
    // Half-width katakana are single bytes.
    if (encoding === 'cp932' && lead >= 0xa1 && lead <= 0xdf) { sum += Math.log(63 * 100); continue; }
    const trail = bytes[i + 1] ?? 0;
    sum += lead >= from && lead <= to && (!highTrail || trail >= 0xa1) ? Math.log(size) : RARE;
    i += 1;
  }
  return sum;
}

/**
 * The code page of an archive's unmarked names: of those that decode every one of them the likeliest, since bytes of one are
 * often valid in another (every cp949 name in GBK). cp437 where none fits, which always decodes.
 */
export function chooseEncoding(names: Iterable<RawName>, encodings: readonly NameEncoding[]): NameEncoding {
  const unknown: Buffer[] = [];
  for (const name of names) {
    if (unknown.length >= 1000) break;
    if (plainly(name) === undefined) unknown.push(name.bytes);
  }
  let best: NameEncoding = 'cp437';
  let least = Infinity;
  if (unknown.length === 0) return best;
  for (const encoding of encodings) {
    if (encoding === 'cp437') { if (least === Infinity) return 'cp437'; continue; }
    if (!unknown.every((bytes) => decode(bytes, encoding) !== undefined)) continue;
    const sum = unknown.reduce((total, bytes) => total + surprise(bytes, encoding), 0);
    if (sum < least) { least = sum; best = encoding; }
  }
  return best;
}

/** @param encoding what `chooseEncoding` found for the archive; a name that it does not fit is read as cp437. */
export function decodeName(name: RawName, encoding: NameEncoding): string {
  return plainly(name) ?? decode(name.bytes, encoding) ?? cp437(name.bytes);
}

/** Pairs of bytes that may be a character of a double-byte code page. */
const LEADS = { from: 0x81, to: 0xfe };
const TRAILS = { from: 0x40, to: 0xfe };

const encoders = new Map<string, ReadonlyMap<string, Buffer>>();

/** Bytes of each character that a code page writes otherwise than ASCII. */
function encoder(label: string): ReadonlyMap<string, Buffer> {
  const known = encoders.get(label);
  if (known !== undefined) return known;
  const single = Array.from({ length: 0x80 }, (_, i) => Buffer.from([0x80 + i]));
  const double = label === 'windows-1252' ? [] : Array.from({ length: LEADS.to - LEADS.from + 1 }, (_, i) => Array.from({ length: TRAILS.to - TRAILS.from + 1 }, (_ignored, j) => Buffer.from([LEADS.from + i, TRAILS.from + j]))).flat();
  const codes = [...single, ...double];
  // All in one go; a line break is no part of any character.
  const characters = new TextDecoder(label).decode(Buffer.concat(codes.flatMap((code) => [code, Buffer.from('\n')]))).split('\n');
  const made = new Map<string, Buffer>();
  for (const [i, character] of characters.entries()) {
    if (character.length === 1 && character > '\x7f' && character !== '\ufffd' && !made.has(character)) made.set(character, codes[i]!);
  }
  encoders.set(label, made);
  return made;
}

function encode(text: string, byteOf: (character: string) => Buffer | undefined): Buffer[] {
  const bytes = Array.from(text, (character) => (character <= '\x7f' ? Buffer.from(character) : byteOf(character)));
  return bytes.every((code) => code !== undefined) ? [Buffer.concat(bytes)] : [];
}

const cp437Byte = (character: string): Buffer | undefined => {
  const at = UPPER_437.indexOf(character);
  return at < 0 ? undefined : Buffer.from([0x80 + at]);
};

/**
 * What a password may have been typed as: zip names no encoding for it, so programs use UTF-8 or the code page of their
 * system. UTF-8 first, then those that write it otherwise.
 */
export function passwordBytes(password: string, encodings: readonly NameEncoding[]): readonly Buffer[] {
  const utf8Bytes = Buffer.from(password);
  if (utf8Bytes.length === password.length) return [utf8Bytes];
  const labels = ['windows-1252', ...encodings.flatMap((encoding) => (encoding === 'cp437' ? [] : [LABELS[encoding]]))];
  const others = [...encode(password, cp437Byte), ...labels.flatMap((label) => encode(password, (character) => encoder(label).get(character)))];
  return [utf8Bytes, ...others].filter((bytes, i, all) => all.findIndex((other) => other.equals(bytes)) === i);
}

/** What systems leave behind in archives: never DICOM, so that a locked or damaged one costs nothing. */
export function isJunkName(name: string): boolean {
  return /(?:^|[/\\])(?:__MACOSX[/\\].*|\._[^/\\]*|\.DS_Store|Thumbs\.db|desktop\.ini)$/iu.test(name);
}
