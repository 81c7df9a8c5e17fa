/** Synthetic data for the measurements: nothing of it looks like a real patient, its shape is that of real studies. */
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const ENHANCED_CT = '1.2.840.10008.5.1.4.1.1.2.1';
const LONG = new Set(['OB', 'OW', 'SQ', 'UN', 'UT']);

type Value = string | number | Buffer;

function element(tag: number, vr: string, value: Value): Buffer {
  const raw = typeof value === 'number' ? Buffer.from([value & 0xff, value >> 8]) : typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  const padded = raw.length % 2 === 0 ? raw : Buffer.concat([raw, Buffer.from(vr === 'UI' ? '\0' : ' ')]);
  const header = Buffer.alloc(LONG.has(vr) ? 12 : 8);
  header.writeUInt16LE(tag >>> 16, 0);
  header.writeUInt16LE(tag & 0xffff, 2);
  header.write(vr, 4, 'latin1');
  if (LONG.has(vr)) header.writeUInt32LE(padded.length, 8);
  else header.writeUInt16LE(padded.length, 6);
  return Buffer.concat([header, padded]);
}

const uid = (): string => `2.25.${BigInt(`0x${randomBytes(15).toString('hex')}`)}`;

/** Pixels that deflate about as well as a real CT does: a smooth slope with noise in the low bits. */
export function noise(bytes: number): Buffer {
  const random = randomBytes(bytes >> 1);
  const out = Buffer.alloc(bytes);
  for (let i = 0; i + 1 < bytes; i += 2) out.writeUInt16LE(((i >> 6) & 0x7ff) + (random[i >> 1]! & 0x1f), i);
  return out;
}

interface Shape {
  readonly sopClass: string;
  readonly rows: number;
  readonly columns: number;
  readonly frames: number;
  /** Text and private elements besides those that every image has. */
  readonly filling: number;
}

