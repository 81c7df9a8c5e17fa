/** Settings of our Storage and Verification SCP, their defaults, and who may call it. */
import { BlockList, isIP } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { ExdicomError } from '../errors';
import type { SourceKey } from '../model';
import { PACS_DEFAULTS, checkedAeTitle, checkedHost, checkedInteger, pacsAddress } from './peer';

export interface ListenOptions {
  /** Default 127.0.0.1; `0.0.0.0` or `::` for every address. */
  readonly host?: string;
  /** 0: any free one. */
  readonly port: number;
  /** Our AE title. */
  readonly aet: string;
  /** Refuse associations that call another AE title than ours. Default true. */
  readonly checkCalledAET?: boolean;
  /** Calling AE titles that are let in; empty: every one. */
  readonly callingAETs?: readonly string[];
  /** Addresses and networks (`192.0.2.0/24`) that are let in; empty: every one. */
  readonly addresses?: readonly string[];
  /** Present: DICOM over TLS. With `requestCert` and `rejectUnauthorized` a client needs a certificate. */
  readonly tls?: TlsOptions;
  /** Associations side by side. */
  readonly associations?: number;
  /** Bytes: Maximum Length that we propose. */
  readonly maxPdu?: number;
  /** Take SOP Classes outside the standard as well. Default true: they may be storage, and nothing else is done with them. */
  readonly privateSopClasses?: boolean;
  /** Milliseconds. `association`: from the connection to its request; `idle`: without a byte on either side. */
  readonly timeouts?: { readonly association?: number; readonly idle?: number };
}

export interface ListenSettings {
  readonly host: string;
  readonly port: number;
  readonly aet: string;
  readonly checkCalledAET: boolean;
  readonly callingAETs: ReadonlySet<string>;
  readonly isAllowed: (address: string) => boolean;
  readonly tls?: TlsOptions;
  readonly associations: number;
  readonly maxPdu: number;
  readonly privateSopClasses: boolean;
  readonly timeouts: { readonly association: number; readonly idle: number };
  /** What received studies came from: `dicom:AET@host:port`. */
  readonly sourceKey: SourceKey;
}

const MAX_TIME = 2 ** 31 - 1;

/** @throws {ExdicomError} CONFIG_INVALID; the detail names the setting, never its value. */
export function listenSettings(options: ListenOptions): ListenSettings {
  const host = checkedHost(options.host ?? '127.0.0.1', 'host');
  const port = checkedInteger(options.port, 'port', 0, 65_535);
  const aet = checkedAeTitle(options.aet, 'AE title');
  return {
    host, port, aet,
    checkCalledAET: options.checkCalledAET ?? true,
    callingAETs: new Set((options.callingAETs ?? []).map((title) => checkedAeTitle(title, 'calling AE titles'))),
    isAllowed: allowed(options.addresses ?? []),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    associations: checkedInteger(options.associations ?? 10, 'associations', 1, 1_000),
    maxPdu: checkedInteger(options.maxPdu ?? PACS_DEFAULTS.maxPdu, 'maximum PDU length', 4_096, 2 ** 24),
    privateSopClasses: options.privateSopClasses ?? true,
    timeouts: {
      association: checkedInteger(options.timeouts?.association ?? 30_000, 'association timeout', 1, MAX_TIME),
      idle: checkedInteger(options.timeouts?.idle ?? 60_000, 'idle timeout', 1, MAX_TIME),
    },
    sourceKey: pacsAddress({ host, port, calledAET: aet }) as SourceKey,
  };
}

/** Whether an address is in a list of addresses and networks. An IPv4 address counts as itself where it comes mapped into IPv6. */
function allowed(entries: readonly string[]): (address: string) => boolean {
  if (entries.length === 0) return () => true;
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', prefix] = entry.trim().split('/');
    const version = isIP(address);
    const length = prefix === undefined ? undefined : Number(prefix);
    if (version === 0 || (length !== undefined && !(/^\d{1,3}$/.test(prefix ?? '') && length <= (version === 4 ? 32 : 128)))) {
      throw new ExdicomError('CONFIG_INVALID', { detail: 'addresses' });
    }
    const family = version === 4 ? 'ipv4' : 'ipv6';
    if (length === undefined) list.addAddress(address, family);
    else list.addSubnet(address, length, family);
  }
  return (address) => {
    const bare = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
    const version = isIP(bare);
    return version !== 0 && list.check(bare, version === 4 ? 'ipv4' : 'ipv6');
  };
}
