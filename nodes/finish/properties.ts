/** Saved properties of a `finish`, shared by the node and its dialog. */
export interface FinishProperties {
  name: string;
  /** Names or addresses of destinations that must have every instance; empty: every destination begun. */
  required: string[];
  /** Whether a job may close, with exceptions, though some of its instances never reached a required destination; else it fails. */
  allowLeftOut: boolean;
}

export const defaults: FinishProperties = { name: '', required: [], allowLeftOut: false };
