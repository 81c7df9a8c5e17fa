/** Saved properties of a `folder-out`, shared by the node and its dialog. */
export interface FolderOutProperties {
  /** Also the destination's name in `msg.delivered`, receipts and `finish`; empty: its address. */
  name: string;
  /** Id of a `ledger`; used only for messages that carry no job. */
  ledger: string;
  /** Where files are written; a relative path is below the ledger's root folder. */
  folder: string;
  /** `uid`: `<StudyInstanceUID>/<SOPInstanceUID>.dcm`, for de-identified files only, others as `number`; `number`: `<job>/<instance>.dcm`. */
  layout: 'uid' | 'number';
  /** Rule 8: instances that the ledger does not know as de-identified may be written here. */
  identifiedAllowed: boolean;
}

export const defaults: FolderOutProperties = { name: '', ledger: '', folder: 'received', layout: 'uid', identifiedAllowed: false };
