/**
 * Saved properties to values. Every text may hold `${NAME}` and `${NAME:-default}` anywhere; numbers are saved as text and
 * parsed here; what does not fit is CONFIG_INVALID and named by its property, never by its value.
 */
import { isAbsolute, join, resolve } from 'node:path';
import { ExdicomError } from '../engine/errors';
import type { Node, Red } from './red';

const PLACEHOLDER = /\$\{([^}:]+)(?::-([^}]*))?\}/g;

/** One node's properties, resolved one by one. */
export class Settings<P extends object> {
  readonly #red: Red;
  readonly #node: Node;
  readonly #saved: Partial<P>;
  readonly #defaults: P;

  /** `saved` may lack properties that came later than the flow; `defaults` stand in for them. */
  constructor(red: Red, node: Node, saved: Partial<P>, defaults: P) {
    this.#red = red;
    this.#node = node;
    this.#saved = saved;
    this.#defaults = defaults;
  }

  /** The property as it was saved. */
  raw<K extends keyof P & string>(property: K): P[K] {
    return this.#saved[property] ?? this.#defaults[property];
  }

  /** Text with its variables put in, outer spaces removed. An unset variable without a default is empty. */
  text(property: keyof P & string): string {
    const raw: unknown = this.raw(property);
    if (typeof raw === 'number' || typeof raw === 'boolean') return String(raw);
    if (typeof raw !== 'string') throw invalid(property);
    return resolveSetting(this.#red, this.#node, raw).trim();
  }

  /** @throws {ExdicomError} CONFIG_INVALID where it is empty. */
  required(property: keyof P & string): string {
    const text = this.text(property);
    if (text === '') throw invalid(property, 'is empty');
    return text;
  }

  /** @throws {ExdicomError} CONFIG_INVALID where it is no number, or out of range. */
  number(property: keyof P & string, least: number, most: number): number {
    const text = this.text(property);
    const value = Number(text);
    if (text === '' || !Number.isFinite(value) || value < least || value > most) throw invalid(property, `not within ${least} and ${most}`);
    return value;
  }

  /** @throws {ExdicomError} CONFIG_INVALID where it is no whole number, or out of range. */
  integer(property: keyof P & string, least: number, most: number): number {
    const value = this.number(property, least, most);
    if (!Number.isInteger(value)) throw invalid(property, 'not a whole number');
    return value;
  }

  boolean(property: keyof P & string): boolean {
    const raw: unknown = this.raw(property);
    if (typeof raw === 'boolean') return raw;
    const text = this.text(property).toLowerCase();
    if (['true', '1', 'yes'].includes(text)) return true;
    if (['false', '0', 'no', ''].includes(text)) return false;
    throw invalid(property, 'neither true nor false');
  }

  /** @throws {ExdicomError} CONFIG_INVALID where it is none of these. */
  choice<C extends string>(property: keyof P & string, choices: readonly C[]): C {
    const text = this.text(property);
    const found = choices.find((choice) => choice === text);
    if (found === undefined) throw invalid(property, `none of ${choices.join(', ')}`);
    return found;
  }

  /**
   * Words with commas or spaces between, each one of `choices`.
   * @throws {ExdicomError} CONFIG_INVALID where one is not.
   */
  words<C extends string>(property: keyof P & string, choices: readonly C[]): readonly C[] {
    return this.text(property).split(/[\s,]+/).filter((word) => word !== '').map((word) => {
      const found = choices.find((choice) => choice === word);
      if (found === undefined) throw invalid(property, `other than ${choices.join(', ')}`);
      return found;
    });
  }

  /** The words of a list that is saved as an array, or as text with one per line. Empty ones are dropped. */
  list(property: keyof P & string): readonly string[] {
    const raw: unknown = this.raw(property);
    const parts = Array.isArray(raw) ? raw.map(String) : this.text(property).split(/[\r\n]+/);
    return parts.map((part) => resolveSetting(this.#red, this.#node, part).trim()).filter((part) => part !== '');
  }

  /** An absolute path; a relative one is below `base`. Empty where the property is. */
  path(property: keyof P & string, base: string): string {
    const text = this.text(property);
    if (text === '') return '';
    if (text.includes('\0')) throw invalid(property);
    return isAbsolute(text) ? resolve(text) : resolve(base, text);
  }
}

/**
 * A text with its variables put in. Node-RED itself replaces only a whole-string `${NAME}`, and only if the variable exists;
 * a variable is looked up where Node-RED does: group, flow, subflow, global, process.
 */
export function resolveSetting(RED: Red, node: Node, text: string): string {
  return text.replace(PLACEHOLDER, (_match, name: string, fallback: string | undefined) => {
    const value = RED.util.getSetting(node, name) as string | number | boolean | null | undefined; // the typings know text only
    return value === undefined || value === null || value === '' ? fallback ?? '' : String(value);
  });
}

/** Node-RED's user directory, or the working directory where it has none. */
export function userDirectory(RED: Red): string {
  return RED.settings.userDir ?? process.cwd();
}

/** What relative paths of configuration are below: the directory that core's file nodes use. */
export function workingDirectory(RED: Red): string {
  return RED.settings.fileWorkingDirectory ?? userDirectory(RED);
}

/** A file or folder of ours in the user directory. */
export function inUserDirectory(RED: Red, name: string): string {
  return join(userDirectory(RED), name);
}

function invalid(property: string, detail?: string): ExdicomError {
  return new ExdicomError('CONFIG_INVALID', { detail: detail === undefined ? property : `${property}: ${detail}` });
}
