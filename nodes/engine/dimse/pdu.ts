/**
 * Protocol data units of the DICOM upper layer (PS3.8, 9.3): what we write, and a strict reading of what a peer writes.
 * All lengths that come from the peer are checked against what was received before anything is read by them.
 */
import { ExdicomError } from '../errors';

export const PDU = {
  associateRq: 0x01,
  associateAc: 0x02,
  associateRj: 0x03,
  data: 0x04,
  releaseRq: 0x05,
  releaseRp: 0x06,
  abort: 0x07,
} as const;

/** PDU type, a reserved byte, length of what follows (PS3.8, 9.3.1). */
export const PDU_HEADER = 6;
/** A P-DATA-TF header and one PDV's length, context id and message control header (PS3.8, 9.3.5). */
export const DATA_HEADER = 12;
/** Of a PDU's variable field, what a single PDV leaves for its fragment is 6 bytes less. */
export const PDV_OVERHEAD = 6;

/** Message control header (PS3.8, E.2). */
export const CONTROL = { command: 0x01, last: 0x02 } as const;

export const APPLICATION_CONTEXT = '1.2.840.10008.3.1.1.1';

export interface ProposedContext {
  /** Odd, 1 to 255. */
  readonly id: number;
  readonly abstractSyntax: string;
  readonly transferSyntax: string;
}

/** An association takes no more: the ids are the odd numbers of a byte (PS3.8, 9.3.2.2). */
export const MAX_CONTEXTS = 128;

export interface AssociateRequest {
  readonly calledAET: string;
  readonly callingAET: string;
  readonly contexts: readonly ProposedContext[];
  /** Bytes: the largest variable field of a P-DATA-TF PDU that we take (PS3.8, D.1). */
  readonly maxPdu: number;
  readonly implementationClassUID: string;
  readonly implementationVersionName: string;
}

export interface AssociateAnswer {
  /** The transfer syntax of each accepted context, by its id. */
  readonly accepted: ReadonlyMap<number, string>;
  /** As the peer wrote it; 0: it names no maximum (PS3.8, D.1). */
  readonly maxPdu: number;
  readonly implementationClassUID: string;
}

export interface AssociateRejection {
  /** 1: for good, 2: for now (PS3.8, 9.3.4). */
  readonly result: number;
  readonly source: number;
  readonly reason: number;
}

export function item(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header[0] = type;
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
}

