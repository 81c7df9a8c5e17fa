/**
 * Saved properties of a `ledger`, shared by the node and its dialog. Numbers are saved as text, since every setting
 * accepts `${NAME}` and `${NAME:-default}`; the runtime parses them and checks their range.
 */
export interface LedgerProperties {
  name: string;
  /** Root of the work, done, failed and quarantine folders; empty: `exdicom` in Node-RED's user directory. */
  directory: string;
  /** Jobs that run at the same time, 1 to 1000. */
  slots: string;
  /** Parked jobs above which nothing new is taken in, 1 to 1,000,000. */
  maxParked: string;
  /** Megabytes (1,000,000 bytes) that stay free on the disk of the work folder. */
  reserve: string;
  /** Seconds after which an open job that is in no node is sent again, 1 to 86,400. */
  quiet: string;
  /** Seconds until the first retry. */
  retryDelay: string;
  /** By what each further delay is longer, 1 to 10. */
  retryFactor: string;
  /** Seconds that no delay exceeds. */
  retryCap: string;
  /** Percent of a delay that is left to chance, 0 to 100. */
  retryJitter: string;
  /** Hours after the first failure in a row at which a job is given up. */
  retryAge: string;
  /** Days that closed jobs, their receipts and `done` are kept. */
  retention: string;
  /** Days that quarantined files are kept; 0: until a person removes them. */
  quarantineRetention: string;
  /** Megabytes (1,000,000 bytes) above which the journal goes on in a new file, 0.01 to 100. */
  journalSize: string;
  /** Days after which the journal goes on in a new file. */
  journalDays: string;
  /** Days that files of the journal are kept after their last line; 0: for ever. */
  journalRetention: string;
}

export const defaults: LedgerProperties = {
  name: '',
  directory: '',
  slots: '4',
  maxParked: '1000',
  reserve: '2000',
  quiet: '60',
  retryDelay: '30',
  retryFactor: '2',
  retryCap: '1800',
  retryJitter: '20',
  retryAge: '72',
  retention: '30',
  quarantineRetention: '0',
  journalSize: '10',
  journalDays: '30',
  journalRetention: '365',
};
