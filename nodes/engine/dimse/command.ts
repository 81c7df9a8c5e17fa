/** The command sets of C-STORE (PS3.7, 9.3.1). */
import { ExdicomError } from '../errors';
import { Command, CommandSet, DataSetType, Field, encodeCommandSet } from './command-set';

const MEDIUM_PRIORITY = 0x0000;

/** The command set of a C-STORE-RQ (PS3.7, 9.3.1.1). */
export function encodeStoreRequest(request: { readonly messageId: number; readonly sopClassUID: string; readonly sopInstanceUID: string }): Buffer {
  return encodeCommandSet([
    [Field.affectedSopClassUID, request.sopClassUID],
    [Field.commandField, Command.storeRq],
    [Field.messageId, request.messageId],
    [Field.priority, MEDIUM_PRIORITY],
    [Field.dataSetType, DataSetType.present],
    [Field.affectedSopInstanceUID, request.sopInstanceUID],
  ]);
}

export interface StoreResponse {
  readonly messageId: number;
  readonly status: number;
  /** Empty where the peer names none. */
  readonly sopInstanceUID: string;
}

/**
 * The command set of a C-STORE-RSP (PS3.7, 9.3.1.2).
 * @throws {ExdicomError} PEER_PROTOCOL where it is anything else, or lacks its status or message id
 */
export function decodeStoreResponse(bytes: Buffer): StoreResponse {
  const command = new CommandSet(bytes);
  const messageId = command.number(Field.messageIdBeingRespondedTo);
  const status = command.number(Field.status);
  if (command.number(Field.commandField) !== Command.storeRsp || messageId === undefined || status === undefined) {
    throw new ExdicomError('PEER_PROTOCOL', { detail: 'not a C-STORE response' });
  }
  if (command.hasDataSet) throw new ExdicomError('PEER_PROTOCOL', { detail: 'C-STORE response with a data set' });
  return { messageId, status, sopInstanceUID: command.uid(Field.affectedSopInstanceUID) };
}
