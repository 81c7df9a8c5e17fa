/** C-ECHO: whether a peer answers, and if not, why (PS3.4, A; PS3.7, 9.1.5). */
import { IMPLICIT_VR_LITTLE_ENDIAN } from '../dicom/transfer-syntaxes';
import { ExdicomError } from '../errors';
import { Command, DataSetType, Field, encodeCommandSet } from './command-set';
import { Exchange } from './exchange';
import type { Peer } from './peer';
import { statusText } from './store-status';

export const VERIFICATION_SOP_CLASS = '1.2.840.10008.1.1';

/**
 * Associates, sends a C-ECHO and releases. Milliseconds from the first packet to the response.
 * @throws {ExdicomError} PEER_UNREACHABLE, TLS_FAILED, PEER_TIMEOUT, PEER_CLOSED, PEER_ABORTED, PEER_PROTOCOL,
 * ASSOCIATION_REJECTED, ASSOCIATION_BUSY, NO_CONTEXT, each with its cause in plain words as `detail`; or the signal's reason
 */
export async function echo(peer: Peer, signal: AbortSignal): Promise<{ readonly milliseconds: number }> {
  const start = performance.now();
  await using exchange = await Exchange.open(peer, VERIFICATION_SOP_CLASS, IMPLICIT_VR_LITTLE_ENDIAN, signal,
    new ExdicomError('NO_CONTEXT', { detail: 'it does not take C-ECHO', destination: peer.address }));
  const request = encodeCommandSet([
    [Field.affectedSopClassUID, VERIFICATION_SOP_CLASS], [Field.commandField, Command.echoRq], [Field.messageId, 1], [Field.dataSetType, DataSetType.none],
  ]);
  let status: number | undefined;
  await exchange.request(request, undefined, ({ command }) => {
    if (command.number(Field.commandField) === Command.echoRsp) status = command.number(Field.status);
    return 'last';
  });
  if (status !== 0) throw new ExdicomError('PEER_PROTOCOL', { detail: status === undefined ? 'no C-ECHO response' : `C-ECHO status ${statusText(status)}`, destination: peer.address });
  const milliseconds = performance.now() - start;
  await exchange.close();
  return { milliseconds };
}
