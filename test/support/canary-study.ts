/** DICOM files in which every place for an identifier holds a canary. Explicit VR Little Endian. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Canaries } from './canary';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const SECONDARY_CAPTURE = '1.2.840.10008.5.1.4.1.1.7';
const MEDIA_DIRECTORY = '1.2.840.10008.1.3.10';

type Tag = number;
type Value = string | Buffer;

const LONG = new Set(['OB', 'OW', 'SQ', 'UC', 'UN', 'UR', 'UT']);
const TEXTS = new Set(['AE', 'CS', 'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UR', 'UT']);

function element(tag: Tag, vr: string, value: Value): Buffer {
  let bytes = typeof value === 'string' ? Buffer.from(value) : value;
  if (bytes.length % 2 === 1) bytes = Buffer.concat([bytes, Buffer.from(vr === 'UI' || vr === 'OB' || vr === 'UN' ? '\0' : ' ')]);
  const head = Buffer.alloc(LONG.has(vr) ? 12 : 8);
  head.writeUInt16LE(tag >>> 16, 0);
  head.writeUInt16LE(tag & 0xffff, 2);
  head.write(vr, 4, 'latin1');
  if (LONG.has(vr)) head.writeUInt32LE(bytes.length, 8);
  else head.writeUInt16LE(bytes.length, 6);
  return Buffer.concat([head, bytes]);
}

const item = (content: Buffer): Buffer => {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0xe000fffe, 0);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
};

const us = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
};

/** Elements in the order of their tags, each once: the last one given counts. */
class DataSet {
  readonly #elements = new Map<Tag, Buffer>();

  set(tag: Tag, vr: string, value: Value): this {
    this.#elements.set(tag, element(tag, vr, value));
    return this;
  }

  has(tag: Tag): boolean {
    return this.#elements.has(tag);
  }

