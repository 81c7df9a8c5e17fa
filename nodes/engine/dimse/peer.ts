/** Whom we talk DICOM to: the settings of a destination, their defaults, and the address by which the ledger knows it. */
import type { ConnectionOptions } from 'node:tls';
import { ExdicomError } from '../errors';

/** Milliseconds. An expired one destroys the socket; no association outlives it. */
export interface PeerTimeouts {
  /** TCP connection, and TLS handshake where there is one. */
  readonly connect: number;
  /** A-ASSOCIATE-RQ sent, no answer. */
  readonly association: number;
  /** A request is wholly sent, no (further) response. */
  readonly response: number;
  /** The peer takes no byte of what we write. */
  readonly progress: number;
  /** A-RELEASE-RQ sent, no answer. */
  readonly release: number;
}

/** What an association needs to know of the other side. */
export interface Peer {
  readonly host: string;
  readonly port: number;
  readonly calledAET: string;
  readonly callingAET: string;
  /** Present: DICOM over TLS (PS3.15, B). Host and port are ours; verification of the certificate is on unless it says otherwise. */
  readonly tls?: ConnectionOptions;
  readonly timeouts: PeerTimeouts;
  /** Bytes. Largest PDU that we take (proposed as Maximum Length, PS3.8 D.1) and that we make; the peer's own maximum holds as well. */
  readonly maxPdu: number;
  /** `dicom:AET@host:port`: the same destination after any redeploy. */
  readonly address: string;
}

/** A destination of `c-store-out`. */
export interface PacsSettings extends Peer {
  /** Associations side by side; many peers take one per calling AE title. */
  readonly associations: number;
  /** Write the next PDU's header early so that a peer with Nagle on answers at once. */
  readonly nudge: boolean;
  /** What proves that an instance arrived: its C-STORE response, or that the destination (or its query peer) then finds it. */
  readonly level: 'response' | 'C-FIND';
  /** Who answers C-FIND where the destination itself does not. TLS and timeouts are those of the destination. */
  readonly queryPeer?: Peer;
  /** Milliseconds between two C-ECHOs while it does not answer. */
  readonly probeInterval: number;
  /** Milliseconds that verification waits for instances that the destination does not show yet. */
  readonly verifyWait: number;
  readonly identifiedAllowed: boolean;
  /** Key in `msg.delivered` and in receipts: the node's name, or the address. */
  readonly label: string;
}

/** What a node hands in: everything optional that has a default. */
export interface PacsOptions {
  readonly host: string;
  readonly port: number;
  readonly calledAET: string;
  readonly callingAET?: string;
  readonly tls?: ConnectionOptions;
  readonly timeouts?: Partial<PeerTimeouts>;
  readonly associations?: number;
  readonly maxPdu?: number;
  readonly nudge?: boolean;
  readonly level?: PacsSettings['level'];
  readonly queryPeer?: { readonly host: string; readonly port: number; readonly calledAET: string };
  readonly probeInterval?: number;
  readonly verifyWait?: number;
  readonly identifiedAllowed?: boolean;
  readonly label?: string;
}

export const DEFAULT_TIMEOUTS: PeerTimeouts = { connect: 10_000, association: 30_000, response: 60_000, progress: 60_000, release: 3_000 };

export const PACS_DEFAULTS = {
  callingAET: 'EXDICOM',
  associations: 1,
  maxPdu: 131_072,
  nudge: true,
  level: 'response',
  probeInterval: 30_000,
  verifyWait: 15 * 60_000,
} as const satisfies Partial<PacsOptions>;

/** Longest time that a timer of Node can hold, milliseconds. */
const MAX_TIME = 2 ** 31 - 1;

/**
 * The settings of a destination, checked, with defaults filled in.
 * @throws {ExdicomError} CONFIG_INVALID; the detail names the setting, never its value.
 */