/** Everything up to the pixel data's value. */
function head(shape: Shape, study: string, series: string, index: number): Buffer {
  const instance = uid();
  const parts = [
    element(0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\AXIAL'), element(0x00080016, 'UI', shape.sopClass), element(0x00080018, 'UI', instance),
    element(0x00080020, 'DA', '20260914'), element(0x00080023, 'DA', '20260914'), element(0x00080030, 'TM', '101500'), element(0x00080033, 'TM', '101500'),
    element(0x00080050, 'SH', 'BENCH-1'), element(0x00080060, 'CS', 'CT'), element(0x00080070, 'LO', 'EXDICOM'), element(0x00080090, 'PN', 'BENCH^REFERRING'),
    element(0x00081030, 'LO', 'Bench study'),
  ];
  if (shape.filling > 0) {
    parts.push(element(0x00090010, 'LO', 'EXDICOM BENCH'));
    for (let i = 0; i < 24; i += 1) parts.push(element(0x00091000 + i, 'LO', `private ${i}`));
  }
  parts.push(element(0x00100010, 'PN', 'BENCH^PATIENT'), element(0x00100020, 'LO', 'BENCH-PATIENT'), element(0x00100030, 'DA', '19700101'), element(0x00100040, 'CS', 'O'));
  const filler = [0x0050, 0x0060, 0x0088, 0x0090, 0x1030, 0x1100, 0x1110, 0x1111, 0x1120, 0x1130, 0x1140, 0x1150, 0x1151, 0x1152, 0x1160, 0x1170, 0x1190, 0x1210, 0x5100];
  if (shape.filling > 0) for (const number of filler) parts.push(element(0x00180000 + number, number === 0x1030 || number === 0x1210 ? 'LO' : 'DS', number === 0x1030 || number === 0x1210 ? 'PROTOCOL' : '1.25'));
  parts.push(
    element(0x0020000d, 'UI', study), element(0x0020000e, 'UI', series), element(0x00200010, 'SH', 'BENCH'), element(0x00200011, 'IS', '1'), element(0x00200013, 'IS', String(index + 1)),
    element(0x00200032, 'DS', `0\\0\\${index}`), element(0x00200037, 'DS', '1\\0\\0\\0\\1\\0'), element(0x00200052, 'UI', `${series}.1`.slice(0, 64)),
    element(0x00280002, 'US', 1), element(0x00280004, 'CS', 'MONOCHROME2'),
    ...(shape.frames > 1 ? [element(0x00280008, 'IS', String(shape.frames))] : []),
    element(0x00280010, 'US', shape.rows), element(0x00280011, 'US', shape.columns), element(0x00280100, 'US', 16), element(0x00280101, 'US', 12), element(0x00280102, 'US', 11), element(0x00280103, 'US', 0),
    element(0x00281052, 'DS', '-1024'), element(0x00281053, 'DS', '1'),
  );
  if (shape.filling > 0) parts.push(element(0x00290010, 'LO', 'SIEMENS CSA HEADER'), element(0x00291010, 'OB', randomBytes(4096)));
  const pixelHeader = element(0x7fe00010, 'OW', Buffer.alloc(0));
  pixelHeader.writeUInt32LE(shape.rows * shape.columns * shape.frames * 2, 8);
  const meta = Buffer.concat([
    element(0x00020001, 'OB', Buffer.from([0, 1])), element(0x00020002, 'UI', shape.sopClass), element(0x00020003, 'UI', instance),
    element(0x00020010, 'UI', '1.2.840.10008.1.2.1'), element(0x00020012, 'UI', '2.25.329800735698586629295641978511506172918'),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element(0x00020000, 'UL', length), meta, ...parts, pixelHeader]);
}

/** Writes `count` files of one study into `folder`, their names beginning with `prefix`; returns their paths. */
export function writeStudy(folder: string, count: number, shape: Shape, prefix = 'IM'): string[] {
  mkdirSync(folder, { recursive: true });
  const study = uid();
  const series = uid();
  const frame = noise(shape.rows * shape.columns * 2);
  return Array.from({ length: count }, (_, index) => {
    const path = join(folder, `${prefix}${String(index + 1).padStart(5, '0')}.dcm`);
    const start = head(shape, study, series, index);
    frame.writeUInt32LE(index, 0);
    if (shape.frames === 1) {
      writeFileSync(path, Buffer.concat([start, frame]));
    } else {
      const fd = openSync(path, 'wx');
      writeSync(fd, start);
      for (let i = 0; i < shape.frames; i += 1) writeSync(fd, frame);
      closeSync(fd);
    }
    return path;
  });
}

/** The three loads: many middling files, one huge, very many tiny. */
export const LOADS = {
  'ct': { title: '500 CT of 0.5 MB', count: 500, shape: { sopClass: CT, rows: 512, columns: 512, frames: 1, filling: 1 } },
  'multiframe': { title: 'one multi-frame of 524 MB', count: 1, shape: { sopClass: ENHANCED_CT, rows: 512, columns: 512, frames: 1000, filling: 1 } },
  'tiny': { title: '2,000 files of 9 KB', count: 2000, shape: { sopClass: CT, rows: 64, columns: 64, frames: 1, filling: 0 } },
} as const satisfies Record<string, { title: string; count: number; shape: Shape }>;

export type LoadName = keyof typeof LOADS;

/**
 * Fills and frees `bytes` in `folder`, as much as a run will use. A virtual machine gives its free memory back, and what is used then
 * for the first time costs ten times as much as what was used a moment ago: whoever came second would be the faster one.
 */
export function touchMemory(folder: string, bytes: number): void {
  const path = join(folder, 'touched');
  const fd = openSync(path, 'w');
  try {
    const block = Buffer.alloc(4 << 20, 1);
    const { bavail, bsize } = statfsSync(folder);
    const most = Math.min(bytes, bavail * bsize / 2);
    for (let done = 0; done < most; done += block.length) writeSync(fd, block);
  } finally {
    closeSync(fd);
    rmSync(path);
  }
}
