/** What a message asks of the ledger: its own words and the dialog's, checked and made one request. */
import { ERRORS, ExdicomError } from '../engine/errors';
import type { ErrorCode } from '../engine/errors';
import type { HoldTarget, JobFilter } from '../engine/ledger/ledger-types';
import type { JobId, SourceKey } from '../engine/model';
import { ACTIONS, OUTCOMES, PARAMETERS, STATES } from './actions';
import type { Action, FROM_MESSAGE, Parameter } from './actions';
import { numbersOf } from './numbers';
import { instantOf } from './since';

/** Jobs in an answer, unless more or fewer are asked for. */
const USUAL_LIMIT = 100;
const HIGHEST_LIMIT = 1000;
const LONGEST_TEXT = 1024;

export type Instances = 'all' | readonly number[];

/** What only a message can hold; `request` takes it from there before anything else sees it. */
export interface Confidential {
  readonly password?: unknown;
  readonly uid?: unknown;
  readonly patientId?: unknown;
  readonly issuer?: unknown;
}

export type Request =
  | { readonly action: 'list'; readonly filter: JobFilter & { readonly limit: number; readonly offset: number } }
  | { readonly action: 'job' | 'receipt' | 'cancel' | 'send-again'; readonly job: JobId }
  | { readonly action: 'counts' }
  | { readonly action: 'find'; readonly uid: string } | { readonly action: 'find'; readonly patientId: string; readonly issuer: string }
  | { readonly action: 'quarantine'; readonly job?: JobId }
  | { readonly action: 'retry-now'; readonly what: JobId | { readonly destination: string } }
  | { readonly action: 'password'; readonly job: JobId; readonly password: string }
  | { readonly action: 'release'; readonly job: JobId; readonly instances: Instances; readonly profile: string }
  | { readonly action: 'discard'; readonly job: JobId; readonly instances: Instances }
  | { readonly action: 'pause' | 'drain' | 'resume'; readonly target: HoldTarget };

export interface Asked {
  readonly action: Action | typeof FROM_MESSAGE;
  /** Settings of the dialog that are filled in. */
  readonly dialog: Readonly<Partial<Record<Parameter, string>>>;
  readonly message: Readonly<Record<string, unknown>>;
  readonly confidential: Confidential;
}

/** @throws {ExdicomError} REQUEST_INVALID, named by the parameter and never by its value. */
export function requestOf({ action: chosen, dialog, message, confidential }: Asked): Request {
  const action = actionOf(chosen, message);
  const own = PARAMETERS[chosen];
  /** Text of the dialog, else of the message; undefined where neither says anything. */
  const text = (parameter: Parameter): string | undefined => {
    const fixed = own.includes(parameter) ? dialog[parameter] : undefined;
    return fixed ?? textOf(parameter, message[parameter]);
  };
  const job = (): JobId => needed('job', text('job')) as JobId; // the ledger says whether it has one of that id
  const instances = (): Instances => instancesOf(own.includes('instances') ? dialog.instances ?? message['instances'] : message['instances']);

  switch (action) {
    case 'list': return { action, filter: filterOf(text) };
    case 'job': case 'receipt': case 'cancel': case 'send-again': return { action, job: job() };
    case 'counts': return { action };
    case 'find': return findOf(confidential);
    case 'quarantine': {
      const one = text('job');
      return one === undefined ? { action } : { action, job: one as JobId };
    }
    case 'retry-now': {
      const destination = text('destination');
      return { action, what: destination === undefined ? job() : { destination } };
    }
    case 'password': return { action, job: job(), password: passwordOf(confidential.password) };
    case 'release': return { action, job: job(), instances: instances(), profile: needed('profile', text('profile')) };
    case 'discard': return { action, job: job(), instances: instances() };
    case 'pause': case 'drain': case 'resume': return { action, target: targetOf(text) };
  }
}

/** The action of a message, also where the rest of it does not fit. */
export function actionOf(chosen: Asked['action'], message: Asked['message']): Action {
  const wanted = chosen === 'message' ? message['action'] : chosen;
  const action = ACTIONS.find((known) => known === wanted);
  if (action === undefined) throw invalid('action');
  return action;
}

type Text = (parameter: Parameter) => string | undefined;

function filterOf(text: Text): JobFilter & { readonly limit: number; readonly offset: number } {
  const [state, outcome, source, destination, code, since] = [text('state'), text('outcome'), text('source'), text('destination'), text('code'), text('since')];
  return {
    ...(state === undefined ? {} : { state: state.split(/[\s,]+/).filter((word) => word !== '').map((word) => oneOf('state', word, STATES)) }),
    ...(outcome === undefined ? {} : { outcome: oneOf('outcome', outcome, OUTCOMES) }),
    ...(source === undefined ? {} : { sourceKey: source as SourceKey }), // compared with the ledger's own
    ...(destination === undefined ? {} : { destination }),
    ...(code === undefined ? {} : { code: oneOf('code', code, Object.keys(ERRORS) as ErrorCode[]) }), // the keys of the table
    ...(since === undefined ? {} : { since: instantOf(since) ?? fail('since') }),
    limit: whole('limit', text('limit'), 1, HIGHEST_LIMIT, USUAL_LIMIT),
    offset: whole('offset', text('offset'), 0, Number.MAX_SAFE_INTEGER, 0),
  };
}

function findOf({ uid, patientId, issuer }: Confidential): Request {
  const [wantedUid, wantedPatient] = [textOf('uid', uid), textOf('patientId', patientId)];
  if ((wantedUid === undefined) === (wantedPatient === undefined)) throw invalid('either uid or patientId');
  if (wantedPatient !== undefined) return { action: 'find', patientId: wantedPatient, issuer: textOf('issuer', issuer) ?? '' };
  if (wantedUid === undefined || !/^\d[\d.]{0,63}$/.test(wantedUid)) throw invalid('uid');
  return { action: 'find', uid: wantedUid };
}

function targetOf(text: Text): HoldTarget {
  const [source, destination] = [text('source'), text('destination')];
  if (source !== undefined && destination === undefined) return { source: source as SourceKey }; // compared with the ledger's own
  if (destination !== undefined && source === undefined) return { destination };
  throw invalid('either source or destination');
}

/** As it was typed: a password may begin or end with a space. */
function passwordOf(value: unknown): string {
  if (typeof value !== 'string' || value === '' || value.length > LONGEST_TEXT) throw invalid('password');
  return value;
}

function instancesOf(value: unknown): Instances {
  if (Array.isArray(value) || typeof value === 'number' || typeof value === 'string') {
    const numbers = value === 'all' ? value : numbersOf(value);
    if (numbers !== undefined) return numbers;
  }
  throw invalid('instances');
}

function textOf(parameter: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string' && typeof value !== 'number') throw invalid(parameter);
  const text = String(value).trim();
  if (text.length > LONGEST_TEXT) throw invalid(parameter);
  return text === '' ? undefined : text;
}

function needed(parameter: Parameter, text: string | undefined): string {
  return text ?? fail(parameter);
}

function oneOf<C extends string>(parameter: Parameter, text: string, choices: readonly C[]): C {
  return choices.find((choice) => choice === text) ?? fail(parameter);
}

function whole(parameter: Parameter, text: string | undefined, least: number, most: number, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  return /^\d+$/.test(text) && value >= least && value <= most ? value : fail(parameter);
}

const invalid = (detail: string): ExdicomError => new ExdicomError('REQUEST_INVALID', { detail });
function fail(detail: string): never { throw invalid(detail); }
