/** Core's `tls-config` node, for those who call and for those who are called. */
import type { ConnectionOptions, TlsOptions } from 'node:tls';
import { ExdicomError } from '../engine/errors';
import { configNode } from './red';
import type { Node, Red } from './red';

/** What core's TLS node offers to those who use it. */
interface TlsNode extends Node {
  readonly valid: boolean;
  addTLSOptions(options: ConnectionOptions): ConnectionOptions;
}

/**
 * TLS of a connection that we open, or undefined for plain TCP.
 * @throws {ExdicomError} CONFIG_INVALID where the node is not there or not valid.
 */
export function clientTls(RED: Red, id: string): ConnectionOptions | undefined {
  if (id === '') return undefined;
  const node = configNode(RED, id, 'tls-config') as TlsNode | undefined; // core registers this type, and only it
  if (node?.valid !== true) throw new ExdicomError('CONFIG_INVALID', { detail: 'tls' });
  return node.addTLSOptions({});
}

/**
 * TLS of a port that we listen on, or undefined for plain TCP. Of the node's settings only the certificates concern a server.
 * @param callersProve callers must show a certificate of the node's authority.
 * @throws {ExdicomError} CONFIG_INVALID where the node is not there, not valid or without the certificate that is needed.
 */
export function serverTls(RED: Red, id: string, callersProve: boolean): TlsOptions | undefined {
  const options = clientTls(RED, id);
  if (options === undefined) {
    if (callersProve) throw new ExdicomError('CONFIG_INVALID', { detail: 'tls: needed for certificates of callers' });
    return undefined;
  }
  const { key, cert, pfx, passphrase, ca } = options;
  const own = pfx === undefined ? { key, cert } : { pfx };
  if (Object.values(own).includes(undefined)) throw new ExdicomError('CONFIG_INVALID', { detail: 'tls: a listener needs a certificate and its key' });
  // Without an authority of its own Node.js would let in whoever has a certificate of any public one.
  if (callersProve && ca === undefined) throw new ExdicomError('CONFIG_INVALID', { detail: 'tls: certificates of callers need an authority' });
  return {
    ...own, ...(passphrase === undefined ? {} : { passphrase }), ...(ca === undefined ? {} : { ca }),
    requestCert: callersProve, rejectUnauthorized: callersProve,
  };
}
