import type { Action, FROM_MESSAGE } from './actions';

/** Saved properties of a `jobs`, shared by the node and its dialog. Of most an action uses a few; an empty one is taken from the message. */
export interface JobsProperties {
  name: string;
  ledger: string;
  action: Action | typeof FROM_MESSAGE;
  /** Property of the message that the answer goes to. */
  answer: string;
  /** Id of a job. */
  job: string;
  /** Words: the states of which one must be the job's. */
  state: string;
  outcome: string;
  /** Source key: `folder:/data/inbox`. */
  source: string;
  /** Address or name of a destination. */
  destination: string;
  /** Code of the job's last error. */
  code: string;
  /** Changed since: `24h`, a date, or milliseconds since 1970. */
  since: string;
  limit: string;
  offset: string;
  /** `all`, or numbers: `1-3, 7`. */
  instances: string;
  /** A `deid-profile`: whose key finds, or by which a released file is de-identified. */
  profile: string;
  /** Recorded with what is done; empty: msg.who. */
  who: string;
}

export const defaults: JobsProperties = {
  name: '',
  ledger: '',
  action: 'list',
  answer: 'payload',
  job: '',
  state: '',
  outcome: '',
  source: '',
  destination: '',
  code: '',
  since: '',
  limit: '',
  offset: '',
  instances: '',
  profile: '',
  who: '',
};
