/** DIMSE command sets (PS3.7, 6.3.1, 9.3.1): always Implicit VR Little Endian. */
import { ExdicomError } from '../errors';

const COMMAND = { storeRq: 0x0001, storeRsp: 0x8001 } as const;
const WITH_DATA_SET = 0x0102;
const NO_DATA_SET = 0x0101;
const MEDIUM_PRIORITY = 0x0000;

function element(number: number, value: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16LE(number, 2);
  header.writeUInt32LE(value.length, 4);
  return Buffer.concat([header, value]);
}

function us(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return element(number, bytes);
}

const ui = (number: number, uid: string): Buffer => element(number, Buffer.from(uid.length % 2 === 0 ? uid : `${uid}\0`, 'latin1'));

/** The command set of a C-STORE-RQ (PS3.7, 9.3.1.1). */
export function encodeStoreRequest(request: { readonly messageId: number; readonly sopClassUID: string; readonly sopInstanceUID: string }): Buffer {
  const body = Buffer.concat([
    ui(0x0002, request.sopClassUID),
    us(0x0100, COMMAND.storeRq),
    us(0x0110, request.messageId),
    us(0x0700, MEDIUM_PRIORITY),
    us(0x0800, WITH_DATA_SET),
    ui(0x1000, request.sopInstanceUID),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([element(0x0000, length), body]);
}

export interface StoreResponse {
  readonly messageId: number;
  readonly status: number;
}

const broken = (detail: string): ExdicomError => new ExdicomError('PEER_PROTOCOL', { detail });

/**
 * The command set of a C-STORE-RSP (PS3.7, 9.3.1.2).
 * @throws {ExdicomError} PEER_PROTOCOL where it is anything else, or lacks its status or message id
 */
export function decodeStoreResponse(bytes: Buffer): StoreResponse {
  const numbers = new Map<number, number>();
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < 8) throw broken('command element cut off');
    const length = bytes.readUInt32LE(at + 4);
    if (bytes.readUInt16LE(at) !== 0 || length > bytes.length - at - 8) throw broken('command element of a wrong group or size');
    if (length === 2) numbers.set(bytes.readUInt16LE(at + 2), bytes.readUInt16LE(at + 8));
    at += 8 + length;
  }
  const messageId = numbers.get(0x0120);
  const status = numbers.get(0x0900);
  if (numbers.get(0x0100) !== COMMAND.storeRsp || messageId === undefined || status === undefined) throw broken('not a C-STORE response');
  if ((numbers.get(0x0800) ?? NO_DATA_SET) !== NO_DATA_SET) throw broken('C-STORE response with a data set');
  return { messageId, status };
}
