/** Saved properties of an `anonymize`, shared by the node and its dialog. */
export interface AnonymizeProperties {
  name: string;
  /** Id of a `ledger`; used only for messages that carry no job. */
  ledger: string;
  /** Id of a `deid-profile`. */
  profile: string;
}

export const defaults: AnonymizeProperties = { name: '', ledger: '', profile: '' };
