/** Writers of archives for tests: zip and RAR 5 in every shape that common programs make, and in shapes that only an attacker makes. */
import { createCipheriv, createHmac, pbkdf2Sync } from 'node:crypto';
import { crc32, deflateRawSync } from 'node:zlib';

// ------------------------------------------------------------------------------------------------ DICOM files

export interface TinyInstance {
  readonly sop?: string;
  readonly study?: string;
  readonly patientId?: string;
  readonly issuer?: string;
  /** Bytes of pixel data. */
  readonly pixels?: Buffer;
}

function element(group: number, number: number, vr: string, value: Buffer | string): Buffer {
  let bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  if (bytes.length % 2 === 1) bytes = Buffer.concat([bytes, Buffer.from(vr === 'UI' ? '\0' : ' ')]);
  const long = vr === 'OB' || vr === 'OW' || vr === 'SQ';
  const head = Buffer.alloc(long ? 12 : 8);
  head.writeUInt16LE(group, 0);
  head.writeUInt16LE(number, 2);
  head.write(vr, 4, 'latin1');
  if (long) head.writeUInt32LE(bytes.length, 8);
  else head.writeUInt16LE(bytes.length, 6);
  return Buffer.concat([head, bytes]);
}

const CT = '1.2.840.10008.5.1.4.1.1.2';

/** Explicit VR Little Endian, without preamble and File Meta Information. */
export function dataSet({ sop = '1.2.3.1', study = '1.2.3', patientId = 'P1', issuer, pixels = Buffer.alloc(64, 7) }: TinyInstance = {}): Buffer {
  return Buffer.concat([
    element(0x0008, 0x0016, 'UI', CT), element(0x0008, 0x0018, 'UI', sop), element(0x0008, 0x0060, 'CS', 'CT'),
    element(0x0010, 0x0020, 'LO', patientId), ...(issuer === undefined ? [] : [element(0x0010, 0x0021, 'LO', issuer)]),
    element(0x0020, 0x000d, 'UI', study), element(0x0020, 0x000e, 'UI', `${study}.9`),
    element(0x7fe0, 0x0010, 'OW', pixels),
  ]);
}

function fileMeta(sopClass: string, sop: string): Buffer {
  const body = Buffer.concat([
    element(0x0002, 0x0001, 'OB', Buffer.from([0, 1])), element(0x0002, 0x0002, 'UI', sopClass), element(0x0002, 0x0003, 'UI', sop),
    element(0x0002, 0x0010, 'UI', '1.2.840.10008.1.2.1'), element(0x0002, 0x0012, 'UI', '1.2.3.4'),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element(0x0002, 0x0000, 'UL', length), body]);
}

/** A Part 10 file. */
export function instance(of: TinyInstance = {}): Buffer {
  return Buffer.concat([fileMeta(CT, of.sop ?? '1.2.3.1'), dataSet(of)]);
}

/** A DICOMDIR that names these files. */
export function dicomdir(references: readonly string[]): Buffer {
  const records = references.map((reference) => {
    const record = Buffer.concat([element(0x0004, 0x1430, 'CS', 'IMAGE'), element(0x0004, 0x1500, 'CS', reference)]);
    const item = Buffer.alloc(8);
    item.writeUInt32LE(0xe000fffe, 0);
    item.writeUInt32LE(record.length, 4);
    return Buffer.concat([item, record]);
  });
  return Buffer.concat([fileMeta('1.2.840.10008.1.3.10', '1.2.3.99'), element(0x0004, 0x1130, 'CS', 'TEST'), element(0x0004, 0x1220, 'SQ', Buffer.concat(records))]);
}

// ------------------------------------------------------------------------------------------------ zip

export interface ZipSpec {
  readonly name: string | Buffer;
  readonly data: Buffer;
  readonly method?: 'store' | 'deflate';
  /** `data` as something else has packed it, by the number of the method. */
  readonly packed?: { readonly method: number; readonly bytes: Buffer };
  /** Sizes and CRC after the data, as a program writes that cannot seek. */
  readonly descriptor?: boolean;
  readonly zip64?: boolean;
  readonly encrypt?: { readonly kind: 'zipcrypto' | 'aes128' | 'aes192' | 'aes256'; readonly password: string | Buffer; readonly version?: 1 | 2 };
  /** Bit 11: the name is UTF-8. */
  readonly utf8?: boolean;
  /** Unix mode. */
  readonly mode?: number;
  /** Extra fields of the central directory. */
  readonly extra?: Buffer;
  /** What the directory says instead of the truth. */
  readonly forged?: { readonly crc?: number; readonly size?: number; readonly packed?: number; readonly method?: number };
  /** Stands in the directory only and points at the data of this entry. */
  readonly sharesDataOf?: number;
  /** Name of the local header, where that differs. */
  readonly localName?: string;
}

