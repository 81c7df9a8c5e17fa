/**
 * Checks of saved properties, with a reason in the reader's language. A text that holds `${` is not looked into: its variable
 * may only exist where the flow runs. A property that an older flow lacks is valid: the node takes its default.
 */
import { translate, type EditorNode, type Validator } from './red';

interface Options {
  /** Nothing at all is fine as well. */
  readonly empty?: boolean;
}

/** What is wrong, as key and values of the node's locale file, or nothing. */
type Check = (text: string) => { readonly key: string; readonly values?: Record<string, string | number> } | undefined;

export const isVariable = (value: unknown): boolean => typeof value === 'string' && value.includes('${');

/** `label` is the locale key of the property's label: the reason begins with it. */
function text(label: string, check: Check, { empty = false }: Options = {}): Validator {
  return function validate(value, _options) {
    if (value === undefined || isVariable(value)) return true;
    if (typeof value !== 'string' && typeof value !== 'number') return reason(this, label, 'validate.choice');
    const given = String(value).trim();
    if (given === '') return empty ? true : reason(this, label, 'validate.empty');
    const wrong = check(given);
    return wrong === undefined ? true : reason(this, label, wrong.key, wrong.values);
  };
}

function reason(node: EditorNode, label: string, key: string, values: Record<string, string | number> = {}): string {
  return translate(node, key, { ...values, label: translate(node, label) });
}

export const filled = (label: string): Validator => text(label, () => undefined);

export const whole = (label: string, least: number, most: number, options?: Options): Validator => text(label, (given) =>
  /^\d+$/.test(given) && Number(given) >= least && Number(given) <= most ? undefined
    : { key: 'validate.whole', values: { least: least.toLocaleString(), most: most.toLocaleString() } }, options);

export const decimal = (label: string, least: number, most: number): Validator => text(label, (given) =>
  /^\d+(\.\d+)?$/.test(given) && Number(given) >= least && Number(given) <= most ? undefined
    : { key: 'validate.decimal', values: { least: least.toLocaleString(), most: most.toLocaleString() } });

/** A time of day, `20:00`; or nothing. */
export const timeOfDay = (label: string): Validator => text(label, (given) =>
  /^([01]?\d|2[0-3]):[0-5]\d$/.test(given) ? undefined : { key: 'validate.time' }, { empty: true });

/** One to 16 characters of the default repertoire, no backslash (PS3.5, 6.2, AE). */
const isAeTitle = (given: string): boolean => /^[ -[\]-~]{1,16}$/.test(given);

export const aeTitle = (label: string, options?: Options): Validator => text(label, (given) =>
  isAeTitle(given) ? undefined : { key: 'validate.aeTitle' }, options);

/** A host name or an IP address, of version 6 in brackets or without: no scheme, no port, no path. */
export const host = (label: string, options?: Options): Validator => text(label, (given) =>
  isHostName(given) || isIpAddress(given.replace(/^\[(.*:.*)\]$/, '$1')) ? undefined : { key: 'validate.host' }, options);

// What ends in a number is no name but an IPv4 address, right or wrong.
const isHostName = (given: string): boolean =>
  !/(^|\.)\d+\.?$/.test(given) && given.length <= 253 && /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/i.test(given);

function isIpAddress(given: string): boolean {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(given)) return given.split('.').every((part) => Number(part) <= 255);
  return given.includes(':') && /^[0-9a-f:]+(\.\d+)*(%\w+)?$/i.test(given) && given.split(':').length <= 8;
}

export const oneOf = (label: string, choices: readonly string[], options?: Options): Validator => text(label, (given) =>
  choices.includes(given) ? undefined : { key: 'validate.choice' }, options);

/** Whatever `fits`; `key` is the locale key of the reason why not. */
export const fitting = (label: string, fits: (given: string) => boolean, key: string, options?: Options): Validator => text(label, (given) =>
  fits(given) ? undefined : { key }, options);

/** Words with commas or spaces between, each one of `choices`; or nothing. */
export const words = (label: string, choices: readonly string[]): Validator => text(label, (given) =>
  given.split(/[\s,]+/).every((word) => word === '' || choices.includes(word)) ? undefined : { key: 'validate.words', values: { choices: choices.join(', ') } }, { empty: true });

/** Every non-empty line is an AE Title. */
export const aeTitles = (label: string): Validator => lines(label, isAeTitle, 'validate.aeTitles');
/** Every non-empty line is an IP address. */
export const ipAddresses = (label: string): Validator => lines(label, isIpAddress, 'validate.addresses');
/** Every non-empty line is a UID (PS3.5, 9.1). */
export const uids = (label: string): Validator => lines(label, (given) => given.length <= 64 && /^(0|[1-9]\d*)(\.(0|[1-9]\d*))+$/.test(given), 'validate.uids');

function lines(label: string, check: (line: string) => boolean, key: string): Validator {
  return text(label, (given) => {
    const split = given.split(/\r?\n/).map((line) => line.trim());
    const wrong = split.findIndex((line) => line !== '' && !check(line));
    return wrong < 0 ? undefined : { key, values: { line: wrong + 1 } };
  }, { empty: true });
}

/** A list of texts, of `choices` where they are given; none of them empty. */
export function list(label: string, choices?: readonly string[]): Validator {
  return function validate(value, _options) {
    if (value === undefined || isVariable(value)) return true;
    const fits = Array.isArray(value) && value.every((item: unknown) =>
      typeof item === 'string' && item.trim() !== '' && (choices === undefined || isVariable(item) || choices.includes(item)));
    return fits ? true : reason(this, label, 'validate.list');
  };
}

/** A check box; a variable may stand for it in a flow file. */
export function flag(label: string): Validator {
  return function validate(value, _options) {
    return value === undefined || typeof value === 'boolean' || isVariable(value) ? true : reason(this, label, 'validate.choice');
  };
}

/** The configuration node is there and is itself valid. */
export function configNode(label: string, { empty = false }: Options = {}): Validator {
  return function validate(value, _options) {
    if (isVariable(value)) return true;
    if (value === undefined || value === '' || value === '_ADD_') return empty ? true : reason(this, label, 'validate.missing');
    const found = typeof value === 'string' ? RED.nodes.node(value) : undefined;
    if (found === null || found === undefined) return reason(this, label, 'validate.missing');
    return found['valid'] === false ? reason(this, label, 'validate.invalidConfig') : true;
  };
}

/** A password that may be left out. What Node-RED shows for a stored one says nothing about its length. */
export function secret(label: string, least: number): Validator {
  return function validate(value, _options) {
    if (value === undefined || value === '' || value === '__PWRD__' || isVariable(value)) return true;
    return typeof value === 'string' && value.length >= least ? true : reason(this, label, 'validate.secret', { least });
  };
}
