/** Saved properties of a `deid-profile`, shared by the node and its dialog. */
export interface DeidProfileProperties {
  /** Also the profile's name in receipts and `msg.anonymized`. */
  name: string;
  /** Separates the pseudonyms of two projects that share a key; empty: none. */
  scope: string;
  /** `kept`: the same patient gets the same pseudonym in every job; `per-job`: a random key that is thrown away with the job. */
  keyMode: 'kept' | 'per-job';
  /** Where the key is kept if neither EXDICOM_DEID_KEY nor the credential gives it; empty: `exdicom-deid-key` in Node-RED's user directory. */
  keyFile: string;
  /** `remove`: as the Basic Profile says; `shift`: by whole days, the same for all of a patient. */
  dates: 'remove' | 'shift';
  /** Days that a shift is at most, 1 to 36,500. */
  maximumShift: string;
  /** Risk codes that are let through rather than quarantined (`RISK_BURNED_IN`...). */
  allowedRisks: string[];
  /** SOP Class UIDs that are let through though they often show identifiers; one per line. */
  allowedSopClasses: string;
}

export interface DeidProfileCredentials {
  /** At least 32 characters; of type `password`. */
  key: string;
}

export const defaults: DeidProfileProperties = {
  name: 'Basic Profile',
  scope: '',
  keyMode: 'kept',
  keyFile: '',
  dates: 'remove',
  maximumShift: '3650',
  allowedRisks: [],
  allowedSopClasses: '',
};