export interface ZipOptions {
  readonly comment?: Buffer;
  /** Bytes in front of the archive that its offsets do not count. */
  readonly prefix?: Buffer;
}

const CRC_TABLE = Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k += 1) c = (c & 1) === 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c >>> 0;
});
const step = (crc: number, byte: number): number => (CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8)) >>> 0;

/** Traditional encryption, with the check byte at the end of the twelve bytes in front. */
function zipCrypto(data: Buffer, password: string | Buffer, check: number): Buffer {
  const keys = [0x12345678, 0x23456789, 0x34567890] as [number, number, number];
  const stir = (byte: number): void => {
    keys[0] = step(keys[0], byte);
    keys[1] = (Math.imul(keys[1] + (keys[0] & 0xff), 134775813) + 1) >>> 0;
    keys[2] = step(keys[2], keys[1] >>> 24);
  };
  for (const byte of typeof password === 'string' ? Buffer.from(password) : password) stir(byte);
  return Buffer.from([...Buffer.alloc(11, 0x55), check, ...data].map((byte) => {
    const t = (keys[2] | 2) & 0xffff;
    const out = byte ^ ((Math.imul(t, t ^ 1) >>> 8) & 0xff);
    stir(byte);
    return out;
  }));
}

/** WinZip AES: salt, verifier, data, ten bytes of HMAC. */
function winZipAes(data: Buffer, password: string | Buffer, bits: number): Buffer {
  const salt = Buffer.alloc(bits / 16, 0x3c);
  const keys = pbkdf2Sync(password, salt, 1000, bits / 4 + 2, 'sha1');
  const cipher = createCipheriv(`aes-${bits}-ecb`, keys.subarray(0, bits / 8), null);
  const out = Buffer.from(data);
  for (let at = 0; at < out.length; at += 16) {
    const counter = Buffer.alloc(16);
    counter.writeUInt32LE(at / 16 + 1);
    const stream = cipher.update(counter);
    for (let i = 0; i < 16 && at + i < out.length; i += 1) out[at + i]! ^= stream[i]!;
  }
  const code = createHmac('sha1', keys.subarray(bits / 8, bits / 4)).update(out).digest().subarray(0, 10);
  return Buffer.concat([salt, keys.subarray(bits / 4), out, code]);
}

const u16 = (value: number): Buffer => { const b = Buffer.alloc(2); b.writeUInt16LE(value & 0xffff); return b; };
const u32 = (value: number): Buffer => { const b = Buffer.alloc(4); b.writeUInt32LE(value >>> 0); return b; };
const u64 = (value: number): Buffer => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(value)); return b; };
export const extraField = (id: number, value: Buffer): Buffer => Buffer.concat([u16(id), u16(value.length), value]);

