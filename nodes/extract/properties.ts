/** Saved properties of an `extract`, shared by the node and its dialog. Numbers are text, since every setting accepts `${NAME:-default}`. */
export interface ExtractProperties {
  name: string;
  /** Id of a `ledger`; used only for messages that carry no job. */
  ledger: string;
  /** One message per job, study or series. */
  per: 'job' | 'study' | 'series';
  /** More than one patient in a job: go on, a message for each, or stop. */
  patients: 'go-on' | 'split' | 'stop';
  /** Code pages to choose from for names that are not marked, with commas between; empty: cp437 alone. */
  encodings: string;
  /** Archives inside archives, 0 to 5. */
  depth: string;
  /** Gigabytes (1,000,000,000 bytes) that a job may unpack to. */
  maxBytes: string;
  maxEntries: string;
  /** Unpacked bytes per packed byte of one entry; judged above 10 MB. */
  maxRatio: string;
  /** Bytes of an entry's name. */
  maxName: string;
  /** Minutes. */
  timeLimit: string;
}

export interface ExtractCredentials {
  /** Passwords to try, one per line; of type `password`. */
  passwords: string;
}

export const defaults: ExtractProperties = {
  name: '',
  ledger: '',
  per: 'job',
  patients: 'go-on',
  encodings: 'cp950, cp949, cp932, gbk',
  depth: '1',
  maxBytes: '50',
  maxEntries: '100000',
  maxRatio: '200',
  maxName: '4096',
  timeLimit: '60',
};
