/** A peer that answers C-FIND with the instances of a list, or shows nothing as long as it is told to. */
import { DataSetType, Field, encodeCommandSet } from '../../nodes/engine/dimse/command-set';
import { Tag, encodeIdentifier } from '../../nodes/engine/dimse/find';
import { CONTROL, DATA_HEADER, encodeCommand, writeDataHeader } from '../../nodes/engine/dimse/pdu';
import { startFaultScp } from './fault-scp';
import type { MessageAnswer } from './fault-scp';

export interface FindPeer extends AsyncDisposable {
  readonly port: number;
  /** Nothing is found while this is set. */
  blind: boolean;
  /** Queries so far. */
  readonly asked: number;
}

/** A C-FIND-RSP, with the identifier that comes with a pending one. */
function response(contextId: number, messageId: number, status: number, uid?: string): Buffer {
  const command = encodeCommand(contextId, encodeCommandSet([
    [Field.commandField, 0x8020], [Field.messageIdBeingRespondedTo, messageId], [Field.dataSetType, uid === undefined ? DataSetType.none : DataSetType.present], [Field.status, status],
  ]), 16_000);
  if (uid === undefined) return command;
  const identifier = encodeIdentifier([[Tag.SOPInstanceUID, uid]]);
  const header = Buffer.alloc(DATA_HEADER);
  writeDataHeader(header, 0, contextId, CONTROL.last, identifier.length);
  return Buffer.concat([command, header, identifier]);
}

/** @param held SOP Instance UIDs that it has now */
export async function startFindPeer(held: () => Iterable<string>): Promise<FindPeer> {
  const state = { blind: false };
  const scp = await startFaultScp({
    respond: ({ contextId, messageId }): MessageAnswer => {
      const found = state.blind ? [] : [...held()].map((uid) => response(contextId, messageId, 0xff00, uid));
      return { bytes: Buffer.concat([...found, response(contextId, messageId, 0)]) };
    },
  });
  return {
    port: scp.port,
    get blind() { return state.blind; },
    set blind(blind) { state.blind = blind; },
    get asked() { return scp.messages.length; },
    [Symbol.asyncDispose]: () => scp[Symbol.asyncDispose](),
  };
}