/** A zip file of these entries. */
export function zip(entries: readonly ZipSpec[], { comment = Buffer.alloc(0), prefix = Buffer.alloc(0) }: ZipOptions = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  const offsets: number[] = [];
  let at = 0;
  const add = (part: Buffer): void => { parts.push(part); at += part.length; };

  for (const spec of entries) {
    const name = typeof spec.name === 'string' ? Buffer.from(spec.name) : spec.name;
    const plainMethod = spec.packed?.method ?? (spec.method === 'deflate' ? 8 : 0);
    const aesBits = spec.encrypt === undefined || spec.encrypt.kind === 'zipcrypto' ? 0 : Number(spec.encrypt.kind.slice(3));
    const ae2 = aesBits > 0 && spec.encrypt?.version !== 1;
    const crc = spec.forged?.crc ?? (ae2 ? 0 : crc32(spec.data));
    let packed = spec.packed === undefined ? plainMethod === 8 ? deflateRawSync(spec.data) : spec.data : Buffer.from(spec.packed.bytes);
    const descriptor = spec.descriptor === true;
    const time = 0x6000;
    if (spec.encrypt?.kind === 'zipcrypto') packed = zipCrypto(packed, spec.encrypt.password, descriptor ? time >>> 8 : crc32(spec.data) >>> 24);
    else if (spec.encrypt !== undefined) packed = winZipAes(packed, spec.encrypt.password, aesBits);
    const flags = (spec.encrypt === undefined ? 0 : 1) | (descriptor ? 8 : 0) | (spec.utf8 === true ? 0x800 : 0);
    const method = spec.forged?.method ?? (aesBits > 0 ? 99 : plainMethod);
    const aes = aesBits > 0 ? extraField(0x9901, Buffer.concat([u16(ae2 ? 2 : 1), Buffer.from('AE'), Buffer.from([aesBits / 64 - 1]), u16(plainMethod)])) : Buffer.alloc(0);
    const size = spec.forged?.size ?? spec.data.length;
    const packedSize = spec.forged?.packed ?? packed.length;

    let offset = at;
    if (spec.sharesDataOf === undefined) {
      const localName = spec.localName === undefined ? name : Buffer.from(spec.localName);
      const wide = spec.zip64 === true ? extraField(1, Buffer.concat([u64(size), u64(packedSize)])) : Buffer.alloc(0);
      const sizes = spec.zip64 === true ? [u32(0xffffffff), u32(0xffffffff)] : descriptor ? [u32(0), u32(0)] : [u32(packedSize), u32(size)];
      const extra = Buffer.concat([wide, aes]);
      add(Buffer.concat([u32(0x04034b50), u16(45), u16(flags), u16(method), u16(time), u16(0x5821), u32(descriptor ? 0 : crc), ...sizes, u16(localName.length), u16(extra.length), localName, extra]));
      add(packed);
      if (descriptor) add(Buffer.concat([u32(0x08074b50), u32(crc), u32(packed.length), u32(spec.data.length)]));
    } else {
      offset = offsets[spec.sharesDataOf]!;
    }
    offsets.push(offset);

    const wide = spec.zip64 === true ? extraField(1, Buffer.concat([u64(size), u64(packedSize), u64(offset)])) : Buffer.alloc(0);
    const extra = Buffer.concat([wide, aes, spec.extra ?? Buffer.alloc(0)]);
    const narrow = (value: number): Buffer => u32(spec.zip64 === true ? 0xffffffff : value);
    directory.push(Buffer.concat([
      u32(0x02014b50), u16((3 << 8) | 45), u16(45), u16(flags), u16(method), u16(time), u16(0x5821), u32(crc), narrow(packedSize), narrow(size),
      u16(name.length), u16(extra.length), u16(0), u16(0), u16(0), u32(((spec.mode ?? 0o100644) << 16) >>> 0), narrow(offset), name, extra,
    ]));
  }

  const start = at;
  for (const entry of directory) add(entry);
  const size = at - start;
  if (entries.some((spec) => spec.zip64 === true)) {
    const record = at;
    add(Buffer.concat([u32(0x06064b50), u64(44), u16(45), u16(45), u32(0), u32(0), u64(entries.length), u64(entries.length), u64(size), u64(start)]));
    add(Buffer.concat([u32(0x07064b50), u32(0), u64(record), u32(1)]));
    add(Buffer.concat([u32(0x06054b50), u16(0), u16(0), u16(0xffff), u16(0xffff), u32(0xffffffff), u32(0xffffffff), u16(comment.length), comment]));
  } else {
    add(Buffer.concat([u32(0x06054b50), u16(0), u16(0), u16(entries.length), u16(entries.length), u32(size), u32(start), u16(comment.length), comment]));
  }
  return Buffer.concat([prefix, ...parts]);
}

// ------------------------------------------------------------------------------------------------ RAR 5, stored

export interface RarSpec {
  readonly name: string;
  readonly data: Buffer;
  readonly badCrc?: boolean;
  /** A link, or a copy of an earlier entry, to this name. */
  readonly redirect?: { readonly kind: 'symlink' | 'hardlink' | 'copy'; readonly to: string };
  /** The archive does not say how large it is. */
  readonly unknownSize?: boolean;
  /** Packed with those before it in mind, as the archive says. */
  readonly solid?: boolean;
}

