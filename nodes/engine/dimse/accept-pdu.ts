/** The acceptor's half of association negotiation (PS3.8, 9.3.2 to 9.3.4, 9.3.8): read a request, write an answer. */
import { ExdicomError } from '../errors';
import { APPLICATION_CONTEXT, PDU, ascii, item, items, pdu, uid } from './pdu';

export interface RequestedContext {
  readonly id: number;
  readonly abstractSyntax: string;
  readonly transferSyntaxes: readonly string[];
}

export interface AssociationRequest {
  readonly calledAET: string;
  readonly callingAET: string;
  /** Bit 0 of the protocol version, and the DICOM application context (PS3.7, A.2.1). */
  readonly supported: boolean;
  readonly contexts: readonly RequestedContext[];
  /** Bytes; 0: no maximum. */
  readonly maxPdu: number;
  /** The 64 bytes of both AE titles and the reserved field, which an answer returns as they are (PS3.8, 9.3.3). */
  readonly echoed: Buffer;
}

/** Result of one presentation context (PS3.8, 9.3.3.2). */
export const ContextResult = { accepted: 0, noReason: 2, abstractSyntax: 3, transferSyntaxes: 4 } as const;

export interface AnsweredContext {
  readonly id: number;
  readonly result: number;
  /** Of an accepted context; not significant otherwise. */
  readonly transferSyntax: string;
}

/** Why an association is rejected: result, source, reason (PS3.8, Table 9-21). */
export const Rejection = {
  applicationContext: [1, 1, 2],
  callingAET: [1, 1, 3],
  calledAET: [1, 1, 7],
  protocolVersion: [1, 2, 2],
  localLimit: [2, 3, 2],
} as const;

/** Reasons of an abort by the service provider (PS3.8, Table 9-26). */
export const AbortReason = { unspecified: 0, unexpectedPdu: 2, invalidParameter: 6 } as const;

const broken = (detail: string): ExdicomError => new ExdicomError('PEER_PROTOCOL', { detail });

/** An AE title without its padding; some requestors pad it with NUL. */
const title = (body: Buffer, from: number): string => body.toString('latin1', from, from + 16).replace(/\0.*$/s, '').trim();

/**
 * The variable field of an A-ASSOCIATE-RQ.
 * @throws {ExdicomError} PEER_PROTOCOL
 */
export function decodeAssociateRequest(body: Buffer): AssociationRequest {
  if (body.length < 68) throw broken('association request cut off');
  const contexts: RequestedContext[] = [];
  const ids = new Set<number>();
  let applicationContext = '';
  let maxPdu = 0;
  for (const outer of items(body, 68, body.length)) {
    if (outer.type === 0x10) {
      applicationContext = uid(body, outer.from, outer.to);
    } else if (outer.type === 0x20) {
      if (outer.to - outer.from < 4) throw broken('presentation context cut off');
      const id = body.readUInt8(outer.from);
      if (id % 2 === 0 || ids.has(id)) throw broken('presentation context with an even or repeated id');
      ids.add(id);
      let abstractSyntax = '';
      const transferSyntaxes: string[] = [];
      for (const inner of items(body, outer.from + 4, outer.to)) {
        if (inner.type === 0x30) abstractSyntax = uid(body, inner.from, inner.to);
        else if (inner.type === 0x40) transferSyntaxes.push(uid(body, inner.from, inner.to));
      }
      contexts.push({ id, abstractSyntax, transferSyntaxes });
    } else if (outer.type === 0x50) {
      for (const inner of items(body, outer.from, outer.to)) {
        if (inner.type !== 0x51) continue;
        if (inner.to - inner.from !== 4) throw broken('maximum length of a wrong size');
        maxPdu = body.readUInt32BE(inner.from);
      }
    }
  }
  return {
    calledAET: title(body, 4),
    callingAET: title(body, 20),
    supported: (body.readUInt16BE(0) & 1) === 1 && applicationContext === APPLICATION_CONTEXT,
    contexts,
    maxPdu,
    echoed: Buffer.from(body.subarray(4, 68)),
  };
}

export interface AssociateAcceptance {
  readonly contexts: readonly AnsweredContext[];
  readonly maxPdu: number;
  readonly implementationClassUID: string;
  readonly implementationVersionName: string;
}

/** A-ASSOCIATE-AC. */
export function encodeAssociateAccept(request: AssociationRequest, answer: AssociateAcceptance): Buffer {
  const maximum = Buffer.alloc(4);
  maximum.writeUInt32BE(answer.maxPdu);
  return pdu(PDU.associateAc, Buffer.concat([
    Buffer.from([0, 1, 0, 0]), request.echoed,
    item(0x10, ascii(APPLICATION_CONTEXT)),
    ...answer.contexts.map(({ id, result, transferSyntax }) => item(0x21, Buffer.concat([Buffer.from([id, 0, result, 0]), item(0x40, ascii(transferSyntax))]))),
    item(0x50, Buffer.concat([
      item(0x51, maximum), item(0x52, ascii(answer.implementationClassUID)), item(0x55, ascii(answer.implementationVersionName)),
    ])),
  ]));
}

/** A-ASSOCIATE-RJ. */
export function encodeAssociateReject([result, source, reason]: readonly [number, number, number]): Buffer {
  return pdu(PDU.associateRj, Buffer.from([0, result, source, reason]));
}

/** A-ABORT by the service provider. */
export function encodeProviderAbort(reason: number): Buffer {
  return pdu(PDU.abort, Buffer.from([0, 0, 2, reason]));
}
