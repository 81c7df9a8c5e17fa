/** A TCP or TLS connection to a peer, and what goes wrong with it in our words: no message of another layer goes on. */
import { connect as connectTcp, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ExdicomError } from '../errors';
import type { Peer } from './peer';

/** OpenSSL and Node.js codes of what keeps a TLS connection from being made. */
const TLS_WORDS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'the certificate of the destination has expired',
  CERT_NOT_YET_VALID: 'the certificate of the destination is not valid yet',
  CERT_REVOKED: 'the certificate of the destination is revoked',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate of the destination is for another host name',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate of the destination is self-signed and not trusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'the authority of the destination is not trusted',
  UNABLE_TO_GET_ISSUER_CERT: 'the authority of the destination is not trusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the authority of the destination is not trusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the authority of the destination is not trusted',
  ERR_SSL_WRONG_VERSION_NUMBER: 'the port does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'the port does not speak TLS',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'no TLS version in common',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'no TLS version in common',
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 'the destination refused the handshake: no cipher in common, or it wants a certificate from us',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'the destination wants a certificate from us',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'the destination does not trust our certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'the destination does not trust our certificate',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'the destination does not take our certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'our certificate has expired',
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: 'our certificate and our key do not belong together',
};

const UNREACHABLE_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused: nothing listens on the port',
  ENOTFOUND: 'host name unknown',
  EAI_AGAIN: 'the name server does not answer',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  EADDRNOTAVAIL: 'no free local port, or address not usable',
  ETIMEDOUT: 'no answer',
};

/**
 * Of a host name with several addresses each has its share of the connect timeout: by default Node leaves one after 250 ms,
 * which a lost packet or a distant network takes, and with one that cannot be reached there is none left then.
 */
const ADDRESSES = 4;
/** Milliseconds; Node takes no less than 10. */
const LEAST_ATTEMPT = 250;

const codeOf = (thrown: unknown): string => (typeof thrown === 'object' && thrown !== null && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '');

/** A certificate or handshake error, but for a connection that just broke. */
function tlsWords(code: string): string | undefined {
  const known = TLS_WORDS[code];
  if (known !== undefined) return known;
  return /^(ERR_(SSL|TLS|OSSL)_|CERT_|UNABLE_TO_|HOSTNAME_MISMATCH)/.test(code) ? 'certificate or handshake refused' : undefined;
}

/**
 * A socket's error as ours. A TLS 1.3 peer may refuse our certificate only after the handshake, so TLS errors count at
 * any time.
 */
export function socketError(thrown: unknown, peer: Peer, stage: 'connecting' | 'connected'): ExdicomError {
  const code = codeOf(thrown);
  const tls = peer.tls === undefined ? undefined : tlsWords(code);
  const destination = peer.address;
  if (tls !== undefined) return new ExdicomError('TLS_FAILED', { detail: tls, destination, origin: thrown });
  if (stage === 'connecting' && code !== 'ECONNRESET' && code !== 'EPIPE') {
    return new ExdicomError('PEER_UNREACHABLE', { detail: UNREACHABLE_WORDS[code] ?? 'connecting failed', destination, origin: thrown });
  }
  if (code === 'ETIMEDOUT') return new ExdicomError('PEER_TIMEOUT', { detail: 'connection lost', destination, origin: thrown });
  return new ExdicomError('PEER_CLOSED', { detail: stage === 'connecting' ? whileConnecting(peer) : 'connection broken', destination, origin: thrown });
}

const whileConnecting = ({ tls }: Peer): string => (tls === undefined ? 'while the connection was made' : 'in the TLS handshake: does the port speak TLS?');

/**
 * Opens the connection, Nagle's algorithm off.
 * @throws {ExdicomError} PEER_UNREACHABLE, PEER_CLOSED, TLS_FAILED; or the signal's reason
 */
export function openSocket(peer: Peer, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const target = { host: peer.host, port: peer.port, autoSelectFamilyAttemptTimeout: Math.max(LEAST_ATTEMPT, Math.ceil(peer.timeouts.connect / ADDRESSES)) };
    let socket: Socket;
    try {
      socket = peer.tls === undefined
        ? connectTcp({ ...target, noDelay: true })
        // SNI names hosts, never addresses (RFC 6066, 3).
        : connectTls({ ...(isIP(peer.host) === 0 ? { servername: peer.host } : {}), ...peer.tls, ...target });
    } catch (thrown) {
      // A key or certificate that cannot be read throws here.
      reject(peer.tls === undefined ? socketError(thrown, peer, 'connecting')
        : new ExdicomError('TLS_FAILED', { detail: tlsWords(codeOf(thrown)) ?? 'our certificate, key or authority cannot be read', destination: peer.address, origin: thrown }));
      return;
    }
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      socket.off('error', failed);
      socket.off('close', closed);
      socket.off(ready, connected);
    };
    const end = (reason: unknown): void => {
      settle();
      socket.on('error', () => { /* told already */ });
      socket.destroy();
      // The signal's reason is whatever its owner gave.
      // oxlint-disable-next-line promise/prefer-await-to-then, typescript/prefer-promise-reject-errors
      reject(reason);
    };
    const aborted = (): void => { end(signal.reason); };
    const failed = (error: Error): void => { end(socketError(error, peer, 'connecting')); };
    const closed = (): void => { end(new ExdicomError('PEER_CLOSED', { detail: whileConnecting(peer), destination: peer.address })); };
    const connected = (): void => {
      settle();
      socket.setNoDelay(true);
      resolve(socket);
    };
    const ready = peer.tls === undefined ? 'connect' : 'secureConnect';
    const timer = setTimeout(() => {
      // A port without TLS waits for the rest of what it takes for a PDU.
      const what = peer.tls === undefined || socket.connecting ? 'no answer' : 'connected, but the TLS handshake had no answer';
      end(new ExdicomError('PEER_UNREACHABLE', { detail: `${what} within ${peer.timeouts.connect / 1000} s`, destination: peer.address }));
    }, peer.timeouts.connect);
    signal.addEventListener('abort', aborted, { once: true });
    socket.on('error', failed);
    socket.on('close', closed);
    socket.on(ready, connected);
  });
}
