/** A profile: the settings of a person, and what they compile to for the workers. */
import { createHash } from 'node:crypto';
import { ExdicomError } from '../errors';
import { RISK_CODES } from './risk';
import type { RiskAllowance, RiskCode } from './risk';
import { TABLE_EDITION, tables } from './tables';

/** Raised with every change of the engine that changes bytes of a result; part of every fingerprint. */
export const ENGINE_VERSION = 5;

export type Preset = 'basic' | 'basic-shifted-dates';

export interface ProfileSettings {
  /** For receipts and messages; changes no byte. */
  readonly name: string;
  /** Separates the pseudonyms of two projects that share a key. */
  readonly scope: string;
  /** What is not said below comes from here: `basic` removes dates, `basic-shifted-dates` shifts them. */
  readonly preset: Preset;
  readonly dates?: 'remove' | 'shift';
  /** Days that a shift is at most, 1 to 36,500; by default 3,650. */
  readonly maximumShift?: number;
  readonly allowedRisks?: readonly string[];
  readonly allowedSopClasses?: readonly string[];
  /** Written to (0012,0063) beside the pack's own words; at most 64 characters each, printable ASCII. */
  readonly method?: readonly string[];
}

/** Plain JSON, for pinning and for worker threads. */
export interface CompiledProfile {
  readonly name: string;
  readonly scope: string;
  readonly dates: 'remove' | 'shift';
  readonly maximumShift: number;
  readonly allowed: RiskAllowance;
  /** All values of (0012,0063) that are added. */
  readonly method: readonly string[];
  /** SHA-256 over everything that decides whether and as which bytes a file comes out, but the key. */
  readonly fingerprint: string;
}

const UID = /^(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+$/;

function invalid(detail: string): ExdicomError {
  return new ExdicomError('CONFIG_INVALID', { detail });
}

function riskCodes(codes: readonly string[]): RiskCode[] {
  return RISK_CODES.filter((code) => codes.includes(code));
}

/**
 * Settings as the workers need them.
 * @throws {ExdicomError} CONFIG_INVALID where a setting is out of range.
 */
export function compileProfile(settings: ProfileSettings): CompiledProfile {
  const dates = settings.dates ?? (settings.preset === 'basic-shifted-dates' ? 'shift' : 'remove');
  const maximumShift = settings.maximumShift ?? 3650;
  if (!Number.isInteger(maximumShift) || maximumShift < 1 || maximumShift > 36_500) throw invalid('the shift must be 1 to 36500 days');
  const unknown = (settings.allowedRisks ?? []).filter((code) => !RISK_CODES.some((known) => known === code));
  if (unknown.length > 0) throw invalid('a risk code is not known');
  const sopClasses = [...new Set((settings.allowedSopClasses ?? []).map((uid) => uid.trim()).filter((uid) => uid !== ''))].toSorted();
  if (!sopClasses.every((uid) => uid.length <= 64 && UID.test(uid))) throw invalid('an allowed SOP Class is no UID');
  const own = [`PS3.15 ${TABLE_EDITION} Basic Application Level Confidentiality`, dates === 'shift' ? 'EXDICOM keyed UIDs and pseudonyms, dates shifted' : 'EXDICOM keyed UIDs and pseudonyms'];
  const method = [...own, ...settings.method ?? []];
  if (!method.every((value) => /^[\x20-\x5b\x5d-\x7e]{1,64}$/.test(value))) throw invalid('the method must be at most 64 printable characters without a backslash');
  const deciding = {
    scope: settings.scope, dates, maximumShift: dates === 'shift' ? maximumShift : 0, allowed: { risks: riskCodes(settings.allowedRisks ?? []), sopClasses }, method,
  };
  const fingerprint = createHash('sha256').update(JSON.stringify([ENGINE_VERSION, TABLE_EDITION, tables().digest, deciding])).digest('hex');
  return { name: settings.name, ...deciding, maximumShift, fingerprint };
}
