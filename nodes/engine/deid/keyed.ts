/**
 * Everything that is derived from the key: UIDs, pseudonyms and the number of days by which a patient's dates shift. Pure
 * functions: the same key, scope and value give the same result in any process.
 */
import { createHmac, createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** A key is used as the bytes it is made of; `key.ts` says where it comes from. */
export type Key = Uint8Array;

/** Keys as the library wants them: bare bytes, which it takes over each time, cost six times as much. */
const prepared = new WeakMap<Key, KeyObject>();

function prepare(key: Key): KeyObject {
  let own = prepared.get(key);
  if (own === undefined) {
    own = createSecretKey(key);
    prepared.set(key, own);
  }
  return own;
}

/** HMAC-SHA-256 over unambiguously joined parts; `purpose` keeps the uses of a key apart. */
function derive(key: Key, purpose: string, scope: string, ...parts: readonly string[]): Buffer {
  const hmac = createHmac('sha256', prepare(key));
  for (const part of [purpose, scope, ...parts]) hmac.update(`${Buffer.byteLength(part)}:`).update(part);
  return hmac.digest();
}

/** Arcs below 1.2.840.10008 that PS3.6, Annex A registers; real entries have at most nine short components there. */
const REGISTERED = /^1\.2\.840\.10008\.(?:[1-9]|10|15)(?:\.(?:0|[1-9]\d{0,3})){0,8}$/;

/** Whether a UID is one of those that the standard itself registers (PS3.6, Annex A), which mean the same everywhere. */
export function isRegisteredUid(uid: string): boolean {
  return REGISTERED.test(uid);
}

/**
 * The UID that stands for another: `2.25.` and the decimal form of a version 8 UUID (PS3.5, B.2; RFC 9562, 5.8). Registered
 * and empty UIDs stay as they are. Trailing NUL and spaces do not count.
 */
export function mapUid(key: Key, scope: string, uid: string): string {
  const value = trimUid(uid);
  if (value === '' || isRegisteredUid(value)) return value;
  const bytes = derive(key, 'uid', scope, value).subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return `2.25.${BigInt(`0x${bytes.toString('hex')}`)}`;
}

export function trimUid(uid: string): string {
  return uid.replaceAll('\0', '').trim();
}

/** Who a file is about, as far as pseudonyms are concerned. */
export interface PatientIdentity {
  /** Issuer of Patient ID, or the default issuer of the job's source; separates two hospitals that share a PatientID. */
  readonly issuer: string;
  /** Trimmed PatientID; empty where the file has none. */
  readonly patientId: string;
  /** Stands in for an empty PatientID: without one, two studies are two patients. */
  readonly studyInstanceUID: string;
}

/** The parts that a patient's pseudonyms and dates are derived from; undefined where the file names neither patient nor study. */
export function identityParts({ issuer, patientId, studyInstanceUID }: PatientIdentity): readonly string[] | undefined {
  const id = trimId(patientId);
  if (id !== '') return ['patient', trimId(issuer), id];
  const study = trimUid(studyInstanceUID);
  return study === '' ? undefined : ['study', study];
}

export function trimId(value: string): string {
  return value.replaceAll('\0', '').trim();
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** 75 bits in 15 characters, legal in every text VR and character set. */
function base32(bytes: Buffer): string {
  let bits = BigInt(`0x${bytes.subarray(0, 10).toString('hex')}`) >> 5n;
  let text = '';
  for (let n = 0; n < 15; n += 1) {
    text = (BASE32[Number(bits & 31n)] ?? '') + text;
    bits >>= 5n;
  }
  return text;
}

export type PseudonymKind = 'patient' | 'accession' | 'study';
const LETTERS = { patient: 'P', accession: 'A', study: 'S' } as const;

/**
 * A pseudonym of 16 characters (the limit of SH): a letter for its kind and 75 bits in base 32.
 * `identity`: what `identityParts` gave. `value`: empty for `patient`; the original value for the others.
 */
export function pseudonym(key: Key, scope: string, kind: PseudonymKind, identity: readonly string[], value = ''): string {
  return LETTERS[kind] + base32(derive(key, `pseudonym ${kind}`, scope, ...identity, value));
}

/** How many whole days a patient's dates go back: 1 to `maximum`, the same for all files of the patient. */
export function dayShift(key: Key, scope: string, identity: readonly string[], maximum: number): number {
  return 1 + Number(derive(key, 'dates', scope, ...identity).readBigUInt64BE(0) % BigInt(maximum));
}

/** Tells two keys apart without telling anything of them: 64 hexadecimal characters. */
export function keyFingerprint(key: Key, scope: string): string {
  return derive(key, 'fingerprint', scope).toString('hex');
}

/** Entries that a memory of derived values holds at most; a study of thousands of files has a few that come again. */
const MEMORY = 20_000;

/** The functions above for one key and scope, with a memory: most UIDs of a study come again in each of its files. */
export class Keyed {
  readonly #key: Key;
  readonly #scope: string;
  readonly #memory = new Map<string, string>();

  constructor(key: Key, scope: string) {
    this.#key = key;
    this.#scope = scope;
  }

  /** A UI value with every one of its UIDs mapped (a UI may have several, PS3.5, 6.4). */
  uids(value: string): string {
    return value.split('\\').map((uid) => this.#remembered(`uid ${uid}`, () => mapUid(this.#key, this.#scope, uid))).join('\\');
  }

  pseudonym(kind: PseudonymKind, identity: readonly string[], value = ''): string {
    return this.#remembered(JSON.stringify([kind, identity, value]), () => pseudonym(this.#key, this.#scope, kind, identity, value));
  }

  days(identity: readonly string[], maximum: number): number {
    return Number(this.#remembered(JSON.stringify(['days', identity, maximum]), () => String(dayShift(this.#key, this.#scope, identity, maximum))));
  }

  #remembered(name: string, make: () => string): string {
    const known = this.#memory.get(name);
    if (known !== undefined) return known;
    const made = make();
    if (this.#memory.size >= MEMORY) this.#memory.clear();
    this.#memory.set(name, made);
    return made;
  }
}