  bytes(): Buffer {
    return Buffer.concat([...this.#elements].toSorted(([a], [b]) => a - b).map(([, bytes]) => bytes));
  }
}

interface Meta {
  readonly sopClass: string;
  readonly sop: string;
}

/** Preamble and File Meta Information with canaries of their own (PS3.10, 7.1). */
function withMeta(canaries: Canaries, { sopClass, sop }: Meta, dataSet: Buffer, where: string): Buffer {
  const meta = new DataSet()
    .set(0x00020001, 'OB', Buffer.from([0, 1])).set(0x00020002, 'UI', sopClass).set(0x00020003, 'UI', sop)
    .set(0x00020010, 'UI', '1.2.840.10008.1.2.1').set(0x00020012, 'UI', canaries.uid(`${where} Implementation Class UID`))
    .set(0x00020013, 'SH', canaries.text(`${where} Implementation Version Name`)).set(0x00020016, 'AE', canaries.text(`${where} Source AE Title`))
    .set(0x00020100, 'UI', canaries.uid(`${where} Private Information Creator UID`)).set(0x00020102, 'OB', canaries.text(`${where} Private Information`)).bytes();
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  const preamble = Buffer.alloc(128);
  preamble.write(canaries.text(`${where} preamble`), 16, 'latin1');
  return Buffer.concat([preamble, Buffer.from('DICM'), element(0x00020000, 'UL', length), meta, dataSet]);
}

/** The tags and VRs of PS3.15 Table E.1-1, from the pack's own copy of it. */
function listed(): Array<readonly [tag: Tag, vr: string]> {
  return readFileSync(join(process.cwd(), 'nodes', 'engine', 'deid', 'e1-1.tsv'), 'utf8').split('\n').slice(1)
    .map((line) => line.split('\t'))
    .flatMap(([tag = '', vr = '']) => (/^[0-9A-F]{8}$/.test(tag) ? [[Number.parseInt(tag, 16), vr] as const] : []))
    .filter(([tag]) => tag >>> 16 >= 0x0008);
}

/** A person as a sequence's item may hold one, with a private block. */
function person(canaries: Canaries, where: string): Buffer {
  return new DataSet()
    .set(0x00080050, 'SH', canaries.text(`${where} > Accession Number`)).set(0x00081155, 'UI', canaries.uid(`${where} > Referenced SOP Instance UID`))
    .set(0x00090010, 'LO', 'A VENDOR').set(0x00091001, 'LO', canaries.text(`${where} > private LO`))
    .set(0x00100010, 'PN', canaries.text(`${where} > Patient's Name`)).set(0x00100020, 'LO', canaries.text(`${where} > Patient ID`))
    .set(0x0040a160, 'UT', canaries.text(`${where} > Text Value`)).bytes();
}

export interface Study {
  readonly study: string;
  readonly series: string;
}

export const newStudy = (canaries: Canaries, where: string): Study =>
  ({ study: canaries.uid(`${where} Study Instance UID`), series: canaries.uid(`${where} Series Instance UID`) });

export interface Instance {
  readonly sop?: string;
  /** Secondary Capture, which the risk gate sets aside. */
  readonly secondaryCapture?: boolean;
  /** Ends in the middle of its pixels. */
  readonly cutOff?: boolean;
}

/**
 * A small CT slice with a canary in every text, name and UID of Table E.1-1, in an item of each of its sequences, in private
 * elements, comments of curves and overlays, elements that no dictionary knows, and behind the pixel data.
 */
export function canaryInstance(canaries: Canaries, of: Study, where: string, { sop = canaries.uid(`${where} SOP Instance UID`), secondaryCapture = false, cutOff = false }: Instance = {}): Buffer {
  const sopClass = secondaryCapture ? SECONDARY_CAPTURE : CT;
  const data = new DataSet();
  for (const [tag, vr] of listed()) {
    const name = `${where} (${(tag >>> 16).toString(16).padStart(4, '0')},${(tag & 0xffff).toString(16).padStart(4, '0')})`;
    if (vr === 'SQ') data.set(tag, 'SQ', item(person(canaries, name)));
    else if (vr === 'UI') data.set(tag, 'UI', canaries.uid(name));
    else if (vr === 'OB' || vr === 'UN') data.set(tag, vr, Buffer.from(canaries.text(name)));
    else if (TEXTS.has(vr)) data.set(tag, vr, vr === 'UR' ? `http://${canaries.text(name)}/` : canaries.text(name));
  }
  data
    .set(0x00080005, 'CS', 'ISO_IR 192').set(0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\AXIAL')
    .set(0x00080016, 'UI', sopClass).set(0x00080018, 'UI', sop).set(0x00080060, 'CS', secondaryCapture ? 'OT' : 'CT')
    .set(0x00090010, 'LO', canaries.text(`${where} private creator`)).set(0x00091001, 'LO', canaries.text(`${where} private LO`))
    .set(0x00091002, 'UN', Buffer.from(canaries.text(`${where} private UN`)))
    .set(0x00091003, 'SQ', item(person(canaries, `${where} private sequence`)))
    .set(0x00100010, 'PN', `${canaries.text(`${where} Patient's Name`)}^${canaries.han(`${where} Patient's Name`)}=${canaries.han(`${where} Patient's Name`)}`)
    .set(0x00100024, 'SQ', item(person(canaries, `${where} Issuer of Patient ID Qualifiers`)))
    .set(0x0020000d, 'UI', of.study).set(0x0020000e, 'UI', of.series).set(0x00200013, 'IS', '1')
    .set(0x00280002, 'US', us(1)).set(0x00280004, 'CS', 'MONOCHROME2').set(0x00280010, 'US', us(4)).set(0x00280011, 'US', us(4))
    .set(0x00280100, 'US', us(16)).set(0x00280101, 'US', us(12)).set(0x00280102, 'US', us(11)).set(0x00280103, 'US', us(0))
    .set(0x500022f0, 'LO', canaries.text(`${where} curve`)).set(0x60024000, 'LT', canaries.text(`${where} overlay comments`)).set(0x60021500, 'LO', canaries.text(`${where} overlay label`))
    // No dictionary knows these; and a number that is none.
    .set(0x00083ffe, 'UN', Buffer.from(canaries.text(`${where} unknown UN`))).set(0x00103ffe, 'LO', canaries.text(`${where} unknown LO`))
    .set(0x00103ffc, 'PN', canaries.text(`${where} unknown PN`)).set(0x00189ffe, 'IS', canaries.text(`${where} IS`))
    .set(0x7fe00010, 'OW', Buffer.alloc(32, 7))
    .set(0xfffcfffc, 'OB', Buffer.from(canaries.text(`${where} trailing padding`)));
  const bytes = data.bytes();
  return withMeta(canaries, { sopClass, sop }, cutOff ? bytes.subarray(0, bytes.length - 40) : bytes, where);
}

/** A DICOMDIR with names, as on a patient's CD; it references what is there and what is not. */
export function canaryDirectory(canaries: Canaries, references: readonly string[]): Buffer {
  const where = 'DICOMDIR';
  const records = references.map((reference) => item(Buffer.concat([
    element(0x00041430, 'CS', 'IMAGE'), element(0x00041500, 'CS', reference), element(0x00041511, 'UI', canaries.uid(`${where} Referenced SOP Instance UID`)),
    element(0x00100010, 'PN', canaries.text(`${where} Patient's Name`)), element(0x00100020, 'LO', canaries.text(`${where} Patient ID`)),
  ])));
  const data = Buffer.concat([element(0x00041130, 'CS', canaries.text(`${where} File-set ID`)), element(0x00041220, 'SQ', Buffer.concat(records))]);
  return withMeta(canaries, { sopClass: MEDIA_DIRECTORY, sop: canaries.uid(`${where} SOP Instance UID`) }, data, where);
}

/** Begins like DICOM, then there is nothing that could be read. */
export function canaryWreck(canaries: Canaries): Buffer {
  const where = 'unreadable file';
  const broken = Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), Buffer.from([2, 0, 0, 0, 0x55, 0x4c, 4, 0, 255, 255, 255, 127])]);
  return Buffer.concat([broken, element(0x00100010, 'PN', canaries.text(`${where} Patient's Name`)), Buffer.from(canaries.text(`${where} rest`))]);
}