const RAR5 = Buffer.from('526172211a070100', 'hex');

function vint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 128 : low);
  } while (rest > 0);
  return Buffer.from(bytes);
}

function block(body: Buffer): Buffer {
  const sized = Buffer.concat([vint(body.length), body]);
  return Buffer.concat([u32(crc32(sized)), sized]);
}

const REDIRECTIONS = { symlink: 1, hardlink: 4, copy: 5 };

interface Part {
  readonly data: Buffer;
  readonly before: boolean;
  readonly after: boolean;
}

function fileBlock(spec: RarSpec, { data, before, after }: Part): Buffer {
  let extra = Buffer.alloc(0);
  if (spec.redirect !== undefined) {
    const to = Buffer.from(spec.redirect.to);
    const record = Buffer.concat([vint(5), vint(REDIRECTIONS[spec.redirect.kind]), vint(0), vint(to.length), to]);
    extra = Buffer.concat([vint(record.length), record]);
  }
  const name = Buffer.from(spec.name);
  // Of a part that goes on, the CRC is that of the part; the last one has that of the whole.
  const crc = after ? crc32(data) : crc32(spec.data);
  const flags = 2 | (extra.length > 0 ? 1 : 0) | (before ? 8 : 0) | (after ? 16 : 0);
  return Buffer.concat([
    block(Buffer.concat([
      vint(2), vint(flags), ...(extra.length > 0 ? [vint(extra.length)] : []), vint(data.length),
      vint(4 | (spec.unknownSize === true ? 8 : 0)), vint(spec.unknownSize === true ? 0 : spec.data.length), vint(0o100644), u32(spec.badCrc === true ? crc ^ 1 : crc), vint(spec.solid === true ? 0x40 : 0), vint(1), vint(name.length), name, extra,
    ])),
    data,
  ]);
}

const mainBlock = (flags: number, volume: number): Buffer => block(Buffer.concat([vint(1), vint(0), vint(flags | (volume > 0 ? 2 : 0)), ...(volume > 0 ? [vint(volume)] : [])]));
const endBlock = (more: boolean): Buffer => block(Buffer.concat([vint(5), vint(0), vint(more ? 1 : 0)]));

/** A RAR 5 archive that stores these entries. */
export function rar(entries: readonly RarSpec[], prefix = Buffer.alloc(0)): Buffer {
  return Buffer.concat([prefix, RAR5, mainBlock(entries.some(({ solid }) => solid === true) ? 4 : 0, 0), ...entries.map((spec) => fileBlock(spec, { data: spec.data, before: false, after: false })), endBlock(false)]);
}

/** A RAR 4 archive that stores these entries. */
export function rar4(entries: ReadonlyArray<{ readonly name: string; readonly data: Buffer }>): Buffer {
  const header = (type: number, flags: number, fields: Buffer): Buffer => {
    const checked = Buffer.concat([Buffer.from([type]), u16(flags), u16(7 + fields.length), fields]);
    return Buffer.concat([u16(crc32(checked)), checked]);
  };
  const files = entries.flatMap(({ name, data }) => [
    header(0x74, 0x8000, Buffer.concat([u32(data.length), u32(data.length), Buffer.from([3]), u32(crc32(data)), u32(0x58210000), Buffer.from([29, 0x30]), u16(name.length), u32(0o100644), Buffer.from(name)])), data,
  ]);
  return Buffer.concat([Buffer.from('526172211a0700', 'hex'), header(0x73, 0, Buffer.alloc(6)), ...files, header(0x7b, 0x4000, Buffer.alloc(0))]);
}

/** The same in volumes of about `bytes` of data each. */
export function rarVolumes(entries: readonly RarSpec[], bytes: number): readonly Buffer[] {
  const volumes: Buffer[][] = [[]];
  let room = bytes;
  for (const spec of entries) {
    let at = 0;
    do {
      if (room === 0) { volumes.push([]); room = bytes; }
      const data = spec.data.subarray(at, at + room);
      volumes.at(-1)!.push(fileBlock(spec, { data, before: at > 0, after: at + data.length < spec.data.length }));
      at += data.length;
      room -= data.length;
    } while (at < spec.data.length);
  }
  return volumes.map((blocks, i) => Buffer.concat([RAR5, mainBlock(1, i), ...blocks, endBlock(i + 1 < volumes.length)]));
}
