/** Saved properties of a `folder-in`, shared by the node and its dialog. Numbers are text, since every setting accepts `${NAME:-default}`. */
export interface FolderInProperties {
  name: string;
  /** Id of a `ledger`. */
  ledger: string;
  /** The watched folder; a relative path is below the ledger's root folder. */
  folder: string;
  /** Seconds between two looks, 1 to 86,400. */
  interval: string;
  /** Seconds for which size and time of an item must not change, 0 to 86,400. */
  stable: string;
  /** Minutes to wait for the missing volumes of a set, or the end of an archive, before it is taken as it is. */
  maxWait: string;
  /** Whether a sub-folder is a job. */
  subfolders: boolean;
  /** Default Issuer of Patient ID: separates two hospitals that share a PatientID. */
  issuer: string;
  /** What becomes of the original once its job is complete. */
  disposal: 'move' | 'delete';
  /** Where the originals of completed and of failed jobs go; empty: the ledger's `done` and `failed`. */
  doneFolder: string;
  failedFolder: string;
}

export const defaults: FolderInProperties = {
  name: '',
  ledger: '',
  folder: 'inbox',
  interval: '5',
  stable: '10',
  maxWait: '5',
  subfolders: true,
  issuer: '',
  disposal: 'move',
  doneFolder: '',
  failedFolder: '',
};
