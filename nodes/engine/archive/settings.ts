/** What a person can set about unpacking, and what of it changes the result. */
import { hash } from 'node:crypto';
import type { NameEncoding } from './name-encodings';

export interface ExtractLimits {
  /** Bytes that all entries of the job may unpack to. */
  readonly bytes: number;
  readonly entries: number;
  /** How many times its packed size an entry may unpack to; judged where it unpacks to more than `RATIO_FROM`. */
  readonly ratio: number;
  /** Bytes of an entry's name. */
  readonly nameBytes: number;
  /** For the whole job. */
  readonly milliseconds: number;
}

export interface ExtractSettings {
  readonly limits: ExtractLimits;
  /** How many levels of archives inside the archive are opened. */
  readonly depth: number;
  /** For names without a mark of their encoding: code pages to choose from; where two fit equally well the earlier one is taken. */
  readonly encodings: readonly NameEncoding[];
  /** Secrets, tried in this order. */
  readonly passwords: readonly string[];
  readonly patients: 'all' | 'split' | 'stop';
}

export type { NameEncoding };

/** Small entries may be as hollow as they like: what they unpack to does no harm. */
export const RATIO_FROM = 10_000_000;

export const DEFAULT_SETTINGS: ExtractSettings = {
  limits: { bytes: 50e9, entries: 100_000, ratio: 200, nameBytes: 4096, milliseconds: 3_600_000 },
  depth: 1,
  encodings: ['cp950', 'cp949', 'cp932', 'gbk'],
  passwords: [],
  patients: 'all',
};

/** Raised when the same archive comes out otherwise than before. */
const ENGINE = 1;

/** Digest of what changes the output: not the passwords, the time, nor what is done with several patients. */
export function settingsDigest({ limits: { bytes, entries, ratio, nameBytes }, depth, encodings }: ExtractSettings): string {
  return hash('sha256', JSON.stringify([ENGINE, bytes, entries, ratio, nameBytes, depth, encodings]));
}
