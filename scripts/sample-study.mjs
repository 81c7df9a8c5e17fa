// A small synthetic CT study, so that a first run has something to show: a water phantom with rods, 24 slices of 128 x 128.
// Its patient is made up.
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { crc32, deflateRawSync } from 'node:zlib';

const SLICES = 24;
const SIZE = 128;
const CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2';
const EXPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';

const uid = () => `2.25.${BigInt(`0x${randomBytes(15).toString('hex')}`)}`;

function element(group, number, vr, value) {
  const content = Buffer.isBuffer(value) ? value : Buffer.from(value, 'latin1');
  const padded = content.length % 2 === 0 ? content : Buffer.concat([content, Buffer.from(vr === 'UI' ? '\0' : ' ')]);
  const long = vr === 'OW' || vr === 'OB';
  const header = Buffer.alloc(long ? 12 : 8);
  header.writeUInt16LE(group, 0);
  header.writeUInt16LE(number, 2);
  header.write(vr, 4, 'latin1');
  if (long) header.writeUInt32LE(padded.length, 8);
  else header.writeUInt16LE(padded.length, 6);
  return Buffer.concat([header, padded]);
}
const us = (value) => { const b = Buffer.alloc(2); b.writeUInt16LE(value); return b; };

/** Hounsfield units: air -1000, water 0, four rods. */
function pixels(index) {
  const rods = [[0.3, 0.3, 900], [0.7, 0.3, -100], [0.3, 0.7, 300], [0.7, 0.7, 50 + index * 20]];
  const out = Buffer.alloc(SIZE * SIZE * 2);
  for (let y = 0; y < SIZE; y += 1) {
    for (let x = 0; x < SIZE; x += 1) {
      const [u, v] = [x / SIZE, y / SIZE];
      let value = Math.hypot(u - 0.5, v - 0.5) < 0.45 ? 0 : -1000;
      for (const [cx, cy, density] of rods) if (Math.hypot(u - cx, v - cy) < 0.08) value = density;
      out.writeUInt16LE(value + 1024, (y * SIZE + x) * 2);
    }
  }
  return out;
}

function slice(index, study, series) {
  const instance = uid();
  const z = (index * 2.5).toFixed(1);
  const dataSet = Buffer.concat([
    element(0x0008, 0x0008, 'CS', 'ORIGINAL\\PRIMARY\\AXIAL'),
    element(0x0008, 0x0016, 'UI', CT_IMAGE_STORAGE),
    element(0x0008, 0x0018, 'UI', instance),
    element(0x0008, 0x0020, 'DA', '20260914'),
    element(0x0008, 0x0023, 'DA', '20260914'),
    element(0x0008, 0x0030, 'TM', '101500'),
    element(0x0008, 0x0033, 'TM', `1015${String(index).padStart(2, '0')}`),
    element(0x0008, 0x0050, 'SH', 'SAMPLE-0001'),
    element(0x0008, 0x0060, 'CS', 'CT'),
    element(0x0008, 0x0070, 'LO', 'EXDICOM'),
    element(0x0008, 0x0080, 'LO', 'Sample General Hospital'),
    element(0x0008, 0x0090, 'PN', 'REFERRING^SAMPLE'),
    element(0x0008, 0x1030, 'LO', 'Water phantom'),
    element(0x0010, 0x0010, 'PN', 'SAMPLE^PATIENT'),
    element(0x0010, 0x0020, 'LO', 'SAMPLE-PATIENT-1'),
    element(0x0010, 0x0030, 'DA', '19700101'),
    element(0x0010, 0x0040, 'CS', 'O'),
    element(0x0018, 0x0050, 'DS', '2.5'),
    element(0x0018, 0x0060, 'DS', '120'),
    element(0x0018, 0x5100, 'CS', 'HFS'),
    element(0x0020, 0x000d, 'UI', study),
    element(0x0020, 0x000e, 'UI', series),
    element(0x0020, 0x0010, 'SH', 'SAMPLE-STUDY'),
    element(0x0020, 0x0011, 'IS', '1'),
    element(0x0020, 0x0012, 'IS', '1'),
    element(0x0020, 0x0013, 'IS', String(index + 1)),
    element(0x0020, 0x0032, 'DS', `-64\\-64\\${z}`),
    element(0x0020, 0x0037, 'DS', '1\\0\\0\\0\\1\\0'),
    element(0x0020, 0x0052, 'UI', `${study}.1`.slice(0, 64)),
    element(0x0020, 0x0060, 'CS', ''),
    element(0x0020, 0x1040, 'LO', ''),
    element(0x0028, 0x0002, 'US', us(1)),
    element(0x0028, 0x0004, 'CS', 'MONOCHROME2'),
    element(0x0028, 0x0010, 'US', us(SIZE)),
    element(0x0028, 0x0011, 'US', us(SIZE)),
    element(0x0028, 0x0030, 'DS', '1\\1'),
    element(0x0028, 0x0100, 'US', us(16)),
    element(0x0028, 0x0101, 'US', us(12)),
    element(0x0028, 0x0102, 'US', us(11)),
    element(0x0028, 0x0103, 'US', us(0)),
    element(0x0028, 0x1050, 'DS', '40'),
    element(0x0028, 0x1051, 'DS', '400'),
    element(0x0028, 0x1052, 'DS', '-1024'),
    element(0x0028, 0x1053, 'DS', '1'),
    element(0x7fe0, 0x0010, 'OW', pixels(index)),
  ]);
  const meta = Buffer.concat([
    element(0x0002, 0x0001, 'OB', Buffer.from([0, 1])),
    element(0x0002, 0x0002, 'UI', CT_IMAGE_STORAGE),
    element(0x0002, 0x0003, 'UI', instance),
    element(0x0002, 0x0010, 'UI', EXPLICIT_VR_LITTLE_ENDIAN),
    element(0x0002, 0x0012, 'UI', '2.25.329800735698586629295641978511506172918'),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element(0x0002, 0x0000, 'UL', length), meta, dataSet]);
}

/** A zip of `entries` as [name, content], deflated (APPNOTE 4.3). */
function zip(entries) {
  const locals = [];
  const central = [];
  let offset = 0;
  for (const [name, content] of entries) {
    const packed = deflateRawSync(content);
    const rawName = Buffer.from(name);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x800, 2);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(0x5d2e51e0, 6);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(rawName.length, 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    central.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, tail, rawName);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, rawName, packed]);
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

/** Writes the sample study as a zip archive to `path`. */
export async function writeSampleStudy(path) {
  const study = uid();
  const series = uid();
  await writeFile(path, zip(Array.from({ length: SLICES }, (_, index) => [`SAMPLE/CT/IM${String(index + 1).padStart(4, '0')}`, slice(index, study, series)])));
}