export function pdu(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(PDU_HEADER);
  header[0] = type;
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

export const aeTitle = (title: string): Buffer => Buffer.from(title.padEnd(16).slice(0, 16), 'latin1');
export const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');

/** A-ASSOCIATE-RQ (PS3.8, 9.3.2). */
export function encodeAssociateRequest(request: AssociateRequest): Buffer {
  const maximum = Buffer.alloc(4);
  maximum.writeUInt32BE(request.maxPdu);
  return pdu(PDU.associateRq, Buffer.concat([
    Buffer.from([0, 1, 0, 0]), aeTitle(request.calledAET), aeTitle(request.callingAET), Buffer.alloc(32),
    item(0x10, ascii(APPLICATION_CONTEXT)),
    ...request.contexts.map(({ id, abstractSyntax, transferSyntax }) => item(0x20, Buffer.concat([
      Buffer.from([id, 0, 0, 0]), item(0x30, ascii(abstractSyntax)), item(0x40, ascii(transferSyntax)),
    ]))),
    item(0x50, Buffer.concat([
      item(0x51, maximum), item(0x52, ascii(request.implementationClassUID)), item(0x55, ascii(request.implementationVersionName)),
    ])),
  ]));
}

export const RELEASE_REQUEST: Buffer = pdu(PDU.releaseRq, Buffer.alloc(4));
export const RELEASE_RESPONSE: Buffer = pdu(PDU.releaseRp, Buffer.alloc(4));
/** A-ABORT by the service user (PS3.8, 9.3.8). */
export const ABORT: Buffer = pdu(PDU.abort, Buffer.alloc(4));

/** Writes the 12 bytes before a fragment of `length` bytes into `target` at `offset`. */
export function writeDataHeader(target: Buffer, offset: number, contextId: number, control: number, length: number): void {
  target[offset] = PDU.data;
  target[offset + 1] = 0;
  target.writeUInt32BE(length + PDV_OVERHEAD, offset + 2);
  target.writeUInt32BE(length + 2, offset + 6);
  target[offset + 10] = contextId;
  target[offset + 11] = control;
}

/** A whole command set as P-DATA-TF PDUs; one, unless the peer takes only very small ones. */
export function encodeCommand(contextId: number, command: Buffer, maxFragment: number): Buffer {
  const count = Math.max(1, Math.ceil(command.length / maxFragment));
  const out = Buffer.alloc(command.length + count * DATA_HEADER);
  for (let i = 0, from = 0, at = 0; i < count; i++) {
    const length = Math.min(maxFragment, command.length - from);
    writeDataHeader(out, at, contextId, CONTROL.command | (i === count - 1 ? CONTROL.last : 0), length);
    command.copy(out, at + DATA_HEADER, from, from + length);
    from += length;
    at += DATA_HEADER + length;
  }
  return out;
}

const broken = (detail: string): ExdicomError => new ExdicomError('PEER_PROTOCOL', { detail });

/** Walks items of the kind (type, reserved, 16-bit length); each must end within what holds it. */
export function* items(body: Buffer, from: number, to: number): Generator<{ type: number; from: number; to: number }> {
  let at = from;
  while (at < to) {
    if (to - at < 4) throw broken('association item cut off');
    const end = at + 4 + body.readUInt16BE(at + 2);
    if (end > to) throw broken('association item longer than what holds it');
    yield { type: body.readUInt8(at), from: at + 4, to: end };
    at = end;
  }
}

export const uid = (body: Buffer, from: number, to: number): string => body.toString('latin1', from, to).replace(/[\0 ]+$/, '');

/**
 * The variable field of an A-ASSOCIATE-AC (PS3.8, 9.3.3).
 * @throws {ExdicomError} PEER_PROTOCOL
 */
export function decodeAssociateAccept(body: Buffer): AssociateAnswer {
  if (body.length < 68) throw broken('association answer cut off');
  const accepted = new Map<number, string>();
  let maxPdu = 0;
  let implementationClassUID = '';
  for (const outer of items(body, 68, body.length)) {
    if (outer.type === 0x21) {
      if (outer.to - outer.from < 4) throw broken('presentation context cut off');
      const id = body.readUInt8(outer.from);
      if (accepted.has(id)) throw broken('presentation context answered twice');
      if (body.readUInt8(outer.from + 2) !== 0) continue;
      for (const inner of items(body, outer.from + 4, outer.to)) {
        if (inner.type === 0x40) accepted.set(id, uid(body, inner.from, inner.to));
      }
    } else if (outer.type === 0x50) {
      for (const inner of items(body, outer.from, outer.to)) {
        if (inner.type === 0x51) {
          if (inner.to - inner.from !== 4) throw broken('maximum length of a wrong size');
          maxPdu = body.readUInt32BE(inner.from);
        } else if (inner.type === 0x52) {
          implementationClassUID = uid(body, inner.from, inner.to);
        }
      }
    }
  }
  return { accepted, maxPdu, implementationClassUID };
}

/**
 * The variable field of an A-ASSOCIATE-RJ (PS3.8, 9.3.4).
 * @throws {ExdicomError} PEER_PROTOCOL
 */
export function decodeAssociateReject(body: Buffer): AssociateRejection {
  if (body.length !== 4) throw broken('rejection of a wrong size');
  return { result: body.readUInt8(1), source: body.readUInt8(2), reason: body.readUInt8(3) };
}

export interface DataValue {
  readonly contextId: number;
  readonly control: number;
  readonly fragment: Buffer;
}

/**
 * The presentation data values of a P-DATA-TF's variable field (PS3.8, 9.3.5.1).
 * @throws {ExdicomError} PEER_PROTOCOL
 */
export function decodeDataValues(body: Buffer): DataValue[] {
  const values: DataValue[] = [];
  let at = 0;
  while (at < body.length) {
    if (body.length - at < PDV_OVERHEAD) throw broken('presentation data value cut off');
    const length = body.readUInt32BE(at);
    if (length < 2 || length > body.length - at - 4) throw broken('presentation data value of a wrong size');
    values.push({ contextId: body.readUInt8(at + 4), control: body.readUInt8(at + 5), fragment: body.subarray(at + 6, at + 4 + length) });
    at += 4 + length;
  }
  if (values.length === 0) throw broken('data PDU without a value');
  return values;
}

export interface Pdu {
  readonly type: number;
  /** The variable field; a view on received bytes, to be used at once. */
  readonly body: Buffer;
}

/** Association requests are the longest of what is no data: 128 contexts with every transfer syntax there is, and room to spare. */
const LONGEST_NEGOTIATION = 256 * 1024;
/** Peers that count the header in, or round up. */
const SLACK = 1024;

/** Cuts the bytes of a connection into PDUs; never holds more than the largest one allowed. */
export class PduReader {
  readonly #longestData: number;
  #chunks: Buffer[] = [];
  #held = 0;

  /** @param maxPdu what we proposed as Maximum Length, bytes */
  constructor(maxPdu: number) {
    this.#longestData = maxPdu + SLACK;
  }

  /**
   * Takes what arrived and gives the PDUs that are complete now.
   * @throws {ExdicomError} PEER_PROTOCOL on an unknown type or a length beyond what we proposed
   */
  push(chunk: Buffer): Pdu[] {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    const pdus: Pdu[] = [];
    while (this.#held >= PDU_HEADER) {
      const { type, length } = this.#header();
      if (this.#held < PDU_HEADER + length) break;
      const bytes = this.#join();
      pdus.push({ type, body: bytes.subarray(PDU_HEADER, PDU_HEADER + length) });
      const rest = bytes.subarray(PDU_HEADER + length);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#held = rest.length;
    }
    return pdus;
  }

  /** The type of a PDU of which only a part has arrived. */
  get partial(): number | undefined {
    return this.#held === 0 ? undefined : this.#chunks[0]?.[0];
  }

  #join(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  #header(): { type: number; length: number } {
    const bytes = (this.#chunks[0]?.length ?? 0) >= PDU_HEADER ? this.#chunks[0]! : this.#join();
    const type = bytes.readUInt8(0);
    const length = bytes.readUInt32BE(2);
    if (type < PDU.associateRq || type > PDU.abort) throw broken('unknown PDU type');
    const longest = type === PDU.data ? this.#longestData : type <= PDU.associateAc ? LONGEST_NEGOTIATION : 1024;
    if (length > longest) throw broken('PDU longer than allowed');
    return { type, length };
  }
}
