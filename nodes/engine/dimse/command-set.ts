/** Any DIMSE command set (PS3.7, 6.3.1 and E): elements of group 0000, always Implicit VR Little Endian. */
import { ExdicomError } from '../errors';

/** Element numbers of group 0000 (PS3.7, E.1). */
export const Field = {
  groupLength: 0x0000,
  affectedSopClassUID: 0x0002,
  commandField: 0x0100,
  messageId: 0x0110,
  messageIdBeingRespondedTo: 0x0120,
  priority: 0x0700,
  dataSetType: 0x0800,
  status: 0x0900,
  affectedSopInstanceUID: 0x1000,
} as const;

/** Values of (0000,0100) (PS3.7, E.1-1). */
export const Command = {
  storeRq: 0x0001, storeRsp: 0x8001,
  findRq: 0x0020, findRsp: 0x8020,
  echoRq: 0x0030, echoRsp: 0x8030,
  cancelRq: 0x0fff,
} as const;

/** A response is its request with this bit. */
export const RESPONSE = 0x8000;

/** Values of (0000,0800): no data set follows, or one does (any other value). */
export const DataSetType = { none: 0x0101, present: 0x0102 } as const;

const LONGEST_VALUE = 4_096;

const broken = (detail: string): ExdicomError => new ExdicomError('PEER_PROTOCOL', { detail });

/** Elements in ascending order: a number is a US value, a string a UI value. The group length is added. */
export function encodeCommandSet(elements: ReadonlyArray<readonly [number: number, value: number | string]>): Buffer {
  const parts: Buffer[] = [];
  for (const [number, value] of elements) {
    const text = typeof value === 'string' ? Buffer.from(value.length % 2 === 0 ? value : `${value}\0`, 'latin1') : undefined;
    const element = Buffer.alloc(8 + (text?.length ?? 2));
    element.writeUInt16LE(number, 2);
    element.writeUInt32LE(element.length - 8, 4);
    if (text !== undefined) text.copy(element, 8);
    else if (typeof value === 'number') element.writeUInt16LE(value, 8);
    parts.push(element);
  }
  const body = Buffer.concat(parts);
  const length = Buffer.alloc(12);
  length.writeUInt32LE(4, 4);
  length.writeUInt32LE(body.length, 8);
  return Buffer.concat([length, body]);
}

/** What was read of a command set: the US and UI values in it. */
export class CommandSet {
  readonly #values: ReadonlyMap<number, Buffer>;

  /** @throws {ExdicomError} PEER_PROTOCOL */
  constructor(bytes: Buffer) {
    const values = new Map<number, Buffer>();
    for (let at = 0; at < bytes.length;) {
      if (bytes.length - at < 8) throw broken('command element cut off');
      const length = bytes.readUInt32LE(at + 4);
      if (bytes.readUInt16LE(at) !== 0 || length > bytes.length - at - 8 || length > LONGEST_VALUE) throw broken('command element of a wrong group or size');
      values.set(bytes.readUInt16LE(at + 2), bytes.subarray(at + 8, at + 8 + length));
      at += 8 + length;
    }
    this.#values = values;
  }

  /** A US value; undefined where the element is absent or of another size. */
  number(field: number): number | undefined {
    const value = this.#values.get(field);
    return value?.length === 2 ? value.readUInt16LE() : undefined;
  }

  /** A UI value without its padding; empty where the element is absent. */
  uid(field: number): string {
    return (this.#values.get(field)?.toString('latin1') ?? '').replace(/[\0 ]+$/, '');
  }

  /** Whether a data set follows. */
  get hasDataSet(): boolean {
    return (this.number(Field.dataSetType) ?? DataSetType.none) !== DataSetType.none;
  }
}