export function pacsSettings(options: PacsOptions): PacsSettings {
  const callingAET = checkedAeTitle(options.callingAET ?? PACS_DEFAULTS.callingAET, 'calling AE title');
  const timeouts = checkedTimeouts(options.timeouts ?? {});
  const maxPdu = checkedInteger(options.maxPdu ?? PACS_DEFAULTS.maxPdu, 'maximum PDU length', 4_096, 2 ** 24);
  const peer = (who: { host: string; port: number; calledAET: string }, prefix: string): Peer => {
    const host = checkedHost(who.host, `${prefix}host`);
    const port = checkedInteger(who.port, `${prefix}port`, 1, 65_535);
    const calledAET = checkedAeTitle(who.calledAET, `${prefix}called AE title`);
    return {
      host, port, calledAET, callingAET, timeouts, maxPdu,
      address: pacsAddress({ host, port, calledAET }),
      ...(options.tls === undefined ? {} : { tls: options.tls }),
    };
  };
  const destination = peer(options, '');
  const level = options.level ?? PACS_DEFAULTS.level;
  if (level !== 'response' && level !== 'C-FIND') throw invalid('verification level');
  const label = options.label?.trim() ?? '';
  return {
    ...destination,
    associations: checkedInteger(options.associations ?? PACS_DEFAULTS.associations, 'associations', 1, 16),
    nudge: options.nudge ?? PACS_DEFAULTS.nudge,
    level,
    ...(options.queryPeer === undefined ? {} : { queryPeer: peer(options.queryPeer, 'query peer: ') }),
    probeInterval: checkedInteger(options.probeInterval ?? PACS_DEFAULTS.probeInterval, 'probe interval', 1, MAX_TIME),
    verifyWait: checkedInteger(options.verifyWait ?? PACS_DEFAULTS.verifyWait, 'verification wait', 0, MAX_TIME),
    identifiedAllowed: options.identifiedAllowed ?? false,
    label: label === '' ? destination.address : label,
  };
}

/** The address by which the ledger knows a destination: `dicom:AET@host:port`, host in lower case, IPv6 in brackets. */
export function pacsAddress({ host, port, calledAET }: { readonly host: string; readonly port: number; readonly calledAET: string }): string {
  const bare = host.trim().toLowerCase().replace(/^\[(.*)\]$/, '$1');
  return `dicom:${calledAET.trim()}@${bare.includes(':') ? `[${bare}]` : bare}:${port}`;
}

/**
 * An AE title without its insignificant outer spaces (PS3.5, 6.2, AE): 1 to 16 characters of the default repertoire, no
 * backslash, no control character.
 * @throws {ExdicomError} CONFIG_INVALID
 */
export function checkedAeTitle(title: string, setting: string): string {
  const trimmed = title.trim();
  if (!/^[\x20-\x5b\x5d-\x7e]{1,16}$/.test(trimmed)) throw invalid(setting);
  return trimmed;
}

/** @throws {ExdicomError} CONFIG_INVALID */
export function checkedInteger(value: number, setting: string, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) throw invalid(setting);
  return value;
}

/** @throws {ExdicomError} CONFIG_INVALID */
export function checkedHost(host: string, setting: string): string {
  const trimmed = host.trim().replace(/^\[(.*)\]$/, '$1');
  if (!/^[A-Za-z0-9._:%-]{1,253}$/.test(trimmed)) throw invalid(setting);
  return trimmed;
}

function checkedTimeouts(given: Partial<PeerTimeouts>): PeerTimeouts {
  const timeouts: { -readonly [K in keyof PeerTimeouts]: number } = { ...DEFAULT_TIMEOUTS };
  for (const name of Object.keys(DEFAULT_TIMEOUTS) as ReadonlyArray<keyof PeerTimeouts>) {
    const value = given[name];
    if (value !== undefined) timeouts[name] = checkedInteger(value, `${name} timeout`, 1, MAX_TIME);
  }
  return timeouts;
}

function invalid(setting: string): ExdicomError {
  return new ExdicomError('CONFIG_INVALID', { detail: setting });
}
