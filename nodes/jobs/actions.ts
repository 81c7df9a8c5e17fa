/** What a `jobs` node can be asked for, what it can be told to do, and which of its settings each of these uses. */
import type { JobState } from '../engine/ledger/ledger-types';
import type { Outcome } from '../engine/model';

export const ASKING = ['list', 'job', 'receipt', 'counts', 'find', 'quarantine'] as const;
export const ACTING = ['send-again', 'cancel', 'retry-now', 'password', 'release', 'discard', 'pause', 'drain', 'resume'] as const;

export type Action = (typeof ASKING)[number] | (typeof ACTING)[number];
export const ACTIONS: readonly Action[] = [...ASKING, ...ACTING];

/** Where the message says which action it wants. */
export const FROM_MESSAGE = 'message';

/** Settings that an action takes from the dialog, or where that is empty from the message. */
export type Parameter = 'job' | 'state' | 'outcome' | 'source' | 'destination' | 'code' | 'since' | 'limit' | 'offset' | 'instances' | 'profile';

export const PARAMETERS: Readonly<Record<Action | typeof FROM_MESSAGE, readonly Parameter[]>> = {
  list: ['state', 'outcome', 'source', 'destination', 'code', 'since', 'limit', 'offset'],
  job: ['job'],
  receipt: ['job'],
  counts: [],
  find: ['profile'],
  quarantine: ['job'],
  'send-again': ['job'],
  cancel: ['job'],
  'retry-now': ['job', 'destination'],
  password: ['job'],
  release: ['job', 'instances', 'profile'],
  discard: ['job', 'instances'],
  pause: ['source', 'destination'],
  drain: ['source', 'destination'],
  resume: ['source', 'destination'],
  // Whatever else it takes is the message's: a job left over in a field that nobody sees must not be the one that is cancelled.
  message: ['profile'],
};

/** What one of these actions is given is a secret or identifies a patient: it comes from messages only, and leaves them at once. */
export const CONFIDENTIAL: Readonly<Partial<Record<Action, readonly string[]>>> = {
  find: ['uid', 'patientId', 'issuer'],
  password: ['password'],
};

/** Not over HTTP by GET, whose addresses end up in logs and which other sites can call: what acts, and what names a patient. */
export const needsPost = (action: Action): boolean => action === 'find' || ACTING.some((acting) => acting === action);

export const STATES = ['receiving', 'open', 'parked', 'needs-password', 'closing', 'closed'] as const satisfies readonly JobState[];
export const OUTCOMES = ['complete', 'with-exceptions', 'failed', 'cancelled', 'duplicate'] as const satisfies readonly Outcome[];

/** Properties of a message that an answer must not replace. */
const RESERVED = ['_msgid', 'constructor', 'error', 'job', 'parts', 'password', 'prototype', 'req', 'res', 'statusCode', 'topic', 'who'];

/** Whether an answer can be put into `msg.<name>`. */
export const isAnswerProperty = (name: string): boolean => /^[a-z]\w{0,63}$/i.test(name) && !RESERVED.includes(name);
