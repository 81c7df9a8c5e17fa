/** Saved properties of a `retry`, shared by the node and its dialog. Numbers are text, since every setting accepts `${NAME:-default}`. */
export interface RetryProperties {
  name: string;
  /** Seconds until the first retry. */
  delay: string;
  /** By what each further delay is longer, 1 to 10. */
  factor: string;
  /** Seconds that no delay exceeds. */
  cap: string;
  /** Percent of a delay that is left to chance, 0 to 100. */
  jitter: string;
  /** Retries in a row without progress after which a job is given up; 0: no limit. */
  attempts: string;
  /** Hours after the first failure in a row at which a job is given up. */
  maximumAge: string;
  /** Local time, `HH:MM`, between which jobs are sent again; both empty: at any time. May span midnight. */
  activeFrom: string;
  activeTo: string;
  /** Days on which that time begins, `mon, tue`; empty: every day. */
  activeDays: string;
}

export const defaults: RetryProperties = {
  name: '',
  delay: '60',
  factor: '2',
  cap: '3600',
  jitter: '20',
  attempts: '0',
  maximumAge: '72',
  activeFrom: '',
  activeTo: '',
  activeDays: '',
};
